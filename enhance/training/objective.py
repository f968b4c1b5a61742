"""What training minimizes: weighted parts, each a distance between output and target."""

from collections.abc import Callable

import torch
from kornia.filters import get_gaussian_kernel1d
from torch import Tensor, nn
from torch.nn import functional as F

from enhance.settings import ObjectiveSettings
from enhance.training.perceptual import Perceptual

Distance = Callable[[Tensor, Tensor], Tensor]  # of (N, 3, H, W) each; (N, ...) whose mean it is


class Objective(nn.Module):
    """The weighted sum of distances, each a mean over the batch:

    l1           |output - target|
    ssim         1 - SSIM  (Wang et al. 2004), with the window of the score: 11x11 Gaussian, sigma 1.5, valid region
    perceptual   |difference of VGG features|, see `Perceptual`

    Raises:
        SettingsError: the VGG weights of `perceptual` are missing.
    """

    window: Tensor

    def __init__(self, settings: ObjectiveSettings) -> None:
        super().__init__()
        weights = {"l1": settings.l1, "ssim": settings.ssim, "perceptual": settings.perceptual}
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}
        self.distances: dict[str, Distance] = {
            "l1": lambda output, target: (output - target).abs(),
            "ssim": self._ssim_distance,
        }
        # A buffer, for kornia's own function makes its kernel anew, and a device would be waited for at every step.
        self.register_buffer("window", get_gaussian_kernel1d(11, 1.5)[0], persistent=False)
        if settings.perceptual > 0:
            self.perceptual = self.distances["perceptual"] = Perceptual(settings.vgg)

    def forward(self, output: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its parts before their weights, detached.

        Args:
            output, target: (N, 3, H, W) float32; the output is not clamped, so that its gradient never vanishes.
        """
        parts = {name: self.distances[name](output, target).mean() for name in self.weights}
        loss = torch.stack([self.weights[name] * value for name, value in parts.items()]).sum()
        return loss, {name: value.detach() for name, value in parts.items()}

    def _ssim_distance(self, output: Tensor, target: Tensor) -> Tensor:
        """1 - SSIM at each position whose window lies within the image, (N, 3, H - 10, W - 10)."""
        mean, wanted = self._blurred(output), self._blurred(target)
        square, wanted_square, product = mean.square(), wanted.square(), mean * wanted
        variance = self._blurred(output.square()) - square
        wanted_variance = self._blurred(target.square()) - wanted_square
        covariance = self._blurred(output * target) - product
        alike = (2 * product + 0.01**2) * (2 * covariance + 0.03**2)
        return 1 - alike / ((square + wanted_square + 0.01**2) * (variance + wanted_variance + 0.03**2))

    def _blurred(self, image: Tensor) -> Tensor:
        channels = image.shape[1]
        window = self.window.expand(channels, 1, -1)
        along = F.conv2d(image, window.unsqueeze(2), groups=channels)
        return F.conv2d(along, window.unsqueeze(3), groups=channels)
