"""Settings as older versions wrote them: the same run where they mean the same, refused where they no longer can."""

import copy
from typing import Any

import pytest

from enhance.errors import SettingsError
from enhance.settings import command
from enhance.settings.config import from_dict, to_dict
from enhance.settings.identity import identity
from enhance.settings.schema import Settings
from enhance.settings.upgrade import upgraded


def older() -> dict[str, Any]:
    """As versions before the settings stood at their fields wrote them."""
    values = to_dict(Settings())
    del values["schedule"]["freeze_after"]
    for key in ("exposure_epochs", "exposure_crops", "content"):
        del values["data"][key]
    values["data"] |= {"name": "lol_v1", "mixup": 0.0, "gamma_jitter": 0.0}
    values["schedule"]["exposure_epochs"] = None
    values["norm"] |= {"eps": 1e-5, "momentum": 0.1, "affine": True, "freeze_after": 0.8, "r_ramp_end": None}
    values["model"]["down"] = "max_pool"
    values["objective"] |= {"charbonnier": 0.0, "gt_mean": False}
    return values


def test_older_settings_are_the_same_run() -> None:
    """Where they mean the same: a run of an older version is found by resume=auto."""
    same = command.compose(["data=lol_v1", "schedule.freeze_after=0.8"])
    assert identity(from_dict(older())) == identity(same)


def test_settings_of_older_versions_are_read() -> None:
    settings = from_dict(older())
    assert (settings.schedule.freeze_after, settings.data.exposure_epochs) == (0.8, 40)
    values = older()
    values["data"]["name"] = "demo"
    assert from_dict(values).data.exposure_epochs is None
    values["schedule"]["exposure_epochs"] = 20
    assert (from_dict(values).data.exposure_epochs, from_dict(values).data.exposure_crops) == (20, 1)


@pytest.mark.parametrize(
    ("group", "name", "value"), [("data", "mixup", 0.5), ("objective", "gt_mean", True), ("model", "down", "strided")]
)
def test_what_this_version_no_longer_does_is_refused(group: str, name: str, value: Any) -> None:
    values = older()
    values[group][name] = value
    before = copy.deepcopy(values)
    with pytest.raises(SettingsError, match=f"{group}.{name}={value} was removed"):
        from_dict(values)
    assert values == before


@pytest.mark.parametrize("value", [None, 3, "x", [1], {"a": 1}, {"name": {"b": 2}}])
@pytest.mark.parametrize("group", ["data", "norm", "schedule", "model"])
def test_what_are_no_settings_is_refused(group: str, value: Any) -> None:
    """In the form of an older version, which is upgraded first."""
    with pytest.raises(SettingsError):
        from_dict(older() | {group: value})


def test_settings_of_this_version_stay_as_they_are() -> None:
    """Even those that an older version would have meant another way."""
    settings = Settings()
    settings.norm.eps, settings.norm.momentum = 1e-5, 0.1
    assert from_dict(upgraded(to_dict(settings))) == settings


def test_upgrading_leaves_what_it_is_given() -> None:
    values = older()
    before = copy.deepcopy(values)
    assert upgraded(values) != before
    assert values == before


@pytest.mark.parametrize(
    ("norm", "written", "wanted"),
    [
        ("bn", {"eps": 1e-5, "momentum": 0.1}, {}),
        ("bn", {"eps": 1e-6, "momentum": 0.05}, {"eps": 1e-6, "momentum": 0.05}),
        ("frn", {"eps": 1e-6}, {}),
        ("frn", {"eps": 1e-5}, {"eps": 1e-5}),
        ("brn", {"momentum": 0.05, "r_max": 3.0, "d_max": 5.0}, {}),
        ("brn", {"momentum": 0.1, "r_max": 2.0, "d_max": 5.0}, {"momentum": 0.1, "r_max": 2.0}),
        ("gn", {"num_groups": 8}, {}),
        ("gn", {"num_groups": 4}, {"num_groups": 4}),
    ],
)
def test_a_norms_own_default_of_then_is_its_default_of_today(
    norm: str, written: dict[str, Any], wanted: dict[str, Any]
) -> None:
    values = older()
    values["norm"] |= {"name": norm, "eps": None, "momentum": None} | written
    assert from_dict(values).norm.options() == wanted


def test_a_run_that_never_froze_its_statistics_does_not() -> None:
    values = older()
    values["norm"]["freeze_after"] = None
    assert from_dict(values).schedule.freeze_after == 1
