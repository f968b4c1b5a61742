"""Which values of the settings make sense, as far as that needs no data and no model."""

import difflib
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from enhance.errors import SettingsError, script
from enhance.settings.schema import CameraSettings, DataSettings, EvaluationSettings, Settings, flat

RANGES = (  # of a camera
    ("exposure_min_ev", "exposure_max_ev"),
    ("full_well_min_electrons", "full_well_electrons"),
    ("jpeg_min_quality", "jpeg_max_quality"),
)


def check(settings: Settings) -> None:
    """Check every bound that stands at a field, and what several settings must meet together; a `SettingsError` names
    the key, its value and what it may be."""
    check_bounds(settings)
    cameras = {f"data.other_cameras.{name}": camera for name, camera in settings.data.other_cameras.items()}
    for key, camera in ({"data.camera": settings.data.camera} | cameras).items():
        for least, most in RANGES:
            low, high = getattr(camera, least), getattr(camera, most)
            if low is not None and low > high:
                raise SettingsError(f"{key}.{least}={low} is above {most}={high}: swap them")
    if (settings.schedule.steps is None) == (settings.schedule.epochs is None):
        raise SettingsError("schedule.steps and schedule.epochs: give one, the other is null: schedule.steps=null")
    for key, name in (("name", settings.name), ("sweep", settings.sweep)):
        if name is not None and (name in ("", "..") or Path(name).name != name):  # Path("..").name is ".."
            cure = "leave out /, and give no . or .. alone; runs= is its place"
            raise SettingsError(f"{key}={name} is no name for a folder: {cure}")
    if settings.compile and settings.checkpoint_activations:
        reason = "which itself chooses what is computed again: leave one of them out"
        raise SettingsError(f"checkpoint_activations=true does not go with compile=true, {reason}")
    if not settings.objective.l1 and not settings.objective.ssim and not settings.objective.perceptual:
        raise SettingsError("every weight of objective is 0: nothing to learn from; raise one of l1, ssim, perceptual")
    if settings.objective.perceptual and settings.model.channels != 3:
        reason = f"VGG-16 sees 3 channels, and model.channels={settings.model.channels}: leave one out"
        raise SettingsError(f"objective.perceptual={settings.objective.perceptual}: {reason}")
    if settings.model.exposed and (settings.model.exposure or settings.model.brightened):
        cure = "give model.exposure=false model.brightened=false too"
        raise SettingsError(f"model.exposed=true takes the place of model.exposure and model.brightened: {cure}")
    multiple = settings.model.unshuffle * 2**settings.model.depth
    if multiple > 32:
        bound = "at most 32, so that images of 16 px still pass; lower model.depth or model.unshuffle"
        raise SettingsError(f"model.unshuffle * 2**model.depth = {multiple}: {bound}")


def check_given(settings: Any) -> None:
    """Raise `SettingsError` where a text of the command line is empty: a variable of the shell may be."""
    for key, (_, value) in flat(settings).items():
        if value == "":
            raise SettingsError(f"{key}= is empty: give a value, or leave it out")


def check_bounds(settings: Any) -> None:
    """Raise `SettingsError` with the key and its bound where a field of a dataclass of settings is out of range."""
    for key, (field, value) in flat(settings).items():
        if not isinstance(value, int | float):
            continue
        bounds = field.metadata
        if not math.isfinite(value):
            raise SettingsError(f"{key}={value} is not a finite number: give one")
        if bounds["least"] is not None and value < bounds["least"]:
            raise SettingsError(f"{key}={value} is too small: it is at least {bounds['least']}")
        if bounds["most"] is not None and value > bounds["most"]:
            raise SettingsError(f"{key}={value} is too large: it is at most {bounds['most']}")
        if bounds["above"] is not None and value <= bounds["above"]:
            raise SettingsError(f"{key}={value} is too small: it is more than {bounds['above']}")
        if bounds["among"] is not None and value not in bounds["among"]:
            raise SettingsError(f"{key}={value}: it is one of {', '.join(map(str, bounds['among']))}")


def one_of(key: str, value: str, choices: Iterable[str]) -> None:
    """Raise `SettingsError` with the choices, and the nearest of them, unless `value` is among them."""
    if value not in (choices := list(choices)):
        near = difflib.get_close_matches(str(value), choices, n=1)
        suggestion = f"; did you mean {near[0]}?" if near else ""
        raise SettingsError(f"{key}={value} is unknown: choose one of {', '.join(choices)}{suggestion}")


def settings_of(kind: type) -> dict[str, tuple[Any, Any]]:
    """`schema.flat` of `Settings`, or of `EvaluationSettings` with data."""
    return flat(kind() if kind is Settings else EvaluationSettings(data=DataSettings()))


# What other programs call it; the nearest key is another one.
_MEANT = {"init": "init_from", "pretrained": "init_from", "weights": "init_from", "run": "checkpoint"}


def is_setting(key: str, kind: type) -> bool:
    """Whether `Settings` or `EvaluationSettings` has this key; a camera of any name has all that cameras have."""
    return re.sub(r"^data\.other_cameras\.[^.]+\.", "data.camera.", key) in settings_of(kind)


def no_setting(key: str, kind: type) -> SettingsError:
    """What to raise for a key that `kind` has not: it tells the nearest key, and how a camera is added."""
    keys = list(settings_of(kind))
    if other := re.match(r"data\.other_cameras\.([^.]+)", key):
        if key == other[0]:
            cure = f'add one with "+data.other_cameras={{{other[1]}:{{red_gain:1.4}}}}"'
            return SettingsError(f"{key}: there is no camera of this name; {cure}")
        keys = [f"{other[0]}.{name}" for name in vars(CameraSettings())]
    other_kind = EvaluationSettings if kind is Settings else Settings
    if is_setting(key, other_kind):
        here, there = map(script, ("train", "evaluate") if kind is Settings else ("evaluate", "train"))
        return SettingsError(f"{key} is no setting of {here}: it is one of {there}; {here} --help lists them")
    full = {name.rpartition(".")[2]: name for name in reversed(keys)} | {name: name for name in keys}
    full |= {word: name for word, name in _MEANT.items() if name in keys}
    near = difflib.get_close_matches(key, full, n=1, cutoff=0.65)
    return SettingsError(f"{key} is no setting: {f'did you mean {full[near[0]]}?' if near else '--help lists them'}")
