"""Labelled rows of images on white paper, for images of any size."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from enhance.errors import SettingsError

CELL = 240  # width of one image, in pixels
GAP = 8  # between images and around them
LINE = 24  # height of a line of text
MOST_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # of a file that can be read again
_TEXT, _FAINT, _PAPER = (24, 24, 24), (110, 110, 110), (255, 255, 255)


class Cell(NamedTuple):
    """An image, uint8 (H, W, 3), and the lines of text below it, the first one darker."""

    image: np.ndarray
    lines: Sequence[str] = ()


def rows(cells: Iterable[Sequence[Cell]], width: int = CELL, margin: int = GAP) -> Image.Image:
    """A row for each sequence of cells, one below the other. Cells are drawn as they come: few large images are in
    memory at once. Raises `SettingsError` where the picture would have too many pixels."""
    drawn, left = [], MOST_PIXELS
    for each in cells:
        left -= len(each) * (width + GAP) * (_height(each, width) + GAP)
        if left < 0:
            most = f"--width {width}: the images make a picture of more than {MOST_PIXELS / 1e6:.0f} megapixels"
            raise SettingsError(f"{most}; give a smaller --width, or fewer --names")
        drawn.append(row(each, width, margin))
    return stack(drawn)


def row(cells: Sequence[Cell], width: int = CELL, margin: int = GAP, name: str = "") -> Image.Image:
    """Images side by side, each as wide as `width` and as high as the first one then is.

    Args:
        margin: left and right, in pixels.
        name: a line above.
    """
    top, height = LINE * bool(name), _height(cells, width)
    size = len(cells) * (width + GAP) - GAP + 2 * margin, top + height + LINE * max(len(cell.lines) for cell in cells)
    drawn = Image.new("RGB", size, _PAPER)
    _write(drawn, (margin, LINE // 2), name, 14)
    for column, cell in enumerate(cells):
        left = margin + column * (width + GAP)
        drawn.paste(Image.fromarray(cell.image).resize((width, height), Image.Resampling.LANCZOS), (left, top))
        for number, line in enumerate(cell.lines):
            middle = top + height + LINE // 2 + number * (LINE - 4)
            _write(drawn, (left, middle), line, 12, _FAINT if number else _TEXT)
    return drawn


def stack(pictures: Sequence[Image.Image], across: bool = False) -> Image.Image:
    """Pictures one below the other, or `across`, side by side."""
    sizes = np.array([picture.size for picture in pictures])
    length = int(sizes[:, 0 if across else 1].sum()) + GAP * (len(pictures) - 1)
    breadth = int(sizes[:, 1 if across else 0].max())
    whole = Image.new("RGB", (length, breadth) if across else (breadth, length), _PAPER)
    place = 0
    for picture in pictures:
        whole.paste(picture, (place, 0) if across else (0, place))
        place += (picture.width if across else picture.height) + GAP
    return whole


def heading(text: str, width: int, size: int) -> Image.Image:
    """A line of text, two lines high with the gap below it."""
    drawn = Image.new("RGB", (width, 2 * LINE - GAP), _PAPER)
    _write(drawn, (GAP, LINE), text, size)
    return drawn


def _write(image: Image.Image, place: tuple[int, int], text: str, size: int, colour: tuple[int, ...] = _TEXT) -> None:
    ImageDraw.Draw(image).text(place, text, colour, ImageFont.load_default(size), anchor="lm")


def _height(cells: Sequence[Cell], width: int) -> int:
    height, original_width = cells[0].image.shape[:2]
    return max(1, round(width * height / original_width))
