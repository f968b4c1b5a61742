"""The photographs that need no download."""

import numpy as np
import pytest
from skimage import data

from enhance.data.demo import SMALLEST_TILE, dark_photograph, training_photographs, validation_photographs


def test_tiles_are_large_enough_and_make_up_the_photographs() -> None:
    tiles = training_photographs()
    assert all(tile.dtype == np.uint8 and tile.shape[2:] == (3,) for tile in tiles.values())
    assert min(min(tile.shape[:2]) for tile in tiles.values()) >= SMALLEST_TILE
    rows = [[tiles[f"astronaut-{row}-{column}"] for column in range(2)] for row in range(2)]  # of 512x512
    np.testing.assert_array_equal(np.block([[[tile] for tile in row] for row in rows]), data.astronaut())


def test_no_tile_comes_twice() -> None:
    seen = {tile.tobytes() for tile in training_photographs().values()}
    assert len(seen) == len(training_photographs())


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_each_photograph_is_validated_under_four_names(name: str) -> None:
    photographs = validation_photographs()
    assert len(photographs) == 8
    for number in range(1, 5):
        np.testing.assert_array_equal(photographs[f"{name}-{number}"], getattr(data, name)())


def test_the_dark_photograph_is_always_the_same() -> None:
    dark = dark_photograph()
    assert (dark.dtype, dark.shape) == (np.uint8, (400, 600, 3))
    assert dark.mean() < data.coffee().mean() / 3
    np.testing.assert_array_equal(dark, dark_photograph())
