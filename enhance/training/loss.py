"""What training minimizes: weighted distances between output and target, and the forward pass up to it as one function
that can be compiled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from kornia.filters import get_gaussian_kernel1d
from torch import Tensor, nn
from torch.nn import functional as F

from enhance.errors import SettingsError
from enhance.evaluation.cached_weights import cached_file, missing
from enhance.models.model import EnhancementModel
from enhance.settings.schema import ObjectiveSettings

Distance = Callable[[Tensor, Tensor], Tensor]  # of (N, C, H, W) each; (N, ...) whose mean it is
Loss = Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]
RELU3_3 = 16  # layers of torchvision's VGG-16 up to and with it


class Objective(nn.Module):
    """The weighted sum of distances, each a mean over the batch:

    l1           |output - target|
    ssim         1 - SSIM  (Wang et al. 2004), with the window of the score: 11x11 Gaussian, sigma 1.5, valid region
    perceptual   |difference of VGG features|, see `Perceptual`, which raises where its weights are missing
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
            output, target: (N, C, H, W) float32; the output is not clamped, so that its gradient never vanishes.
        """
        parts = {name: self.distances[name](output, target).mean() for name in self.weights}
        loss = torch.stack([self.weights[name] * value for name, value in parts.items()]).sum()
        return loss, {name: value.detach() for name, value in parts.items()}

    def _ssim_distance(self, output: Tensor, target: Tensor) -> Tensor:
        """1 - SSIM at each position whose window lies within the image, (N, C, H - 10, W - 10)."""
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


class Perceptual(nn.Module):
    """|difference of the features of VGG-16 at relu3_3| (Johnson et al. 2016, arXiv 1603.08155), (N, 256, H/4, W/4).

    Args:
        weights: file of torchvision's VGG-16 weights; None takes the one in torch's cache. Nothing is fetched.

    Raises:
        SettingsError: the file is missing, or holds something else.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        from torchvision.models import VGG16_Weights, vgg16  # here: it takes a second, and few runs need it

        url = VGG16_Weights.IMAGENET1K_V1.url
        file = Path(weights) if weights else cached_file(url)
        if not file.is_file():
            raise SettingsError(f"objective.perceptual: {missing(file, url)}, or give objective.vgg=FILE")
        model = vgg16(init_weights=False)
        try:
            model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        except Exception as error:  # of many kinds, for as many kinds of damage
            raise SettingsError(f"objective.vgg={file}: holds no weights of torchvision's VGG-16") from error
        self.features = model.features[:RELU3_3].eval().requires_grad_(False)
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self._features(target)
        return (self._features(output) - wanted).abs()

    def _features(self, image: Tensor) -> Tensor:
        return self.features((image - self.mean) / self.deviation)


def training_loss(model: EnhancementModel, objective: Objective, device: torch.device, dtype: torch.dtype) -> Loss:
    """Function of a dark and a bright batch (N, C, H, W) in [0, 1]: the objective plus the model's own losses, and the
    parts of both, detached.

    Args:
        dtype: what the model computes in; parameters and objective are float32.
    """

    def loss(low: Tensor, normal: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            output, own = model.training_output(low, normal)
        total, parts = objective(output, normal)
        for name, value in own.items():
            total = total + value
            parts[name] = value.detach()
        return total, parts

    return loss


def compiled(loss: Loss, device: torch.device) -> Loss:
    """The same function under torch.compile, in one graph with its gradient; the first call takes a minute or so.
    Raises `SettingsError` where torch.compile does not work on this machine."""
    try:
        torch.compile(lambda x: x + 1, fullgraph=True)(torch.zeros(2**10, device=device))
    except Exception as error:  # of many kinds, for as many reasons
        reason = str(error).strip().partition("\n")[0]
        needed = "a C++ compiler (g++)" if device.type == "cpu" else "triton and a C compiler (gcc)"
        cure = f"install {needed}, or leave compile=false"
        raise SettingsError(f"compile=true: torch.compile does not work here ({reason}): {cure}") from error
    # On the CPU torch 2.14 reorders the operations of two networks so that one reads memory before it is written.
    options: dict[str, Any] = {"reorder_for_peak_memory": False} if device.type == "cpu" else {}
    return torch.compile(loss, fullgraph=True, dynamic=False, options=options)
