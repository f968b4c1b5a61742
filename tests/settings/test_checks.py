"""Values that make no sense are refused, with the key, the value and what it may be."""

from typing import Any

import pytest

from enhance.errors import SettingsError
from enhance.settings.checks import check, check_bounds, one_of
from enhance.settings.schema import CameraSettings, EvaluationSettings, Settings, flat


def settings_with(values: dict[str, Any]) -> Settings:
    """Settings with these values, by their keys."""
    settings = Settings()
    for key, value in values.items():
        *groups, name = key.split(".")
        place: Any = settings
        for each in groups:
            place = getattr(place, each)
        setattr(place, name, value)
    return settings


def bounded(bound: str) -> list[tuple[str, float]]:
    """The keys that have a bound of that kind, and the bound."""
    bounds = ((key, field.metadata[bound]) for key, (field, _) in flat(Settings()).items())
    return [(key, value) for key, value in bounds if value is not None]


@pytest.mark.parametrize(("key", "least"), bounded("least"))
def test_every_lower_bound_is_checked(key: str, least: float) -> None:
    with pytest.raises(SettingsError, match=f"^{key}={least - 1} is too small: it is at least {least}$"):
        check(settings_with({key: least - 1}))
    check_bounds(settings_with({key: least}))


@pytest.mark.parametrize(("key", "most"), bounded("most"))
def test_every_upper_bound_is_checked(key: str, most: float) -> None:
    with pytest.raises(SettingsError, match=f"^{key}={most + 1} is too large: it is at most {most}$"):
        check(settings_with({key: most + 1}))
    check_bounds(settings_with({key: most}))


@pytest.mark.parametrize(("key", "above"), bounded("above"))
def test_what_has_to_be_more_than_a_bound_is_not_the_bound(key: str, above: float) -> None:
    with pytest.raises(SettingsError, match=f"^{key}={above} is too small: it is more than {above}$"):
        check(settings_with({key: above}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(SettingsError, match=rf"^optimizer\.lr={value} is not a finite number: give one$"):
        check(settings_with({"optimizer.lr": value}))


def test_settings_as_they_are_make_sense() -> None:
    check(Settings())
    check_bounds(EvaluationSettings())


COMPILE = "checkpoint_activations=true does not go with compile=true"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"data.camera.exposure_min_ev": -1}, "data.camera.exposure_min_ev=-1 is above exposure_max_ev=-2.0: swap"),
        ({"schedule.epochs": 2.0}, "schedule.steps and schedule.epochs: give one"),
        ({"schedule.steps": None}, "schedule.steps and schedule.epochs: give one"),
        ({"name": "a/b"}, "name=a/b is no name for a folder: leave out /"),
        ({"name": ""}, "name= is no name for a folder"),
        ({"sweep": "/tmp"}, "sweep=/tmp is no name for a folder"),
        ({"compile": True, "checkpoint_activations": True}, COMPILE),
        ({"model.channels": 2}, "model.channels=2: it is one of 1, 3, 4"),
        ({"model.channels": 1, "objective.perceptual": 0.1}, "objective.perceptual=0.1: VGG-16 .*: leave one out"),
        ({"objective.l1": 0.0, "objective.ssim": 0.0}, "every weight of objective is 0: .*raise one of l1, ssim"),
        ({"model.depth": 5}, r"model.unshuffle \* 2\*\*model.depth = 64: at most 32, .*lower model.depth"),
    ],
    ids=str,
)
def test_settings_that_do_not_go_together_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=f"^{told}"):
        check(settings_with(values))


def test_other_cameras_are_checked_by_their_names() -> None:
    for camera, told in (
        (CameraSettings(red_gain=0), r"data\.other_cameras\.warm\.red_gain=0 is too small: it is more than 0"),
        (CameraSettings(exposure_max_ev=-7), r"data\.other_cameras\.warm\.exposure_min_ev=-6.0 is above .*=-7"),
    ):
        with pytest.raises(SettingsError, match=told):
            check(settings_with({"data.other_cameras": {"cold": CameraSettings(), "warm": camera}}))


def test_an_unknown_name_is_told_with_the_choices_and_the_nearest() -> None:
    one_of("norm", "bn", ["bn", "gn"])
    with pytest.raises(SettingsError, match=r"^norm=bnn is unknown: choose one of bn, gn; did you mean bn\?$"):
        one_of("norm", "bnn", (name for name in ("bn", "gn")))
    with pytest.raises(SettingsError, match=r"^norm=xyz is unknown: choose one of bn, gn$"):
        one_of("norm", "xyz", ["bn", "gn"])


@pytest.mark.parametrize("name", ["", ".", "..", "/", "/tmp", "a/b", "a/", "../a", "a/..", "./a"])
@pytest.mark.parametrize("key", ["name", "sweep"])
def test_a_run_and_a_sweep_stay_in_the_folder_of_runs(key: str, name: str) -> None:
    settings = Settings()
    setattr(settings, key, name)
    with pytest.raises(SettingsError, match=f"^{key}={name} is no name for a folder: .*runs= is its place"):
        check(settings)


@pytest.mark.parametrize("name", ["a", "a..b", "...", ".a", "ü ü", "a b", "-"])
def test_a_folder_may_have_an_odd_name(name: str) -> None:
    settings = Settings()
    settings.name = settings.sweep = name
    check(settings)
