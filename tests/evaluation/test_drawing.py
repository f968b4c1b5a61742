"""Pictures stand where they belong, at their width, with their text below; and few of them are in memory at once."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from enhance.errors import SettingsError
from enhance.evaluation.drawing import CELL, GAP, LINE, Cell, heading, row, rows, stack

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def plain(colour: tuple[int, int, int], width: int = 20, height: int = 10) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def is_paper(image: np.ndarray) -> bool:
    return bool((image == 255).all())


def darkest(image: np.ndarray) -> int:
    """Of the text in a strip of paper."""
    return int(image.max(axis=-1).min())


def test_images_of_a_row_are_as_wide_as_wanted_and_as_high_as_the_first() -> None:
    drawn = np.asarray(row([Cell(plain(RED)), Cell(plain(GREEN, 7, 31))], width=60, margin=5))
    assert drawn.shape == (30, 5 + 60 + GAP + 60 + 5, 3)
    assert (drawn[:, 5:65] == RED).all()
    assert (drawn[:, 65 + GAP : 125 + GAP] == GREEN).all()
    for paper in (drawn[:, :5], drawn[:, 65 : 65 + GAP], drawn[:, 125 + GAP :]):
        assert is_paper(paper)


def test_an_image_keeps_its_sides_when_it_is_made_smaller() -> None:
    image = np.concatenate([plain(RED, 300, 300), plain(BLUE, 300, 300)], axis=1)
    drawn = np.asarray(row([Cell(image)], width=100, margin=0))
    assert drawn.shape == (50, 100, 3)
    assert (drawn[:, :45] == RED).all()
    assert (drawn[:, 55:] == BLUE).all()


@pytest.mark.parametrize(("width", "height"), [(5000, 1), (1, 30)])
def test_an_image_of_any_shape_is_seen(width: int, height: int) -> None:
    drawn = row([Cell(plain(RED, width, height))], width=50, margin=0)
    assert drawn.size == (50, max(1, 50 * height // width))
    assert (np.asarray(drawn) == RED).all()


def test_text_stands_below_its_image_and_the_name_above() -> None:
    cells = [Cell(plain(RED)), Cell(plain(GREEN), ["MMMM", "MMMM"])]
    drawn = np.asarray(row(cells, width=60, margin=5, name="MMMM"))
    assert drawn.shape[0] == LINE + 30 + 2 * LINE
    name, below = drawn[:LINE], drawn[LINE + 30 :]
    assert darkest(name) < 100
    assert (drawn[LINE : LINE + 30, 5:65] == RED).all()
    assert is_paper(below[:, : 65 + GAP])  # the first one has no text
    first, second = below[: LINE - 2, 65 + GAP :], below[LINE - 2 :, 65 + GAP :]
    assert darkest(first) < darkest(second) < 200


def test_text_in_any_script_is_no_error() -> None:
    name = "Ωмега 夜 🌙"
    assert row([Cell(plain(RED), [name])], name=name).height == LINE + CELL // 2 + LINE


@pytest.mark.parametrize("across", [False, True])
def test_pictures_are_stacked_with_a_gap(across: bool) -> None:
    pictures = [Image.fromarray(plain(RED, 20, 10)), Image.fromarray(plain(BLUE, 12, 16))]
    drawn = np.asarray(stack(pictures, across))
    if across:
        assert drawn.shape == (16, 20 + GAP + 12, 3)
        red, gap, blue = drawn[:10, :20], drawn[:, 20 : 20 + GAP], drawn[:, 20 + GAP :]
    else:
        assert drawn.shape == (10 + GAP + 16, 20, 3)
        red, gap, blue = drawn[:10], drawn[10 : 10 + GAP], drawn[10 + GAP :, :12]
    assert (red == RED).all()
    assert is_paper(gap)
    assert (blue == BLUE).all()


def test_a_heading_is_a_line_of_text_in_its_width() -> None:
    drawn = heading("MMMM", 200, 18)
    assert drawn.size == (200, 2 * LINE - GAP)
    assert darkest(np.asarray(drawn)) < 100


def test_rows_are_below_each_other_and_each_has_its_own_height() -> None:
    drawn = np.asarray(rows([[Cell(plain(RED))], [Cell(plain(BLUE, 10, 20)), Cell(plain(GREEN))]], width=40, margin=0))
    assert drawn.shape == (20 + GAP + 80, 40 + GAP + 40, 3)
    assert (drawn[:20, :40] == RED).all()
    assert is_paper(drawn[:20, 40:])
    assert (drawn[20 + GAP :, :40] == BLUE).all()
    assert (drawn[20 + GAP :, 40 + GAP :] == GREEN).all()


def test_more_pixels_than_can_be_read_again_are_refused_before_they_are_drawn() -> None:
    opened = []

    def photographs() -> Iterator[list[Cell]]:
        for height in (1, 3000, 1):
            opened.append(height)
            yield [Cell(plain(RED, 1000, height))]

    with pytest.raises(SettingsError, match=r"--width 10000: .* give a smaller --width, or fewer --names"):
        rows(photographs(), width=10000)
    assert opened == [1, 3000]
