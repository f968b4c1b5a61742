"""What makes two runs the same: every setting is either part of the identity, or said not to be, at its field."""

import copy
import csv
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from enhance.settings import command
from enhance.settings.identity import NOT_IDENTITY, identity, move
from enhance.settings.schema import CameraSettings, Settings, flat

STUDY = Path(__file__).parents[2] / "docs" / "study"


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, StrEnum):
        return next(each for each in type(value) if each != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return "other" if value is None else f"{value}, another"


def changed() -> Iterator[tuple[str, Settings]]:
    """Each setting, and settings in which it alone is changed."""
    for key in flat(Settings()):
        settings = Settings()
        *groups, name = key.split(".")
        place: Any = settings
        for each in groups:
            place = getattr(place, each)
        setattr(place, name, other(getattr(place, name)))
        yield key, settings


def test_every_setting_that_makes_a_result_tells_runs_apart_and_no_other() -> None:
    wanted = identity(Settings())
    for key, settings in changed():
        assert (identity(settings) == wanted) == (key in NOT_IDENTITY), key
    assert len({identity(settings) for key, settings in changed() if key not in NOT_IDENTITY}) == len(
        flat(Settings())
    ) - len(NOT_IDENTITY)


def test_other_cameras_count() -> None:
    one, two = Settings(), Settings()
    one.data.other_cameras = {"warm": CameraSettings(red_gain=1.4)}
    two.data.other_cameras = {"warm": CameraSettings(red_gain=1.5)}
    assert len({identity(each) for each in (one, two, Settings())}) == 3


def test_the_order_of_cameras_does_not_count() -> None:
    one, two = Settings(), Settings()
    warm, cold = CameraSettings(red_gain=1.4), CameraSettings(blue_gain=1.4)
    one.data.other_cameras = {"warm": warm, "cold": cold}
    two.data.other_cameras = {"cold": cold, "warm": warm}
    assert identity(one) == identity(two)


def test_machine_and_places_move() -> None:
    for key, settings in changed():
        moved = copy.deepcopy(Settings())
        move(moved, settings)
        values = (flat(each)[key][1] for each in (moved, settings))
        assert (len(set(values)) == 1) == (NOT_IDENTITY.get(key) in ("machine", "place")), key


def test_fields_say_what_they_mean() -> None:
    def walk(settings: Any) -> None:
        for field in fields(settings):
            assert field.metadata["meaning"], field.name
            value = getattr(settings, field.name)
            if is_dataclass(value):
                walk(value)

    walk(Settings())


# Row names of docs/study, and the words that make their runs, besides experiment= and the place of the data.
ROWS = {
    "runs.csv": ("small_batch", "batch_size=8,norm=bn,seed=0"),
    "frozen_statistics.csv": ("frozen_statistics", "batch_size=8,norm=bn,schedule.freeze_after=0.5,seed=0"),
    "recipe.csv": ("recipe", "batch_size=8,model.brightened=False,norm=bn,seed=0"),
    "learning_rate.csv": ("learning_rate", "batch_size=8,norm=bn,optimizer.lr=0.0001,seed=0"),
}


@pytest.mark.parametrize("file", ROWS)
def test_rows_of_the_study_are_recognised(file: str) -> None:
    """Where this fails because a default was changed, the column `id` of docs/study/*.csv has to be made anew."""
    experiment, run = ROWS[file]
    with (STUDY / file).open(newline="") as lines:
        rows = {row["run"]: row["id"] for row in csv.DictReader(lines)}
    settings = command.compose([f"experiment={experiment}", *run.split(",")])
    settings.data.content = LOL
    assert identity(settings) == rows[run]


LOL = "e05e6e242d27"  # `enhance.data.open` of LOL v1's 485 training pairs at 256x256, by lol_v1_split.csv
