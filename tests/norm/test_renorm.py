"""Batch renormalization: its corrections, their limits over the run, and what it is without them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from enhance.cost.measure import saved_tensors
from enhance.norm import plain
from enhance.norm.base import TooFewValues
from enhance.norm.batch import BatchNorm
from enhance.norm.recalibrate import running_statistics
from enhance.norm.renorm import BatchRenorm, set_progress
from tests.norm.contract import LayerContract, plain_running_norm
from tests.norm.test_against_torch import randomized, results


def limit(layer: BatchRenorm, closed: float, widest: float, ramp_end: float) -> float:
    ramp = (layer.progress.item() - layer.ramp_start) / (ramp_end - layer.ramp_start)
    return closed + (widest - closed) * min(max(ramp, 0.0), 1.0)


class TestBatchRenorm(LayerContract):
    def make(self) -> nn.Module:
        layer = BatchRenorm(6)
        set_progress(layer, 0.1)  # limits of about 1.3 and 1.25: some channels meet them
        return layer

    def reference(self, layer: BatchRenorm, x: Tensor) -> Tensor:
        if not layer.training:
            return plain_running_norm(layer, x)
        r_limit = limit(layer, 1.0, layer.r_max, layer.r_ramp_end)
        d_limit = limit(layer, 0.0, layer.d_max, layer.d_ramp_end)
        vectors = (layer.running_mean, layer.running_var, layer.weight, layer.bias)
        return plain.renormalize(x, *vectors, r_limit, d_limit, layer.eps)

    def for_differences(self, training: bool) -> nn.Module:
        """Beyond both limits r and d are constants; elsewhere they move with the input, and the gradient leaves that
        out by definition."""
        layer = self.prepared(training)
        layer.running_mean.fill_(50.0)
        layer.running_var.fill_(1e-3)
        return layer


def moved(layer: nn.Module) -> nn.Module:
    """Running statistics that are not those of the next batch."""
    layer.running_mean.copy_(torch.linspace(-2, 2, 6))
    layer.running_var.copy_(torch.linspace(0.2, 5, 6))
    return layer


@pytest.mark.parametrize("layer", [BatchRenorm(6, momentum=0.1), BatchRenorm(6, momentum=0.1, r_max=1, d_max=0)])
def test_with_closed_limits_it_is_batch_norm(layer: BatchRenorm) -> None:
    set_progress(layer, 0.05 if layer.r_max > 1 else 1.0)
    plain = BatchNorm(6)
    plain.load_state_dict(moved(randomized(layer)).state_dict())
    x, grad = torch.randn(4, 6, 5, 7) + 2, torch.randn(4, 6, 5, 7)
    torch.testing.assert_close(results(layer, x, grad), results(plain, x, grad), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(layer.state_dict(), plain.state_dict(), rtol=1e-6, atol=1e-6)


def test_within_its_limits_training_computes_what_evaluation_does() -> None:
    layer = moved(randomized(BatchRenorm(6, r_max=100, d_max=100)))
    set_progress(layer, 1.0)
    x = torch.randn(4, 6, 5, 7)
    expected = layer.eval()(x)
    torch.testing.assert_close(layer.train()(x), expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(share=st.floats(0, 1), factor=st.floats(0.1, 10), offset=st.floats(-20, 20))
def test_the_output_stays_within_the_limits_of_the_share(share: float, factor: float, offset: float) -> None:
    layer = BatchRenorm(6, eps=0).double()
    set_progress(layer, share)
    y = layer(factor * torch.randn(8, 6, 5, 5, dtype=torch.float64) + offset)
    r_limit, d_limit = limit(layer, 1.0, 3.0, 0.4), limit(layer, 0.0, 5.0, 0.25)
    std = y.std((0, 2, 3), unbiased=False)
    assert (std <= r_limit + 1e-6).all()
    assert (std >= 1 / r_limit - 1e-6).all()
    assert (y.mean((0, 2, 3)).abs() <= d_limit + 1e-6).all()


@pytest.mark.parametrize(
    ("share", "r_limit", "d_limit"), [(0, 1, 0), (0.05, 1, 0), (0.15, 1 + 2 * 0.1 / 0.35, 2.5), (0.4, 3, 5), (1, 3, 5)]
)
def test_limits_widen_over_the_run(share: float, r_limit: float, d_limit: float) -> None:
    layer = BatchRenorm(6, eps=0).double()
    set_progress(nn.Sequential(layer), share)
    y = layer(torch.randn(8, 6, 5, 5, dtype=torch.float64) * 100 + 1000)
    torch.testing.assert_close(y.std((0, 2, 3), unbiased=False), torch.full((6,), r_limit).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.full((6,), d_limit).double(), rtol=1e-6, atol=1e-6)


def test_running_statistics_move_as_batch_norms() -> None:
    layer, plain = BatchRenorm(6, momentum=0.3), BatchNorm(6, momentum=0.3)
    set_progress(layer, 1.0)
    for step in range(3):
        x = torch.randn(4, 6, 5, 7) * (step + 1) + step
        layer(x)
        plain(x)
    torch.testing.assert_close(layer.state_dict(), plain.state_dict(), rtol=1e-5, atol=1e-6)


def test_progress_is_no_part_of_the_state() -> None:
    layer = BatchRenorm(6)
    assert layer.state_dict().keys() == BatchNorm(6).state_dict().keys()
    saved = running_statistics(nn.Sequential(layer))
    assert saved.keys() == {"0.running_mean", "0.running_var", "0.num_batches_tracked"}


def test_one_compilation_serves_the_run() -> None:
    torch.compiler.reset()
    layer = BatchRenorm(6)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(4, 6, 5, 7) * 3 + 1
    with torch._dynamo.config.patch(error_on_recompile=True):
        for share in (0.0, 0.1, 0.5):
            set_progress(layer, share)
            state = {key: value.clone() for key, value in layer.state_dict().items()}
            actual = compiled(x)
            layer.load_state_dict(state)
            torch.testing.assert_close(actual, layer(x), rtol=1e-5, atol=1e-5)


def test_without_affine() -> None:
    layer = moved(BatchRenorm(6, affine=False))
    set_progress(layer, 1.0)
    x = torch.randn(4, 6, 5, 7)
    torch.testing.assert_close(layer(x), moved(BatchRenorm(6, affine=False)).eval()(x), rtol=1e-5, atol=1e-5)


def test_backward_saves_the_input_and_small_vectors() -> None:
    x = torch.randn(4, 6, 32, 32, requires_grad=True)
    saved = saved_tensors(lambda: BatchRenorm(6)(x))
    large = {tensor.untyped_storage().data_ptr() for tensor in saved if tensor.numel() > 6}
    assert large == {x.untyped_storage().data_ptr()}


def test_mistakes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"d_ramp_end=0.1 is not after ramp_start=0.2: raise it"):
        BatchRenorm(6, ramp_start=0.2, d_ramp_end=0.1)
    with pytest.raises(TooFewValues, match=r"batch renormalization of 6 channels sees 1 value"):
        BatchRenorm(6)(torch.randn(1, 6, 1, 1))
