"""How the light of a scene varies over it: a smooth field of exposure, back light, and lamps.

A real dark photograph is seldom as dark in one place as in another: sky, windows and lamps stay bright where the rest
sinks. Each function takes a generator and draws from it; a crop sees the part of the photograph's light that falls on
it.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

_FIELD_CELLS = (2, 5)  # of the grid that a field is interpolated from, a side
_LAMP_RADIUS = (0.004, 0.06)  # of the photograph's shorter side
_LAMP_EV = (0.0, 6.0)  # above white
_LAMPS = 4  # at most, in a whole photograph
_GLOW = 0.02  # of the lamp's own light, around it


@dataclass(frozen=True)
class View:
    """The part of a photograph that a crop of it shows."""

    size: tuple[int, int]  # height and width of the crop, in pixels
    corner: tuple[float, float]  # top and left, as shares of the photograph's height and width
    share: tuple[float, float]  # height and width, as such shares

    @classmethod
    def whole(cls, photograph: np.ndarray) -> "View":
        """Of a photograph (H, W, 3) itself."""
        return cls(photograph.shape[:2], (0.0, 0.0), (1.0, 1.0))

    @classmethod
    def anywhere(cls, taken: int, size: int, photograph: tuple[int, int], rng: np.random.Generator) -> "View":
        """A square of `taken` pixels at some place of a photograph, shrunk to `size`: its light is as likely here as
        there."""
        down, across = (taken / side for side in photograph)
        return cls((size, size), (rng.uniform(0, 1 - down), rng.uniform(0, 1 - across)), (down, across))


def field(view: View, most_ev: float, rng: np.random.Generator) -> np.ndarray:
    """Stops by which each place of the view is lit more or less than the photograph's mean: float32 (H, W), smooth.
    Over the photograph they span a range that is uniform between 0 and `most_ev`."""
    cells = int(rng.integers(_FIELD_CELLS[0], _FIELD_CELLS[1] + 1))
    grid = rng.standard_normal((cells, cells)).astype(np.float32)
    whole = np.asarray(Image.fromarray(grid).resize((32, 32), Image.Resampling.BICUBIC))
    grid = (grid - whole.mean()) * np.float32(rng.uniform(0, most_ev) / np.ptp(whole))
    (top, left), (down, across) = view.corner, view.share
    box = (left * cells, top * cells, (left + across) * cells, (top + down) * cells)
    height, width = view.size
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC, box))


def back_light(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How much of its light each place keeps where the rest sinks: float32 (H, W), 1 in what is bright, 0 in the rest.

    Args:
        photograph: uint8 (H, W, 3).
    """
    grey = Image.fromarray(photograph).convert("L").filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 4)))
    threshold, width = rng.uniform(0.45, 0.85), rng.uniform(0.03, 0.15)
    table = 1 / (1 + np.exp((threshold - np.arange(256) / 255) / width))
    return table.astype(np.float32)[np.asarray(grey)]


def lamps(view: View, rng: np.random.Generator) -> np.ndarray:
    """Light that lamps and small windows add, in units of white: float32 (H, W, 3), from 0 to far above 1."""
    height, width = view.size
    scale = min(height / view.share[0], width / view.share[1])  # shorter side of the photograph, in pixels of the view
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    light = np.zeros((height, width, 3), np.float32)
    for _ in range(int(rng.integers(1, _LAMPS + 1))):
        place = [
            (at - corner) / share * side
            for at, corner, share, side in zip(rng.uniform(0, 1, 2), view.corner, view.share, view.size, strict=True)
        ]
        radius = scale * np.exp(rng.uniform(*np.log(_LAMP_RADIUS)))
        stretch = np.exp(rng.normal(0, 0.4))  # windows and tubes are longer in one direction
        square = ((rows - place[0]) * stretch / radius) ** 2 + ((columns - place[1]) / stretch / radius) ** 2
        shape = 1 / (1 + square**8) + _GLOW / (1 + square)
        colour = np.exp([rng.normal(0.15, 0.15), 0, rng.normal(-0.15, 0.2)]).astype(np.float32)
        light += np.float32(2 ** rng.uniform(*_LAMP_EV)) * shape[..., None] * colour
    return light
