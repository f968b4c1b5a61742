"""What a validation shows."""

import torch
from torch import Tensor

from enhance.models.unet import build_unet
from enhance.settings import ModelSettings, NormSettings
from enhance.training.validation import write_strips
from tests.evaluation.conftest import Pairs


class Strips:
    """In place of the tracker."""

    def __init__(self) -> None:
        self.shapes: dict[str, list[tuple[int, ...]]] = {}

    def strip(self, step: int, name: str, images: list[Tensor]) -> None:
        self.shapes[name.partition("/")[2]] = [tuple(image.shape) for image in images]


def test_large_images_are_shown_small() -> None:
    model = build_unet(ModelSettings(width=8, depth=1), NormSettings(name="bn")).eval()
    with torch.inference_mode():
        strips = Strips()
        write_strips(strips, 1, model, Pairs(["large.png", "small.png"], [(200, 1280), (24, 40)]))
    assert strips.shapes == {"large.png": [(3, 100, 640)] * 3, "small.png": [(3, 24, 40)] * 3}
