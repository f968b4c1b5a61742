"""Which tests `make check` runs: those of rooms that need no training beyond a few steps and no compiler, about
a minute in all."""

from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_FAST = {"settings", "run", "data", "evaluation", "studies"}  # rooms, besides the files beside this one


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        room = item.path.relative_to(_HERE).parts[0]
        if (room in _FAST or room.endswith(".py")) and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.fast)
