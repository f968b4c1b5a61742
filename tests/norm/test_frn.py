"""Filter response norm and the threshold that is its activation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from enhance.cost.measure import saved_tensors
from enhance.models.blocks import ConvNormAct
from enhance.models.build import build_model
from enhance.norm import plain
from enhance.norm.base import TooFewValues
from enhance.norm.batch import BatchNorm
from enhance.norm.frn import FilterResponseNorm
from enhance.settings.schema import ModelSettings, NormSettings
from tests.norm.contract import LayerContract
from tests.norm.test_against_torch import results


def filter_response(layer: FilterResponseNorm, x: Tensor) -> Tensor:
    return plain.filter_response(x, layer.weight, layer.bias, layer.tau, layer.eps)


class TestFilterResponseNorm(LayerContract):
    def make(self) -> nn.Module:
        return FilterResponseNorm(6)

    def reference(self, layer: FilterResponseNorm, x: Tensor) -> Tensor:
        return filter_response(layer, x)


@settings(max_examples=25, deadline=None)
@given(images=st.integers(1, 4), height=st.integers(1, 6), width=st.integers(2, 6), scale=st.floats(1e-3, 1e3))
def test_every_shape_and_scale(images: int, height: int, width: int, scale: float) -> None:
    layer = FilterResponseNorm(6).double()
    x = scale * torch.randn(images, 6, height, width, dtype=torch.float64)
    torch.testing.assert_close(layer(x), filter_response(layer, x), rtol=0, atol=1e-10)


def test_new_layer_is_a_relu_of_the_standardized_input() -> None:
    x = torch.randn(3, 6, 5, 7) + 4
    y = FilterResponseNorm(6, eps=0)(x)
    torch.testing.assert_close(y, (x / x.square().mean((2, 3), keepdim=True).sqrt()).relu())


def test_what_the_threshold_cuts_off_moves_the_threshold_alone() -> None:
    layer, x, grad = FilterResponseNorm(6), torch.randn(3, 6, 5, 7), torch.randn(3, 6, 5, 7)
    nn.init.constant_(layer.tau, 100.0)
    actual = results(layer, x, grad)
    torch.testing.assert_close(actual["tau"], grad.sum((0, 2, 3)))
    for name in ("x.grad", "weight", "bias"):
        assert not actual[name].any()


def test_black_input_has_finite_gradients() -> None:
    """Zeros lie on the threshold of a new layer: as in a ReLU, nothing passes."""
    actual = results(FilterResponseNorm(6), torch.zeros(2, 6, 4, 4), torch.randn(2, 6, 4, 4))
    assert all(value.isfinite().all() for value in actual.values())
    assert not actual["x.grad"].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_backward_saves_the_input_and_small_vectors(dtype: torch.dtype) -> None:
    x = torch.randn(4, 6, 32, 32).to(dtype).requires_grad_()
    saved = saved_tensors(lambda: FilterResponseNorm(6)(x))
    large = {tensor.untyped_storage().data_ptr() for tensor in saved if tensor.numel() > 4 * 6}
    assert large == {x.untyped_storage().data_ptr()}


def test_it_takes_the_place_of_the_activation() -> None:
    block = ConvNormAct(3, 6, FilterResponseNorm, "relu")
    assert isinstance(block[2], nn.Identity)
    assert isinstance(ConvNormAct(3, 6, BatchNorm, "relu")[2], nn.ReLU)


def test_weights_of_another_norm_load() -> None:
    """Convolutions have the same names under either norm."""
    model = ModelSettings(width=8, depth=1)
    expected = build_model(model, NormSettings("bn")).state_dict()
    actual = build_model(model, NormSettings("frn")).state_dict()
    statistics = {key for key in expected if key.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert expected.keys() - statistics == {key for key in actual if not key.endswith("tau")}


def test_one_value_per_channel_is_refused() -> None:
    layer = FilterResponseNorm(6)
    with pytest.raises(TooFewValues, match=r"filter response norm of 6 channels sees 1 value"):
        layer(torch.randn(8, 6, 1, 1))
    assert layer.eval()(torch.randn(8, 6, 1, 1)).isfinite().all()
    assert layer.eval()(torch.randn(0, 6, 5, 7)).shape == (0, 6, 5, 7)
