"""What training minimizes: weighted parts, each a distance between output and target."""

from collections.abc import Callable

import torch
from kornia.filters import get_gaussian_kernel1d, get_spatial_gradient_kernel2d
from kornia.losses import MS_SSIMLoss
from torch import Tensor, nn
from torch.nn import functional as F

from enhance.models.brightness import mean_grey
from enhance.settings import ObjectiveSettings
from enhance.training.perceptual import Perceptual

Distance = Callable[[Tensor, Tensor], Tensor]  # of (N, 3, H, W) each; (N, ...) whose mean it is


class Objective(nn.Module):
    """The weighted sum of distances, each a mean over the batch:

    l1           |output - target|
    charbonnier  sqrt((output - target)^2 + 1e-6)  (Lai et al. 2017, arXiv 1704.03915, eq. 6)
    ssim         1 - SSIM  (Wang et al. 2004), with the window of the score: 11x11 Gaussian, sigma 1.5, valid region
    ms_ssim      1 - MS-SSIM, by five Gaussians at one scale  (Zhao et al. 2017, arXiv 1511.08861, section 3.3)
    edge         |difference of Sobel gradients|
    colour       |difference of the channels' means over the image|
    perceptual   |difference of VGG features|, see `Perceptual`

    With `gt_mean`, each distance d but `colour` takes the form of Liao et al. 2025 (arXiv 2507.20148), image by image:

        W d(output, target) + (1 - W) d(output * m, target)

    where m brings the output to the target's mean brightness, and W, without gradient, is the Bhattacharyya distance of
    two Gaussians, at most 1: their means are the two brightnesses, their standard deviations a tenth of these. So
    detail is learned before brightness is right, and brightness counts while it is wrong.

    Raises:
        SettingsError: the VGG weights of `perceptual` are missing.
    """

    window: Tensor
    sobel: Tensor

    def __init__(self, settings: ObjectiveSettings) -> None:
        super().__init__()
        weights = {
            "l1": settings.l1,
            "charbonnier": settings.charbonnier,
            "ssim": settings.ssim,
            "ms_ssim": settings.ms_ssim,
            "edge": settings.edge,
            "colour": settings.colour,
            "perceptual": settings.perceptual,
        }
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}
        self.gt_mean = settings.gt_mean
        self.distances: dict[str, Distance] = {
            "l1": lambda output, target: (output - target).abs(),
            "charbonnier": lambda output, target: ((output - target).square() + 1e-6).sqrt(),
            "ssim": self._ssim_distance,
            "edge": lambda output, target: self._gradients(output - target).abs(),
            "colour": lambda output, target: (output.mean((2, 3)) - target.mean((2, 3))).abs(),
        }
        # Buffers, for kornia's own functions make their kernels anew, and a device would be waited for at every step.
        self.register_buffer("window", get_gaussian_kernel1d(11, 1.5)[0], persistent=False)
        self.register_buffer("sobel", get_spatial_gradient_kernel2d("sobel", 1)[:, None] / 8, persistent=False)
        self.ms_ssim = MS_SSIMLoss(alpha=1.0, compensation=1.0, reduction="none") if settings.ms_ssim > 0 else None
        self.perceptual = Perceptual(settings.vgg) if settings.perceptual > 0 else None
        if self.ms_ssim is not None:
            self.distances["ms_ssim"] = self.ms_ssim
        if self.perceptual is not None:
            self.distances["perceptual"] = self.perceptual

    def forward(self, output: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its parts before their weights, detached.

        Args:
            output, target: (N, 3, H, W) float32; the output is not clamped, so that its gradient never vanishes.
        """
        matched, share = _match(output, target) if self.gt_mean else (None, None)
        parts: dict[str, Tensor] = {}
        for name in self.weights:
            distance = self.distances[name]
            parts[name] = distance(output, target)
            if matched is None or share is None or name == "colour":
                parts[name] = parts[name].mean()
            else:
                both = torch.stack([each.flatten(1).mean(1) for each in (parts[name], distance(matched, target))])
                parts[name] = (both[0] * share + both[1] * (1 - share)).mean()
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

    def _gradients(self, image: Tensor) -> Tensor:
        """Sobel's, (N, 3 * 2, H, W), of the image with its border repeated."""
        channels = image.shape[1]
        return F.conv2d(F.pad(image, [1] * 4, mode="replicate"), self.sobel.repeat(channels, 1, 1, 1), groups=channels)


def _match(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The output at the target's mean grey value, clipped to [0, 1], and the share (N,) of the plain distance."""
    brightness, wanted = (mean_grey(image).flatten().clamp(min=1e-3) for image in (output, target))
    matched = (output * (wanted / brightness).view(-1, 1, 1, 1)).clamp(0, 1)
    one, other = brightness.detach(), wanted
    squares = (one.square() + other.square()) / 2
    distance = (one - other).square() / (8 * 0.1**2 * squares) + 0.5 * (squares / (one * other)).log()
    return matched, distance.clamp(0, 1)
