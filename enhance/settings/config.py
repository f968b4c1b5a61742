"""Settings from YAML and back. With `command`, all that knows OmegaConf."""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from enhance import weights
from enhance.errors import SettingsError
from enhance.settings.checks import check, check_bounds, check_given, no_setting
from enhance.settings.identity import PLACES
from enhance.settings.schema import EvaluationSettings, Settings
from enhance.settings.upgrade import upgraded

T = TypeVar("T")


def from_config(config: DictConfig) -> Settings:
    """The composed configuration of the command line as checked `Settings`, places absolute; a `SettingsError` where
    there is an unknown key, a value of the wrong type, or one out of range."""
    settings = _typed(Settings, config)
    check(settings)
    check_given(settings)
    _make_places_absolute(settings)
    return settings


def evaluation_from_config(config: DictConfig) -> EvaluationSettings:
    """The composed configuration of `evaluate.py` as checked settings; raises as `from_config`."""
    settings = _typed(EvaluationSettings, config)
    check_bounds(settings)
    check_given(settings)
    _make_places_absolute(settings)
    return settings


def _make_places_absolute(settings: Settings | EvaluationSettings) -> None:
    """So that a run can go on, and be evaluated, from another working folder."""
    for key in (*PLACES, "data.cache"):
        group, _, name = key.rpartition(".")
        # An evaluation has no objective, and may have no data.
        holder: Any = getattr(settings, group, None) if group else settings
        place = getattr(holder, name, None)
        if name == "init_from" and place and not Path(place).exists() and weights.find(place):
            continue
        if place is not None and not (name in ("low", "normal") and holder.root is not None):  # which are inside root
            setattr(holder, name, str(Path(place).expanduser().absolute()))


def from_dict(values: dict[str, Any]) -> Settings:
    """The inverse of `to_dict`, for settings in a run folder or a checkpoint, of this version or an older one. The file
    may come from anyone: nothing in it is resolved, so that `${oc.env:NAME}` reads no environment variable. Raises
    `SettingsError` as `from_config`, and for a value that refers to something else."""
    if reference := re.search(r"\$\{[^}]*}?", str(values)):
        raise SettingsError(f"{reference[0]}: refers to something outside the file")
    settings = _typed(Settings, upgraded(values))
    check(settings)
    return settings


def from_yaml(file: Path) -> Settings:
    """The settings that `to_yaml` wrote into a file; raises `SettingsError` as `from_dict`, and where the file cannot
    be read, or is no YAML."""
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"{file}: cannot be read; it is no configuration that train.py wrote") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{file}: no configuration that train.py wrote")
    return from_dict(values)


def to_dict(settings: Settings) -> dict[str, Any]:
    """Plain values: numbers, strings, None and dictionaries of them."""
    return OmegaConf.to_container(OmegaConf.structured(settings), enum_to_str=True)  # type: ignore[return-value]


def to_yaml(settings: Settings) -> str:
    """The settings as YAML text."""
    return yaml.safe_dump(to_dict(settings), sort_keys=False)


def _typed(kind: type[T], values: DictConfig | dict[str, Any]) -> T:
    try:
        if isinstance(values, DictConfig):  # whose own types would let a key pass that a + has added
            values = OmegaConf.to_container(values, resolve=True)  # type: ignore[assignment]
        settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), values))
    except OmegaConfBaseException as error:
        reason, key = str(error).splitlines()[0], getattr(error, "full_key", None)
        if isinstance(error, ConfigKeyError):
            raise no_setting(str(key), kind) from error
        raise SettingsError(f"{key}: {reason}" if key else reason) from error
    assert isinstance(settings, kind)
    return settings
