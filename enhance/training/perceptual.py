"""The distance of two images in the features of a network that was trained to recognize things."""

from pathlib import Path

import torch
from torch import Tensor, nn

from enhance.errors import SettingsError
from enhance.evaluation.cached_weights import cached_file, missing

RELU3_3 = 16  # layers of torchvision's VGG-16 up to and with it


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
