"""Hydra under the entries `train.py` and `evaluate.py`: its own errors become messages for the user."""

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from enhance.errors import SettingsError, told_to_the_user
from enhance.settings import EvaluationSettings, Settings
from enhance.settings.config import from_config

CONFIGS = Path(__file__).parents[2] / "configs"


def run(task: Callable[[DictConfig], None], config_name: str) -> None:
    """Compose `configs/<config_name>.yaml` with the command line and call `task` with it.

    A `UserError` of the task, an unknown key and an unknown choice end in a short message and exit code 2.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise its errors, where it would print them at length

    def told_task(config: DictConfig) -> None:
        with told_to_the_user():
            task(config)

    with told_to_the_user():
        try:
            hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)(told_task)()
        except (HydraException, OmegaConfBaseException) as error:
            raise SettingsError(explain(error)) from error


def compose(words: list[str]) -> Settings:
    """The settings of `train.py` with these `key=value` words, for a command of another form.

    Raises:
        SettingsError: as `run` tells them.
    """
    try:
        with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
            return from_config(hydra.compose("train", words))
    except (HydraException, OmegaConfBaseException) as error:
        raise SettingsError(explain(error)) from error


def overrides() -> list[str]:
    """The `key=value` words of the command line."""
    return list(HydraConfig.get().overrides.task)


def in_sweep() -> bool:
    """Whether this is one job of `-m`."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def explain(error: Exception) -> str:
    """What Hydra's error means for the user, in one or two lines."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={choice} is unknown: choose one of {', '.join(sorted(error.options))}"
    if isinstance(error, OverrideParseException):
        name, _, value = str(error.override).partition("=")
        return f"{error.override}: not understood; write key=value, with quotes around odd values: \"{name}='{value}'\""
    reason = str(error).splitlines()[0]
    if ambiguous := re.match(r"Ambiguous value for argument '([^=]*)=(.*)'", reason):
        name, value = ambiguous.groups()
        return f"{name}={value}: commas make a list of it; write \"{name}='{value}'\""
    cause = error.__cause__ or error
    key = getattr(cause, "full_key", None)
    if isinstance(error, ConfigCompositionException) and key:
        keys = [*_keys(Settings()), *_keys(EvaluationSettings())]
        if key in keys:
            group, _, inside = key.partition(".")
            if not inside:
                return f"{group}.*: no {group} is chosen; give {group}= as well"
            return f"{key} does not apply to the chosen {group}: leave it out, or choose another {group}="
        near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
        known = f"did you mean {near[0]}?" if near else "--cfg job shows all keys"
        return f"{key} is no setting: {known}"
    if absent := re.match(r"Could not override '(\w+)'", reason):
        return f"{absent[1]} is no setting of this command; --help lists them"
    return str(cause).splitlines()[0]


def _keys(settings: Any, prefix: str = "") -> Iterator[str]:
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        yield prefix + field.name
        if dataclasses.is_dataclass(value):
            yield from _keys(value, f"{prefix}{field.name}.")
