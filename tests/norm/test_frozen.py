"""Frozen batch norm: a fixed scale and shift, in training and in evaluation alike."""

import pytest
import torch
from torch import Tensor, nn

from enhance.norm.batch import BatchNorm, FrozenBatchNorm, freeze
from enhance.norm.recalibrate import batch_norms, recalibrate
from enhance.norm.registry import build_norm
from tests.norm.contract import LayerContract, plain_running_norm
from tests.norm.test_against_torch import randomized, results


class TestFrozenBatchNorm(LayerContract):
    def make(self) -> nn.Module:
        return FrozenBatchNorm(6)

    def reference(self, layer: FrozenBatchNorm, x: Tensor) -> Tensor:
        return plain_running_norm(layer, x)


@pytest.fixture
def trained() -> BatchNorm:
    """A batch norm that has seen a few batches."""
    layer = randomized(BatchNorm(6))
    for _ in range(3):
        layer(torch.randn(4, 6, 5, 7) * 2 + 3)
    return layer


def test_it_goes_on_as_the_trained_layer_evaluates(trained: BatchNorm) -> None:
    frozen = FrozenBatchNorm(6)
    frozen.load_state_dict(trained.state_dict())
    x, grad = torch.randn(4, 6, 5, 7), torch.randn(4, 6, 5, 7)
    torch.testing.assert_close(results(frozen.train(), x, grad), results(trained.eval(), x, grad), rtol=0, atol=0)


def test_nothing_that_it_sees_moves_its_statistics(trained: BatchNorm) -> None:
    model = nn.Sequential(FrozenBatchNorm(6))
    model[0].load_state_dict(trained.state_dict())
    for _ in range(2):
        model.train()(torch.randn(4, 6, 5, 7) + 9)
    torch.testing.assert_close(model[0].state_dict(), trained.state_dict(), rtol=0, atol=0)
    BatchNorm(6).load_state_dict(model[0].state_dict())


def test_one_value_per_channel_is_enough() -> None:
    assert FrozenBatchNorm(6).train()(torch.randn(1, 6, 1, 1)).shape == (1, 6, 1, 1)


def test_recalibration_leaves_it_alone(trained: BatchNorm) -> None:
    model = nn.Sequential(FrozenBatchNorm(6), BatchNorm(6))
    model[0].load_state_dict(trained.state_dict())
    assert batch_norms(model).keys() == {"1"}
    recalibrate(model, [torch.randn(4, 6, 5, 7)])
    torch.testing.assert_close(model[0].state_dict(), trained.state_dict(), rtol=0, atol=0)
    with pytest.raises(ValueError, match="no batch norm with running statistics"):
        recalibrate(model[0], [torch.randn(4, 6, 5, 7)])


@pytest.mark.parametrize("name", ["bn", "bn_act", "bn_ghost", "brn"])
def test_frozen_in_mid_training_a_layer_goes_on_as_it_evaluates(name: str) -> None:
    layer = randomized(build_norm(name, 6))
    layer(torch.randn(4, 6, 5, 7) * 2 + 3)
    state = {key: value.clone() for key, value in layer.state_dict().items()}
    x, grad = torch.randn(4, 6, 5, 7), torch.randn(4, 6, 5, 7)
    expected = results(layer.eval(), x, grad)
    layer.train()
    freeze(layer)
    torch.testing.assert_close(results(layer, x, grad), expected, rtol=0, atol=0)
    torch.testing.assert_close(dict(layer.state_dict()), state, rtol=0, atol=0)
    assert not batch_norms(layer)


def test_without_running_statistics_nothing_is_frozen() -> None:
    layer = BatchNorm(6, track_running_stats=False)
    freeze(layer)
    x = torch.randn(4, 6, 5, 7) + 3
    torch.testing.assert_close(layer(x).mean((0, 2, 3)), torch.zeros(6), rtol=0, atol=1e-5)


def test_without_affine_it_has_nothing_to_learn(trained: BatchNorm) -> None:
    layer = FrozenBatchNorm(6, affine=False)
    assert not list(layer.parameters())
    assert repr(layer) == "FrozenBatchNorm(6, eps=1e-05, affine=False)"
