"""Activation checkpointing: the same training, bit for bit, in less memory."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from enhance.cost.measure import saved_tensors, storage_bytes
from enhance.models.build import build_model
from enhance.models.model import EnhancementModel
from enhance.norm.registry import NORMS
from enhance.norm.renorm import set_progress
from enhance.settings.schema import ModelSettings, NormSettings
from tests.norm.ranks import on_two_ranks


def unet(norm: str, checkpoint_activations: bool, **options: float) -> EnhancementModel:
    """A U-Net whose running statistics and vectors are drawn, so that none hides behind zeros and ones."""
    torch.manual_seed(0)
    settings = ModelSettings(width=8, depth=2, context=True)
    model = build_model(settings, NormSettings(norm, **options), checkpoint_activations)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and (tensor.dim() == 1 or name == "network.unet.output.weight"):
            nn.init.uniform_(tensor, 0.5, 1.5)
    set_progress(model, 1.0)
    return model


def trained(model: EnhancementModel, steps: int = 2, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Gradients of the last step, and the buffers after it."""
    torch.manual_seed(1)
    for _ in range(steps):
        image, grad = (torch.rand(3, 3, 37, 50) for _ in range(2))
        model.zero_grad()
        with torch.autocast(image.device.type, dtype, enabled=dtype != torch.float32):
            output = model(image)
        output.backward(grad)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert gradients.keys() == dict(model.named_parameters()).keys()
    return gradients | dict(model.named_buffers())


def assert_same_bits(tensors: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert tensors.keys() == wanted.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, wanted[name]), name
        assert tensor.isfinite().all(), name


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_and_running_statistics_are_the_same_bit_for_bit(norm: str) -> None:
    assert_same_bits(trained(unet(norm, True)), trained(unet(norm, False)))


def test_the_average_over_all_batches_counts_each_batch_once() -> None:
    model = unet("bn", True)
    for module in model.modules():
        if isinstance(module, NORMS["bn"]):
            module.momentum = None
    counted = [value for name, value in trained(model, steps=3).items() if name.endswith("num_batches_tracked")]
    assert counted
    assert all(count == 3 for count in counted)


def test_in_half_precision_too() -> None:
    assert_same_bits(*(trained(unet("bn", each), dtype=torch.bfloat16) for each in (True, False)))


def test_a_retained_graph_goes_backward_twice_alike() -> None:
    model = unet("brn", True)
    output = model(torch.rand(2, 3, 32, 32))
    both = [
        torch.autograd.grad(output, list(model.parameters()), torch.ones_like(output), retain_graph=True)
        for _ in range(2)
    ]
    for first, second in zip(*both, strict=True):
        assert torch.equal(first, second)


def _trained_on_a_rank(rank: int) -> list[dict[str, Tensor]]:
    return [trained(unet("sync_bn", each)) for each in (True, False)]


@pytest.mark.cpu
def test_synchronised_batch_norm_recomputes_on_all_ranks(tmp_path: Path) -> None:
    for checkpointed, plain in on_two_ranks(_trained_on_a_rank, tmp_path):
        assert_same_bits(checkpointed, plain)


@pytest.mark.parametrize("norm", ["bn", "bn_act", "gn"])
def test_less_is_kept_for_backward(norm: str) -> None:
    image = torch.rand(2, 3, 128, 128)
    sizes = {}
    for each in (True, False):
        model = unet(norm, each)
        sizes[each] = sum(storage_bytes(saved_tensors(lambda model=model: model(image))).values())
    assert sizes[True] < 0.6 * sizes[False]
