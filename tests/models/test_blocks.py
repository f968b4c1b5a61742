"""The pieces of the U-Net, against torch's own operations."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance.models.blocks import ACTIVATIONS, Context, ConvNormAct, DoubleConv, Down, Up
from enhance.norm.functional import channel_moments
from enhance.norm.image import HalfInstanceNorm
from enhance.settings.schema import Activation

TORCHS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def test_every_activation_that_can_be_set_is_there() -> None:
    assert set(ACTIVATIONS) == set(TORCHS) == set(Activation)


@pytest.mark.parametrize("activation", TORCHS)
def test_convolution_then_norm_then_activation(activation: str) -> None:
    block, x = ConvNormAct(3, 4, nn.BatchNorm2d, activation), torch.randn(2, 3, 9, 7)
    with torch.no_grad():
        block[1].weight.copy_(torch.randn(4))
        block[1].bias.copy_(torch.randn(4))
    normed = F.batch_norm(F.conv2d(x, block[0].weight, padding=1), None, None, block[1].weight, block[1].bias, True)
    torch.testing.assert_close(block(x), TORCHS[activation](normed))


@pytest.mark.parametrize(
    ("norm", "has_bias"),
    [(nn.BatchNorm2d, False), (lambda _: nn.Identity(), True), (HalfInstanceNorm, True)],
)
def test_the_convolution_has_a_bias_where_no_norm_takes_it_away(norm: Callable, has_bias: bool) -> None:
    assert (ConvNormAct(3, 4, norm, "relu")[0].bias is not None) == has_bias
    for each in DoubleConv(3, 4, norm, "relu"):
        assert (each[0].bias is not None) == has_bias


def test_down_halves_by_the_maximum_and_takes_the_context_after_it() -> None:
    down, x = Down(3, 6, nn.BatchNorm2d, "relu").eval(), torch.randn(2, 3, 8, 12)
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return 2 * x

    output = down(x, Watching())
    assert torch.equal(seen[0], F.max_pool2d(x, 2))
    torch.testing.assert_close(output, down[1](2 * seen[0]))
    assert output.shape == (2, 6, 4, 6)


def test_up_interpolates_reduces_and_joins_with_the_skip() -> None:
    up, x, skip = Up(6, 3, nn.BatchNorm2d, "relu").eval(), torch.randn(2, 6, 4, 6), torch.randn(2, 3, 8, 12)
    reduced = up.reduce(F.interpolate(x, scale_factor=2, mode="bilinear"))  # in the other order, at four times the cost
    torch.testing.assert_close(up(x, skip), up.convs(torch.cat((skip, reduced), dim=1)))


@pytest.fixture
def context() -> Context:
    torch.manual_seed(0)
    context = Context(5, "relu")
    nn.init.normal_(context.expand.weight)
    return context


def test_a_context_adds_to_each_image_what_follows_from_its_means(context: Context) -> None:
    x = torch.randn(2, 5, 7, 9)
    added = context(x) - x
    torch.testing.assert_close(added, added[:, :, :1, :1].expand_as(x), rtol=0, atol=1e-5)
    first = context.expand.weight[:, :, 0, 0] @ F.relu(
        context.squeeze.weight[:, :, 0, 0] @ x[0].mean((1, 2)) + context.squeeze.bias
    )
    torch.testing.assert_close(added[0, :, 0, 0], first + context.expand.bias)
    mixed = context(x.flip(0)) - x.flip(0)
    torch.testing.assert_close(mixed, added.flip(0))  # nothing of the other image


def test_a_context_does_to_a_part_what_it_does_to_the_whole(context: Context) -> None:
    """As tiles need it."""
    image = torch.randn(1, 5, 7, 9)
    affine = context.as_affine(channel_moments(image))
    torch.testing.assert_close(affine(image[..., 2:5, :4]), context(image)[..., 2:5, :4])
