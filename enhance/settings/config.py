"""From YAML and command line to typed settings, and back: with `enhance.settings.command`, all that knows OmegaConf."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from enhance.errors import SettingsError
from enhance.settings import PLACES, DataSettings, EvaluationSettings, Settings
from enhance.settings.checks import check_ranges, one_of

T = TypeVar("T")


def from_config(config: DictConfig) -> Settings:
    """Turn the composed configuration of the command line into checked `Settings`, the places of data absolute.

    Raises:
        SettingsError: an unknown key, a value of the wrong type, or one out of range.
    """
    for key, value in config.norm.items():
        if value is None:  # which stands for an option that the layer lacks
            raise SettingsError(f"norm.{key}=null is no value: leave it out, or give another")
    settings = _checked(config)
    _make_places_absolute(settings.data)
    if settings.objective.vgg is not None:
        settings.objective.vgg = str(Path(settings.objective.vgg).expanduser().absolute())
    return settings


def _checked(config: DictConfig) -> Settings:
    settings = _typed(Settings, config)
    check_ranges(settings)
    return settings


def _make_places_absolute(data: DataSettings) -> None:
    """So that a run can go on, and be evaluated, from another working folder."""
    for key in PLACES:
        place = getattr(data, key)
        inside_root = key in ("low", "normal") and data.root is not None
        if place is not None and not inside_root:
            setattr(data, key, str(Path(place).expanduser().absolute()))
    if data.cache is not None:
        data.cache = str(Path(data.cache).expanduser().absolute())


def evaluation_from_config(config: DictConfig) -> EvaluationSettings:
    """Turn the composed configuration of `evaluate.py` into checked settings.

    Raises:
        SettingsError: as `from_config`.
    """
    # A data set chooses a schedule, which is for training.
    config = OmegaConf.masked_copy(config, [str(key) for key in config if key != "schedule"])
    settings = _typed(EvaluationSettings, config)
    one_of("protocol", settings.protocol, ("plain", "all"))
    if settings.recalibrate is not None:
        one_of("recalibrate", settings.recalibrate, ("train", "target"))
    if settings.data is not None:
        check_ranges(Settings(data=settings.data))
        _make_places_absolute(settings.data)
    return settings


def from_dict(values: dict[str, Any]) -> Settings:
    """The inverse of `dataclasses.asdict`, for settings that a run or a checkpoint keeps. Whoever wrote the file gets
    values read, nothing else: OmegaConf would put environment variables in the place of `${oc.env:NAME}`.

    Raises:
        SettingsError: as `from_config`; or a value that refers to something else.
    """
    for value in _plain(list(values.values())):
        if isinstance(value, str) and "${" in value:
            raise SettingsError(f"{value}: refers to something outside the file")
    try:
        config = OmegaConf.create(values)
    except OmegaConfBaseException as error:
        raise SettingsError(_in_one_line(error)) from error
    return _checked(config)


def _plain(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, dict):
            yield from _plain(value.values())
        elif isinstance(value, list | tuple):
            yield from _plain(value)
        else:
            yield value


def from_yaml(file: Path) -> Settings:
    """The settings that `to_yaml` wrote into a file.

    Raises:
        SettingsError: as `from_dict`; or the file cannot be read, or is no YAML.
    """
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"{file}: cannot be read; it is no configuration that train.py wrote") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{file}: no configuration that train.py wrote")
    return from_dict(values)


def to_yaml(settings: Settings) -> str:
    """The settings as YAML text."""
    return OmegaConf.to_yaml(OmegaConf.structured(settings))


def _typed(kind: type[T], config: DictConfig) -> T:
    try:
        settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), config))
    except OmegaConfBaseException as error:
        raise SettingsError(_in_one_line(error)) from error
    assert isinstance(settings, kind)
    return settings


def _in_one_line(error: OmegaConfBaseException) -> str:
    reason = str(error).splitlines()[0]
    key = getattr(error, "full_key", None)
    if isinstance(error, ConfigKeyError):
        return f"{key} is no setting; --cfg job shows all keys"
    return f"{key}: {reason}" if key else reason
