"""The contact sheet shows the right images in the right places."""

import numpy as np
import pytest

from enhance.evaluation.contact_sheet import draw, worst_and_best
from enhance.evaluation.drawing import CELL, GAP, LINE
from enhance.evaluation.scores import ImageScore


def scored(*decibels: float) -> list[ImageScore]:
    return [ImageScore(f"{db}.png", db, 0.5, db, 0.5, 5, 0.1, 0.1) for db in decibels]


@pytest.mark.parametrize(
    ("decibels", "worst", "best"),
    [
        ((20,), [0], []),
        ((20, 10), [1], [0]),
        ((20, 10, 15), [1, 2], [0]),
        ((9, 8, 7, 6, 5, 4, 3, 2, 1), [8, 7, 6, 5], [0, 1, 2, 3]),
    ],
)
def test_worst_and_best(decibels: tuple[float, ...], worst: list[int], best: list[int]) -> None:
    assert worst_and_best(scored(*decibels)) == (worst, best)


def test_the_worst_stands_left_with_input_output_target(pairs) -> None:
    colours = {}
    for index in range(3):
        low, normal = pairs.whole(index)
        low[:], normal[:] = 0.1 * index, 0.5 + 0.1 * index
        colours[index] = [round(255 * value) for value in (0.1 * index, 0.1 * index + 0.3, 0.5 + 0.1 * index)]
    sheet = np.array(draw(scored(20, 10, 15), pairs, lambda low: low + 0.3, "title"))
    columns = [GAP + column * (CELL + GAP) + CELL // 2 for column in range(3)]
    first = 2 * LINE + 2 * LINE + LINE + 10  # inside the first row of images
    block = 4 * GAP + 3 * CELL + GAP
    assert [sheet[first, column, 0] for column in columns] == pytest.approx(colours[1], abs=1)
    assert [sheet[first, block + column, 0] for column in columns] == pytest.approx(colours[0], abs=1)


def test_a_single_image_makes_a_sheet(pairs) -> None:
    pairs.names, pairs.pairs = pairs.names[:1], pairs.pairs[:1]
    sheet = draw(scored(20), pairs, lambda low: low, "title")
    assert sheet.width == 4 * GAP + 3 * CELL
