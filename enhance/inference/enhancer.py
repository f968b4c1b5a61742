"""A trained model as a function from a dark photograph to a bright one."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from enhance.inference.fold import fold_batch_norms
from enhance.inference.tiles import enhance_tiles, side_within
from enhance.models.model import EnhancementModel
from enhance.models.residual import SMALLEST_SIDE
from enhance.run import checkpoint

MAX_GIB = 1.0


class Enhancer:
    """Enhance one photograph at a time.

    Args:
        model: any mode; left as it is.
        max_gib: GiB that the model may take at work, estimated; a larger photograph goes through in tiles, with the
            same result.

    Raises:
        SettingsError: `max_gib` has no room for a pixel, or is no limit at all.

    Example:
        >>> enhancer = Enhancer.load(Path("runs/mine/checkpoints/best.pt"), torch.device("cpu"))
        >>> bright = enhancer.enhance(dark)
    """

    def __init__(self, model: EnhancementModel, device: torch.device, max_gib: float = MAX_GIB) -> None:
        # Convolutions in channels_last take a third less time on a CPU.
        self.model = fold_batch_norms(model.to(device).eval()).to(memory_format=torch.channels_last)
        self.device = device
        self.side = side_within(self.model, max_gib, device)  # of the largest square to take whole

    @classmethod
    def load(cls, path: Path, device: torch.device, max_gib: float = MAX_GIB) -> "Enhancer":
        """The enhancer of a checkpoint file.

        Raises:
            CheckpointError: as `enhance.run.checkpoint.load` and `load_model`.
        """
        return cls(checkpoint.load_model(checkpoint.load(path), path, device), device, max_gib)

    @torch.inference_mode()
    def enhance(self, image: Tensor) -> Tensor:
        """(3, H, W) in [0, 1], any size -> the same size, in [0, 1], on the image's device.

        A side shorter than 16 px is extended by its last pixels for the model, and the result cropped.

        Raises:
            SettingsError: so little memory is allowed that there is no room for a tile.
        """
        height, width = image.shape[-2:]
        if height * width > self.side**2:
            return enhance_tiles(self.model, image, self.side, self.device).clamp_(0, 1)
        missing = (0, max(0, SMALLEST_SIDE - width), 0, max(0, SMALLEST_SIDE - height))
        padded = F.pad(image[None].to(self.device), missing, mode="replicate")
        return self.model(padded)[0, :, :height, :width].clamp(0, 1).to(image.device)
