"""A model as a function from a dark photograph to a bright one, of any size, in what memory there is."""

import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from enhance import weights
from enhance.device import available_memory, choose_device
from enhance.errors import SettingsError
from enhance.inference.brightness import Brightness
from enhance.inference.fold import fold_batch_norms
from enhance.inference.pictures import Picture, each
from enhance.inference.tiles import cut, enhance_tiles, lacks_running_statistics, side_within
from enhance.models.model import EnhancementModel
from enhance.models.residual import SMALLEST_SIDE
from enhance.run import checkpoint

MAX_GIB = 1.0


class AnySize:
    """Takes a photograph whole where there is room for it, else in tiles, with the same result.

    Args:
        model: in evaluation mode, on `device`; left as it is.
        side: of the largest square to take whole, in pixels; None: of the largest that the device has room for.
    """

    def __init__(self, model: EnhancementModel, device: torch.device, side: float | None = None) -> None:
        self.model, self.device = model, device
        self.side = _side_with_room(model, device) if side is None else side

    def home(self, image: Tensor) -> torch.device:
        """Where an image (..., H, W) is to be: on the device, or on the CPU where it goes through in tiles."""
        return self.device if self._fits(image) else torch.device("cpu")

    def __call__(self, image: Tensor, light: Tensor | None = None) -> Tensor:
        """(1, C, H, W) in [0, 1] at its `home` -> (1, C, H, W) there, not clamped; H, W >= 16. `light` is as of
        `EnhancementModel.enhance`."""
        if self._fits(image):
            return self.model(image) if light is None else self.model(image, light)
        return enhance_tiles(self.model, image[0], int(self.side), self.device, light)[None]

    def _fits(self, image: Tensor) -> bool:
        return image.shape[-2] * image.shape[-1] <= self.side**2

    @torch.inference_mode()
    def enhance(self, image: Tensor, light: Tensor | None = None) -> Tensor:
        """(C, H, W) in [0, 1], any size -> the same size, in [0, 1], on the image's device. `light` is as of
        `EnhancementModel.enhance`, on any device.

        A side shorter than 16 px is extended by its last pixels for the model, and the result cropped. Raises
        `SettingsError` where so little memory is allowed that there is no room for a tile."""
        height, width = image.shape[-2:]
        batch = image[None].to(self.home(image))
        if min(height, width) < SMALLEST_SIDE:
            missing = (0, max(0, SMALLEST_SIDE - width), 0, max(0, SMALLEST_SIDE - height))
            batch = F.pad(batch, missing, mode="replicate")
        light = light if light is None else light.to(batch.device)
        return self(batch, light)[0, :, :height, :width].clamp_(0, 1).to(image.device)


def _side_with_room(model: EnhancementModel, device: torch.device) -> float:
    """Infinite, for all is tried whole, where tiles do not serve: with batch norms that take each image's own
    statistics, and with so little free memory that a tile would be all margin."""
    memory = None if lacks_running_statistics(model) else available_memory(device)
    if memory is None:
        return math.inf
    try:
        side = side_within(model, memory / 2**30, device)
        for network in model.networks():
            cut(side, side, side, network.reach, network.multiple)
    except SettingsError:
        return math.inf
    return side


class Enhancer(AnySize):
    """Enhance one photograph at a time with a trained model.

    Args:
        model: any mode; left as it is.
        max_gib: GiB that the model may take at work, estimated; a larger photograph goes through in tiles.

    Raises:
        SettingsError: `max_gib` has no room for a pixel, or is no limit at all.

    Example:
        >>> enhancer = Enhancer.load()
        >>> bright = enhancer.enhance(Image.open("dark.jpg"))
    """

    def __init__(self, model: EnhancementModel, device: torch.device, max_gib: float = MAX_GIB) -> None:
        # Convolutions in channels_last take a third less time on a CPU.
        folded = fold_batch_norms(model.to(device).eval()).to(memory_format=torch.channels_last)
        super().__init__(folded, device, side_within(folded, max_gib, device))

    @classmethod
    def load(
        cls, run: str | Path = weights.DEFAULT, device: str | torch.device = "auto", max_gib: float = MAX_GIB
    ) -> "Enhancer":
        """The enhancer of a run folder (its best.pt), of a checkpoint file, or of weights in the box by their name.

        Args:
            device: "auto" takes a CUDA device where there is one.

        Raises:
            CheckpointError: as `checkpoint.locate`, `checkpoint.load` and `load_model`.
        """
        path = checkpoint.locate(str(run), runs="runs")
        device = device if isinstance(device, torch.device) else choose_device(device)
        return cls(checkpoint.load_model(checkpoint.load(path), path, device), device, max_gib)

    def enhance(self, picture: Picture, brightness: Brightness | str | float = "auto") -> Picture:  # type: ignore[override]  # more kinds than its base
        """A picture of any size, or each of a batch: of a kind, type and layout of `pictures.each` and of the model's
        channels, as which it comes back. Raises what that raises, and `SettingsError` as `AnySize.enhance`.

        Args:
            brightness: "auto", as the model sets it; a mean grey value, such as 0.5; or stops more or less, as "+1EV".
        """
        wanted = Brightness.of(brightness)
        return each(picture, lambda image: wanted.set(AnySize.enhance(self, image)), self.model.channels)
