"""What training minimizes: weighted parts, each a distance between output and target."""

from collections.abc import Callable

import torch
from kornia.losses import ssim_loss
from torch import Tensor
from torch.nn import functional as F

from enhance.settings import ObjectiveSettings

Distance = Callable[[Tensor, Tensor], Tensor]


class Objective:
    """l1 * |output - target| + ssim * (1 - SSIM), each a mean over the batch.

    SSIM (Wang et al. 2004) has the window of the score: 11x11 Gaussian, sigma 1.5, valid region.
    """

    def __init__(self, settings: ObjectiveSettings) -> None:
        parts: dict[str, tuple[float, Distance]] = {
            "l1": (settings.l1, F.l1_loss),
            "ssim": (settings.ssim, _ssim_distance),
        }
        self.parts = {name: part for name, part in parts.items() if part[0] > 0}

    def __call__(self, output: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its parts before their weights, detached.

        Args:
            output, target: (N, 3, H, W) float32; the output is not clamped, so that its gradient never vanishes.
        """
        distances = {name: distance(output, target) for name, (_, distance) in self.parts.items()}
        loss = torch.stack([self.parts[name][0] * value for name, value in distances.items()]).sum()
        return loss, {name: value.detach() for name, value in distances.items()}


def _ssim_distance(output: Tensor, target: Tensor) -> Tensor:
    # kornia's loss is (1 - SSIM) / 2
    return 2 * ssim_loss(output, target, window_size=11, padding="valid")
