"""Settings as older versions wrote them into config.yaml and checkpoints."""

from typing import Any

from enhance.errors import SettingsError

# Settings that are gone, with the value that means what happens today. No run of theirs goes on with another one.
_REMOVED: dict[str, Any] = {
    "data.mixup": 0.0,
    "data.gamma_jitter": 0.0,
    "model.down": "max_pool",
    "norm.affine": True,
    "norm.ramp_start": 0.05,
    "norm.r_ramp_end": 0.4,
    "norm.d_ramp_end": 0.25,
    "objective.charbonnier": 0.0,
    "objective.ms_ssim": 0.0,
    "objective.edge": 0.0,
    "objective.colour": 0.0,
    "objective.gt_mean": False,
}
# What older versions wrote where null, the layer's own default, stands today; and of two norms, where they differ.
_NORM_DEFAULTS: dict[str, Any] = {
    "eps": 1e-5,
    "momentum": 0.1,
    "track_running_stats": True,
    "num_groups": 8,
    "virtual_batch": 2,
    "r_max": 3.0,
    "d_max": 5.0,
}
_DEFAULTS_OF = {"frn": {"eps": 1e-6}, "brn": {"momentum": 0.05}}
_EPOCHS = 40  # of the exposure network, where older versions chose by themselves


def upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """The values in the form of this version; those of this version stay as they are. Raises `SettingsError` where they
    ask for what this version no longer does."""
    groups = ("data", "norm", "schedule")
    if not all(isinstance(values.get(group), dict) for group in groups) or "content" in values["data"]:
        return values  # of this version, or no settings at all, which the types will show
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for key, neutral in _REMOVED.items():
        group, _, name = key.partition(".")
        value = values[group].pop(name, None) if isinstance(values.get(group), dict) else None
        if value is not None and value != neutral:
            raise SettingsError(f"{key}={value} was removed after the version that wrote this; train anew without it")
    data, norm, schedule = (values[group] for group in groups)
    for name, default in (_NORM_DEFAULTS | _DEFAULTS_OF.get(str(norm.get("name")), {})).items():
        if norm.get(name) == default:
            norm[name] = None
    freeze_after = norm.pop("freeze_after", None)
    schedule["freeze_after"] = 1.0 if freeze_after is None else freeze_after
    epochs = schedule.pop("exposure_epochs", None)
    if epochs is not None:
        data |= {"exposure_epochs": epochs, "exposure_crops": 1}
    elif data.get("name") not in ("demo", "photos"):
        data["exposure_epochs"] = _EPOCHS
    return values
