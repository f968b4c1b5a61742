"""The whole U-Net under torch.compile: one graph, the same numbers."""

import copy

import pytest
import torch
from torch import Tensor, nn

from enhance.models.build import build_model
from enhance.models.model import EnhancementModel
from enhance.norm.registry import NORMS
from enhance.settings.schema import ModelSettings, NormSettings


def small_unet(norm: str) -> EnhancementModel:
    torch.manual_seed(0)
    settings = ModelSettings(
        width=8, depth=1, context=True, exposure=False
    )  # which has no norm: test_build compiles it
    model = build_model(settings, NormSettings(norm))
    nn.init.normal_(model.network.unet.output.weight, std=0.1)  # zero hides what comes before
    return model


def step(model: EnhancementModel, run: nn.Module, image: Tensor, grad: Tensor) -> dict[str, Tensor]:
    output = run(image)
    output.backward(grad)
    gradients = {f"grad of {name}": parameter.grad for name, parameter in model.named_parameters()}
    return {"output": output.detach(), **gradients, **dict(model.named_buffers())}


def assert_same(model: EnhancementModel, image: Tensor, backend: str) -> None:
    torch.compiler.reset()
    twin, grad = copy.deepcopy(model), torch.randn(image.shape)
    wanted = step(model, model, image, grad)
    compiled = step(twin, torch.compile(twin, fullgraph=True, backend=backend), image, grad)
    torch.testing.assert_close(compiled, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_one_graph_under_every_norm(norm: str) -> None:
    assert_same(small_unet(norm), torch.rand(3, 3, 32, 32), "aot_eager")


@pytest.mark.parametrize("size", [(33, 47), (16, 50)])
def test_one_graph_for_padded_images(size: tuple[int, int]) -> None:
    assert_same(small_unet("bn"), torch.rand(2, 3, *size), "aot_eager")


@pytest.mark.slow
def test_by_inductor() -> None:
    model = small_unet("bn").to(memory_format=torch.channels_last)
    assert_same(model, torch.rand(3, 3, 32, 32).to(memory_format=torch.channels_last), "inductor")
