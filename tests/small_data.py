"""Data and settings of runs that take seconds, for tests and drills."""

from pathlib import Path

import numpy as np
from PIL import Image

SMALL = (
    "data=lol_v1",
    "data.crop=16",
    "data.validation_share=0.25",
    "model.width=4",
    "model.depth=1",
    "model.exposure=false",  # a quarter of the time, and no drill is about it
    "batch_size=2",
    "validation.recalibrate_images=2",
)


def draw_scene(seed: int) -> np.ndarray:
    """A coarse random picture, uint8 (40, 56, 3): each seed is another scene."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((56, 40), Image.Resampling.BILINEAR))


def write_pairs(folder: Path, seeds: range) -> None:
    """Write a pair of one scene a seed into `<folder>/low` and `<folder>/high`."""
    for part in ("low", "high"):
        (folder / part).mkdir(parents=True)
    for seed in seeds:
        scene = draw_scene(seed)
        Image.fromarray(scene).save(folder / "high" / f"{seed}.png")
        Image.fromarray(scene // 5).save(folder / "low" / f"{seed}.png")
