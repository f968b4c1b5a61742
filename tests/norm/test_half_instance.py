"""Half instance norm: the first half is instance norm, the second is the input."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from enhance.cost.measure import saved_tensors, storage_bytes
from enhance.models.blocks import ConvNormAct
from enhance.norm import plain
from enhance.norm.base import TooFewValues
from enhance.norm.functional import PLANES
from enhance.norm.image import HalfInstanceNorm
from tests.norm.contract import LayerContract
from tests.norm.test_against_torch import LAYOUTS


class TestHalfInstanceNorm(LayerContract):
    def make(self) -> nn.Module:
        return HalfInstanceNorm(6)

    def reference(self, layer: HalfInstanceNorm, x: Tensor) -> Tensor:
        first, others = x.chunk(2, dim=1)
        y, _, _ = plain.normalize(first, layer.weight, layer.bias, first.shape[1], PLANES, layer.eps)
        return torch.cat((y, others), dim=1)


@settings(max_examples=25, deadline=None)
@given(
    images=st.integers(1, 3),
    channels=st.integers(1, 7),
    side=st.integers(2, 5),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_any_number_of_channels(images: int, channels: int, side: int, layout: torch.memory_format) -> None:
    x = torch.randn(images, channels, side, side).to(memory_format=layout)
    y = HalfInstanceNorm(channels, affine=False)(x)
    first, *others = x.chunk(2, dim=1)
    expected = [nn.functional.instance_norm(first), *others]
    torch.testing.assert_close(y, torch.cat(expected, dim=1), rtol=1e-4, atol=1e-5)
    assert y.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_second_half_passes_to_the_bit(layout: str, dtype: torch.dtype) -> None:
    x = LAYOUTS[layout](torch.randn(3, 6, 5, 8)).to(dtype)
    for training in (True, False):
        assert torch.equal(HalfInstanceNorm(6).train(training)(x)[:, 3:], x[:, 3:])


def test_backward_saves_half_the_input_and_small_vectors() -> None:
    x = torch.randn(4, 6, 32, 32, requires_grad=True)
    saved = saved_tensors(lambda: HalfInstanceNorm(6)(x))
    assert sum(storage_bytes(saved).values()) <= 0.51 * x.untyped_storage().nbytes()


def test_the_convolution_before_it_has_a_bias_for_the_half_that_passes() -> None:
    assert ConvNormAct(3, 6, HalfInstanceNorm, "relu")[0].bias is not None


def test_one_value_per_channel_is_refused() -> None:
    layer = HalfInstanceNorm(6)
    with pytest.raises(TooFewValues, match=r"half instance norm of 6 channels sees 1 value"):
        layer(torch.randn(8, 6, 1, 1))
    assert layer.eval()(torch.randn(8, 6, 1, 1)).isfinite().all()


def test_without_affine_and_an_empty_batch() -> None:
    assert not list(HalfInstanceNorm(6, affine=False).parameters())
    assert HalfInstanceNorm(6).eval()(torch.randn(0, 6, 5, 7)).shape == (0, 6, 5, 7)
