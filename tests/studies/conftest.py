"""Runs of a sweep that take a second."""

from collections.abc import Callable
from pathlib import Path

import pytest

from enhance.settings import command
from enhance.settings.schema import Settings
from tests.small_data import SMALL, write_pairs


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of two steps on four pairs, one of them for validation."""
    write_pairs(tmp_path / "pairs" / "our485", range(4))
    places = (f"data.root={tmp_path / 'pairs'}", f"runs={tmp_path / 'runs'}")
    common = [*SMALL, *places, "device=cpu", "precision=fp32", "schedule.steps=2"]
    return lambda *words: command.compose([*common, *words])
