"""Which values of the settings make sense, as far as that needs no data and no model."""

import difflib
import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from enhance.errors import SettingsError
from enhance.settings import Settings

ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh")
_PARTS = ("l1", "charbonnier", "ssim", "ms_ssim", "edge", "colour", "perceptual")
_SMALLEST: dict[str, float] = {
    "seed": 0,
    "batch_size": 1,
    "accumulate": 1,
    "threads": 1,
    "data.crop": 16,
    "data.gamma_jitter": 0,
    "data.training_images": 1,
    "data.cache_gib": 0,
    "data.workers": 0,
    "model.width": 1,
    "model.depth": 1,
    "model.unshuffle": 1,
    "model.init_scale": 0,
    "norm.eps": 0,
    "norm.momentum": 0,
    "norm.num_groups": 1,
    "norm.virtual_batch": 1,
    "norm.r_max": 1,
    "norm.d_max": 0,
    "norm.ramp_start": 0,
    "norm.freeze_after": 0,
    **{f"objective.{part}": 0 for part in _PARTS},
    "optimizer.lr": 0,
    "optimizer.weight_decay": 0,
    "optimizer.clip": 0,
    "optimizer.max_skipped": 1,
    "schedule.steps": 1,
    "schedule.epochs": 0,
    "schedule.exposure_epochs": 0,
    "validation.every": 1,
    "validation.recalibrate_images": 1,
    "validation.strips": 0,
}
_LARGEST: dict[str, float] = {
    "seed": 2**63 - 1,  # torch takes no more
    "threads": 1024,
    "model.width": 4096,
    "norm.momentum": 1,
    "norm.r_ramp_end": 1,
    "norm.d_ramp_end": 1,
    "norm.freeze_after": 1,
}
_CAMERA_SMALLEST: dict[str, float] = {
    "white_balance_drift": 0,
    "red_gain": 0,
    "blue_gain": 0,
    "full_well_electrons": 1,
    "read_noise_electrons": 0,
    "seed": 0,
}
_CAMERA_LARGEST: dict[str, float] = {"seed": 2**63 - 1}
_CAMERA_POSITIVE = ("red_gain", "blue_gain")
_POSITIVE = ("optimizer.lr", "model.init_scale", "schedule.epochs")  # with _SMALLEST 0
_SHARES = (
    "average_decay",
    "data.validation_share",
    "data.mixup",
    "optimizer.beta1",
    "optimizer.beta2",
    "schedule.warmup",
    "schedule.floor",
)


def check_ranges(settings: Settings) -> None:
    """Check ranges and choices that need no data and no model.

    Raises:
        SettingsError: names the key, its value and what it may be.
    """
    one_of("precision", settings.precision, ("auto", "fp32", "bf16", "fp16"))
    one_of("model.activation", settings.model.activation, ACTIVATIONS)
    one_of("data.on_error", settings.data.on_error, ("fail", "skip"))
    one_of("on_full_disk", settings.on_full_disk, ("stop", "go_on"))
    one_of("model.down", settings.model.down, ("max_pool", "strided"))
    one_of("model.init", settings.model.init, ("kaiming", "xavier", "torch"))
    one_of("optimizer.lr_scaling", settings.optimizer.lr_scaling, ("none", "sqrt", "linear"))
    for key, value in _floats(settings):
        if not math.isfinite(value):
            raise SettingsError(f"{key}={value} is not a finite number: give one")
    _check_bounds("", settings, _SMALLEST, _LARGEST, _POSITIVE)
    others = {f"data.other_cameras.{name}": camera for name, camera in settings.data.other_cameras.items()}
    for key, camera in ({"data.camera": settings.data.camera} | others).items():
        _check_bounds(f"{key}.", camera, _CAMERA_SMALLEST, _CAMERA_LARGEST, _CAMERA_POSITIVE)
        if camera.exposure_min_ev > camera.exposure_max_ev:
            raise SettingsError(
                f"{key}.exposure_min_ev={camera.exposure_min_ev} is above "
                f"exposure_max_ev={camera.exposure_max_ev}: swap them"
            )
    for key in _SHARES:
        if not 0 <= _get(settings, key) <= 1:
            raise SettingsError(f"{key}={_get(settings, key)} is out of range: it is a share, between 0 and 1")
    if (settings.schedule.steps is None) == (settings.schedule.epochs is None):
        raise SettingsError(
            "schedule.steps and schedule.epochs: give one and set the other to null, "
            "for example schedule.steps=null schedule.epochs=20"
        )
    for key, name in (("name", settings.name), ("sweep", settings.sweep)):
        if name is not None and (not name or Path(name).name != name):
            raise SettingsError(
                f"{key}={name} is no name for a folder: leave out / and choose another; runs= is its place"
            )
    if settings.compile and settings.checkpoint_activations:
        raise SettingsError(
            "checkpoint_activations=true does not go with compile=true, which chooses by itself what backward computes "
            "again: leave one of them out"
        )
    if not any(getattr(settings.objective, part) for part in _PARTS):
        raise SettingsError(f"every weight of objective is 0: nothing to learn from; raise one of {', '.join(_PARTS)}")
    multiple = settings.model.unshuffle * 2**settings.model.depth
    if multiple > 32:
        raise SettingsError(
            f"model.unshuffle * 2**model.depth = {multiple}: at most 32, so that images of 16 px still pass; "
            "lower model.depth or model.unshuffle"
        )


def _check_bounds(
    prefix: str, values: Any, smallest: dict[str, float], largest: dict[str, float], positive: tuple[str, ...]
) -> None:
    for key, bound in smallest.items():
        value = _get(values, key)
        if value is not None and value < bound:
            raise SettingsError(f"{prefix}{key}={value} is too small: it is at least {bound}")
    for key, bound in largest.items():
        value = _get(values, key)
        if value is not None and value > bound:
            raise SettingsError(f"{prefix}{key}={value} is too large: it is at most {bound}")
    for key in positive:
        if _get(values, key) == 0:
            raise SettingsError(f"{prefix}{key}=0 is too small: it is more than 0")


def _get(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = getattr(values, part)
    return values


def _floats(values: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    named = values if isinstance(values, dict) else {each.name: getattr(values, each.name) for each in fields(values)}
    for name, value in named.items():
        if is_dataclass(value) or isinstance(value, dict):
            yield from _floats(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            yield prefix + name, value


def one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `SettingsError` with the choices, and the nearest of them, unless `value` is among them."""
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise SettingsError(f"{key}={value} is unknown: choose one of {', '.join(choices)}{meant}")
