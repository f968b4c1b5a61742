"""Small image folders to read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance.data.open import open_data
from enhance.data.pairs import PairSource
from enhance.settings.schema import DataSettings


def draw_scene(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """A coarse random picture, uint8 (height, width, 3): each seed is another scene."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


def training_and_validation(data: DataSettings) -> tuple[PairSource, PairSource]:
    opened = open_data(data)
    return opened.training, opened.validation


@pytest.fixture
def scene() -> Callable[..., np.ndarray]:
    return draw_scene


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write one scene per file name; `shade` divides its brightness."""

    def write(folder: str, names: list[str], shade: int = 1) -> Path:
        path = tmp_path / folder
        path.mkdir(parents=True, exist_ok=True)
        for seed, name in enumerate(names):
            Image.fromarray(draw_scene(seed) // shade).save(path / name)
        return path

    return write


@pytest.fixture
def lol_v1(write_folder: Callable[..., Path], tmp_path: Path) -> Path:
    """LOL v1's layout with 12 pairs to train on and 2 to test on."""
    for split, count in (("our485", 12), ("eval15", 2)):
        names = [f"{number}.png" for number in range(1, count + 1)]
        write_folder(f"lol/{split}/low", names, shade=5)
        write_folder(f"lol/{split}/high", names)
    return tmp_path / "lol"
