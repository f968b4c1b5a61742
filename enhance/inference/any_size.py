"""A model on photographs of any size, in what memory the device has."""

import math

import torch
from torch import Tensor

from enhance.device import available_memory
from enhance.errors import SettingsError
from enhance.inference.tiles import cut, enhance_tiles, lacks_running_statistics, side_within
from enhance.models.model import EnhancementModel


class AnySize:
    """Takes a photograph whole where the device has room for it, else in tiles, with the same result.

    Two cases are tried whole, for tiles do not serve them: batch norms with each image's own statistics, and so little
    free memory that a tile would be all margin.

    Args:
        model: in evaluation mode, on `device`; left as it is.
    """

    def __init__(self, model: EnhancementModel, device: torch.device) -> None:
        self.model, self.device = model, device
        memory = None if lacks_running_statistics(model) else available_memory(device)
        self.side = math.inf if memory is None else _side(model, memory, device)

    def home(self, image: Tensor) -> torch.device:
        """Where an image (..., H, W) is to be: on the device, or on the CPU where it goes through in tiles."""
        return self.device if self._fits(image) else torch.device("cpu")

    def __call__(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) in [0, 1] at its `home` -> (1, 3, H, W) there, not clamped."""
        if self._fits(image):
            return self.model(image)
        return enhance_tiles(self.model, image[0], int(self.side), self.device)[None]

    def _fits(self, image: Tensor) -> bool:
        return image.shape[-2] * image.shape[-1] <= self.side**2

    def enhance(self, image: Tensor) -> Tensor:
        """(3, H, W) in [0, 1] -> the same, on the image's device."""
        return self(image[None].to(self.home(image)))[0].clamp(0, 1).to(image.device)


def _side(model: EnhancementModel, memory: int, device: torch.device) -> float:
    try:
        side = side_within(model, memory / 2**30, device)
        for network in model.networks():
            cut(side, side, side, network.reach, network.multiple)
    except SettingsError:
        return math.inf
    return side
