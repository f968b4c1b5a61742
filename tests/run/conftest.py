from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Four pairs of noise."""
    rng = np.random.default_rng(0)
    for side in ("low", "normal"):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for name in range(4):
            pixels = rng.integers(256, size=(20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pairs" / side / f"{name}.png")
    return tmp_path / "pairs"
