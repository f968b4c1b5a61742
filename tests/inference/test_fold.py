"""Folding changes the time, not the result."""

from functools import partial

import pytest
import torch

from enhance.inference.enhancer import Enhancer
from enhance.inference.fold import fold_batch_norms
from enhance.models.build import build_model
from enhance.models.model import EnhancementModel
from enhance.models.residual import ResidualUNet
from enhance.models.unet import UNet
from enhance.norm.batch import BatchNorm
from enhance.settings.schema import ModelSettings, NormSettings


def trained_unet(norm: NormSettings) -> EnhancementModel:
    """A model whose weights and statistics are nowhere at their first values."""
    torch.manual_seed(0)
    return trained(build_model(ModelSettings(width=8, depth=2), norm))


def trained_without_affine() -> EnhancementModel:
    unet = partial(UNet, partial(BatchNorm, affine=False), width=8, depth=2)
    return trained(EnhancementModel(ResidualUNet(unet, unshuffle=2, brightened=False)))


def trained(model: EnhancementModel) -> EnhancementModel:
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    for _ in range(3):
        model(torch.rand(4, 3, 48, 48))
    return model.eval()


@pytest.mark.parametrize("norm", [None, "bn", "bn_act", "bn_ghost", "brn"])
def test_the_same_output_without_batch_norms(norm: str | None) -> None:
    model = trained_unet(NormSettings(norm)) if norm else trained_without_affine()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = fold_batch_norms(model)
    assert not any(isinstance(module, BatchNorm) for module in folded.modules())
    image = torch.rand(2, 3, 50, 37)
    with torch.inference_mode():
        torch.testing.assert_close(folded(image), model(image), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "norm", [NormSettings("gn", num_groups=4), NormSettings("none"), NormSettings("bn", track_running_stats=False)]
)
def test_what_depends_on_the_image_stays(norm: NormSettings) -> None:
    model = trained_unet(norm)
    image = torch.rand(1, 3, 48, 48)
    with torch.inference_mode():
        assert torch.equal(fold_batch_norms(model)(image), model(image))


def test_the_enhancer_folds() -> None:
    enhancer = Enhancer(trained_unet(NormSettings("bn")), torch.device("cpu"))
    assert not any(isinstance(module, BatchNorm) for module in enhancer.model.modules())
