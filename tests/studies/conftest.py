"""Runs of a sweep that take a second."""

from collections.abc import Callable
from pathlib import Path

import pytest

from enhance.settings import command
from enhance.settings.schema import Settings
from tests.small_data import SMALL, write_pairs


def small_settings(place: Path) -> Callable[..., Settings]:
    """Settings of two steps on four pairs in `place`, one of them for validation; runs are in it as well."""
    write_pairs(place / "pairs" / "our485", range(4))
    places = (f"data.root={place / 'pairs'}", f"runs={place / 'runs'}")
    common = [*SMALL, *places, "device=cpu", "precision=fp32", "schedule.steps=2"]
    return lambda *words: command.compose([*common, *words])


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    return small_settings(tmp_path)
