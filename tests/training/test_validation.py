"""What a validation shows."""

import torch

from enhance.models.build import build_model
from enhance.settings.schema import ModelSettings, NormSettings
from enhance.training.validation import strips
from tests.evaluation.conftest import Pairs


def test_large_images_are_shown_small() -> None:
    model = build_model(ModelSettings(width=8, depth=1), NormSettings(name="bn")).eval()
    pairs = Pairs(["large.png", "small.png"], [(200, 1280), (24, 40)])
    shapes = {name: [image.shape for image in images] for name, images in strips(model, pairs, torch.device("cpu"))}
    shown = "input output target"
    assert shapes == {f"{shown}/large.png": [(3, 100, 640)] * 3, f"{shown}/small.png": [(3, 24, 40)] * 3}
