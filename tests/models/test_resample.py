"""Half and twice the resolution: what torch.compile gets computes what eager mode does."""

import pytest
import torch
from torch import Tensor, nn

from enhance.models.resample import DoubleBilinear, HalveByMax, _max_pool
from tests.norm.test_against_torch import LAYOUTS

TORCHS = {
    HalveByMax: nn.MaxPool2d(2),
    DoubleBilinear: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
}
SHAPES = [(2, 6, 8, 10), (1, 3, 7, 5), (3, 6, 1, 4), (2, 1, 9, 2)]
CASES = [(layer, shape) for layer in TORCHS for shape in SHAPES if not (layer is HalveByMax and 1 in shape[2:])]


def with_gradient(layer: nn.Module, x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    y = layer(x)
    y.backward(grad)
    assert x.grad is not None
    return y.detach(), x.grad


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize(("layer", "shape"), CASES)
@pytest.mark.parametrize("compiled", [False, True])
def test_values_and_gradient_are_torchs(layer: type[nn.Module], shape: tuple, compiled: bool, layout: str) -> None:
    torch.compiler.reset()
    x = LAYOUTS[layout](torch.randint(0, 4, shape).float())  # with ties: the gradient goes to the first
    wanted = TORCHS[layer](x)
    grad = torch.randn(wanted.shape)
    run = torch.compile(layer(), fullgraph=True, backend="aot_eager") if compiled else layer()
    output, output_grad = with_gradient(run, x, grad)
    wanted, wanted_grad = with_gradient(TORCHS[layer], x, grad)
    torch.testing.assert_close(output, wanted)
    torch.testing.assert_close(output_grad, wanted_grad)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_what_the_compiler_is_told_of_the_pooling_is_true(layout: str) -> None:
    x = LAYOUTS[layout](torch.randn(2, 3, 7, 6)).requires_grad_()
    torch.library.opcheck(_max_pool, (x,))
