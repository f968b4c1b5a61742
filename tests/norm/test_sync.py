"""Synchronised batch norm in one process, where it is batch norm."""

import pytest
import torch
from torch import Tensor, nn

from enhance.norm.base import TooFewValues
from enhance.norm.batch import BatchNorm
from enhance.norm.sync import SyncBatchNorm
from tests.norm.contract import LayerContract, plain_batch_norm
from tests.norm.test_against_torch import randomized, results


class TestSyncBatchNorm(LayerContract):
    def make(self) -> nn.Module:
        return SyncBatchNorm(6)

    def reference(self, layer: SyncBatchNorm, x: Tensor) -> Tensor:
        return plain_batch_norm(layer, x)


@pytest.mark.parametrize("training", [True, False])
def test_one_process_is_batch_norm(training: bool) -> None:
    sync, plain = randomized(SyncBatchNorm(6)).train(training), BatchNorm(6).train(training)
    plain.load_state_dict(sync.state_dict())
    x, grad = torch.randn(4, 6, 5, 7) + 2, torch.randn(4, 6, 5, 7)
    torch.testing.assert_close(results(sync, x, grad), results(plain, x, grad), rtol=0, atol=0)
    torch.testing.assert_close(sync.state_dict(), plain.state_dict(), rtol=0, atol=0)


def test_one_process_refuses_one_value_per_channel() -> None:
    with pytest.raises(TooFewValues, match="synchronised batch norm of 6 channels sees 1 value per channel"):
        SyncBatchNorm(6)(torch.randn(1, 6, 1, 1))
    assert SyncBatchNorm(6)(torch.randn(0, 6, 1, 1)).shape == (0, 6, 1, 1)


def test_checkpoints_interchange_with_batch_norm() -> None:
    sync, plain = randomized(SyncBatchNorm(6)), BatchNorm(6)
    sync(torch.randn(4, 6, 5, 7) + 2)
    plain.load_state_dict(sync.state_dict())
    SyncBatchNorm(6).load_state_dict(plain.state_dict())
    x = torch.randn(4, 6, 5, 7)
    assert torch.equal(sync.eval()(x), plain.eval()(x))


def test_representation() -> None:
    assert repr(SyncBatchNorm(6)) == "Sync" + repr(BatchNorm(6))
