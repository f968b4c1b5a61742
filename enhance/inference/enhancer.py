"""A trained U-Net as a function from a dark photograph to a bright one."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from enhance import checkpoint
from enhance.inference.fold import fold_batch_norms
from enhance.models.unet import SMALLEST_SIDE, UNet


class Enhancer:
    """Enhance one photograph at a time.

    Example:
        >>> enhancer = Enhancer.load(Path("runs/mine/checkpoints/best.pt"), torch.device("cpu"))
        >>> bright = enhancer.enhance(dark)
    """

    def __init__(self, model: UNet, device: torch.device) -> None:
        self.model = fold_batch_norms(model.to(device).eval())
        self.device = device

    @classmethod
    def load(cls, path: Path, device: torch.device) -> "Enhancer":
        """The enhancer of a checkpoint file.

        Raises:
            CheckpointError: as `enhance.checkpoint.load` and `load_model`.
        """
        return cls(checkpoint.load_model(checkpoint.load(path), path, device), device)

    @torch.inference_mode()
    def enhance(self, image: Tensor) -> Tensor:
        """(3, H, W) in [0, 1], any size -> the same size, in [0, 1], on the image's device.

        A side shorter than 16 px is extended by its last pixels for the U-Net, and the result cropped.
        """
        height, width = image.shape[-2:]
        missing = (0, max(0, SMALLEST_SIDE - width), 0, max(0, SMALLEST_SIDE - height))
        padded = F.pad(image[None].to(self.device), missing, mode="replicate")
        return self.model(padded)[0, :, :height, :width].clamp(0, 1).to(image.device)
