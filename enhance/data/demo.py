"""The photographs that scikit-image packages: enough to try everything without a download."""

import numpy as np
from skimage import data
from skimage.color import gray2rgb

from enhance.data.camera import darken
from enhance.settings.schema import CameraSettings

SMALLEST_TILE = 192  # pixels


def training_photographs() -> dict[str, np.ndarray]:
    """Eight photographs, the grey ones as RGB, cut into tiles of at least 192x192, so that a batch finds enough: uint8
    (H, W, 3) of each tile by its name."""
    left, right, _ = data.stereo_motorcycle()
    photographs = {
        "astronaut": data.astronaut(),
        "brick": gray2rgb(data.brick()),
        "camera": gray2rgb(data.camera()),
        "gravel": gray2rgb(data.gravel()),
        "immunohistochemistry": data.immunohistochemistry(),
        "motorcycle_left": left,
        "motorcycle_right": right,
        "rocket": data.rocket(),
    }
    return {
        f"{name}-{row}-{column}": tile
        for name, photograph in photographs.items()
        for row, band in enumerate(_parts(photograph, axis=0))
        for column, tile in enumerate(_parts(band, axis=1))
    }


def _parts(image: np.ndarray, axis: int) -> list[np.ndarray]:
    return np.array_split(image, image.shape[axis] // SMALLEST_TILE, axis)


def validation_photographs() -> dict[str, np.ndarray]:
    """Two photographs that share nothing with the training ones, each under four names and so at four exposures: uint8
    (H, W, 3) by name."""
    photographs = {"chelsea": data.chelsea(), "coffee": data.coffee()}
    return {f"{name}-{number}": pixels for name, pixels in photographs.items() for number in range(1, 5)}


def dark_photograph() -> np.ndarray:
    """One of the validation photographs (CC0, by Rachel Michetti) through the dim-light camera, always the same: uint8
    (400, 600, 3)."""
    camera = CameraSettings(exposure_min_ev=-4.0, exposure_max_ev=-4.0)
    return darken(data.coffee(), camera, np.random.default_rng(0))[0]
