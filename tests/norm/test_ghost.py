"""Ghost batch norm: statistics of virtual batches, and what it remembers of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from enhance.cost.measure import saved_tensors
from enhance.norm.base import TooFewValues
from enhance.norm.batch import BatchNorm
from enhance.norm.ghost import GhostBatchNorm
from enhance.norm.recalibrate import recalibrate
from tests.norm.contract import LayerContract, plain_batch_norm
from tests.norm.test_against_torch import randomized, results


class TestGhostBatchNorm(LayerContract):
    exports_any_batch = False  # the number of virtual batches is part of the graph

    def make(self) -> nn.Module:
        return GhostBatchNorm(6, virtual_batch=2)

    def reference(self, layer: GhostBatchNorm, x: Tensor) -> Tensor:
        runs = [x[start : start + layer.virtual_batch] for start in range(0, len(x), layer.virtual_batch)]
        return torch.cat([plain_batch_norm(layer, run) for run in runs])


@settings(max_examples=25, deadline=None)
@given(images=st.integers(1, 9), virtual_batch=st.integers(1, 12), side=st.integers(2, 5))
def test_each_virtual_batch_is_a_batch_of_its_own(images: int, virtual_batch: int, side: int) -> None:
    x = torch.randn(images, 6, side, side, dtype=torch.float64)
    y = GhostBatchNorm(6, virtual_batch).double()(x)
    for start in range(0, images, virtual_batch):
        alone = BatchNorm(6).double()(x[start : start + virtual_batch])
        torch.testing.assert_close(y[start : start + virtual_batch], alone, rtol=0, atol=1e-10)


@pytest.mark.parametrize("virtual_batch", [4, 5, 100])
def test_one_virtual_batch_is_batch_norm(virtual_batch: int) -> None:
    ghost, plain = GhostBatchNorm(6, virtual_batch), BatchNorm(6)
    plain.load_state_dict(randomized(ghost).state_dict())
    x, grad = torch.randn(4, 6, 5, 7) + 2, torch.randn(4, 6, 5, 7)
    torch.testing.assert_close(results(ghost, x, grad), results(plain, x, grad), rtol=0, atol=0)
    torch.testing.assert_close(ghost.state_dict(), plain.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize("virtual_batch", [1, 2, 3])
def test_running_statistics_are_those_of_batch_norm(virtual_batch: int, momentum: float | None) -> None:
    ghost = GhostBatchNorm(6, virtual_batch, momentum=momentum).double()
    plain = BatchNorm(6, momentum=momentum).double()
    for step in range(3):
        x = torch.randn(5, 6, 4, 7, dtype=torch.float64) + step * torch.arange(5).view(5, 1, 1, 1)
        ghost(x)
        plain(x)
    torch.testing.assert_close(ghost.state_dict(), plain.state_dict(), rtol=1e-10, atol=1e-10)


def test_evaluation_ignores_the_virtual_batches() -> None:
    x = torch.randn(5, 6, 4, 7) + torch.arange(5).view(5, 1, 1, 1)
    ghost = GhostBatchNorm(6, 2)
    ghost(x)
    plain = nn.BatchNorm2d(6)
    plain.load_state_dict(ghost.state_dict())
    torch.testing.assert_close(ghost.eval()(x), plain.eval()(x), rtol=1e-5, atol=1e-5)
    bare = GhostBatchNorm(6, 2, track_running_stats=False).eval()
    torch.testing.assert_close(bare(x), nn.BatchNorm2d(6)(x), rtol=1e-5, atol=1e-5)


def test_recalibration_pools_as_for_batch_norm() -> None:
    x = torch.randn(5, 6, 4, 7) + 3
    ghost, plain = GhostBatchNorm(6, 2), BatchNorm(6)
    for layer in (ghost, plain):
        recalibrate(layer, [x])
    torch.testing.assert_close(ghost.running_var, plain.running_var, rtol=0, atol=0)


def test_backward_saves_the_input_and_small_vectors() -> None:
    x = torch.randn(5, 6, 32, 32, requires_grad=True)
    saved = saved_tensors(lambda: GhostBatchNorm(6, 2)(x))
    large = {tensor.untyped_storage().data_ptr() for tensor in saved if tensor.numel() >= 6 * 32 * 32}
    assert large == {x.untyped_storage().data_ptr()}


@pytest.mark.parametrize(("images", "virtual_batch"), [(4, 1), (3, 2), (1, 2)])
def test_one_value_per_channel_is_refused(images: int, virtual_batch: int) -> None:
    layer = GhostBatchNorm(6, virtual_batch)
    message = r"ghost batch norm of 6 channels sees 1 value per channel, input \(1, 6, 1, 1\)"
    with pytest.raises(TooFewValues, match=message):
        layer(torch.randn(images, 6, 1, 1))
    assert layer.num_batches_tracked.item() == 0


def test_representation() -> None:
    assert repr(GhostBatchNorm(6, 3)).endswith("track_running_stats=True, virtual_batch=3)")
