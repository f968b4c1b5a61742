"""Our layers, each beside torch's layer that computes the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from enhance.norm.batch import BatchNorm
from enhance.norm.image import GroupNorm, InstanceNorm, LayerNorm2d
from tests.devices import default_device as default_device

CHANNELS = 6


class ChannelsFirst(nn.LayerNorm):
    """`torch.nn.LayerNorm` over the channels of (N, C, *)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


@dataclass
class Twin:
    """A layer of ours of 6 channels, and a function from the number of axes of the input to torch's layer."""

    ours: Callable[..., nn.Module]
    theirs: Callable[[int], nn.Module]


def _torch_batch_norm(dim: int, **options: object) -> nn.Module:
    return {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[dim](CHANNELS, **options)


def _torch_instance_norm(dim: int, affine: bool = True) -> nn.Module:
    return {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}[dim](CHANNELS, affine=affine)


TWINS = {
    "bn": Twin(lambda **options: BatchNorm(CHANNELS, **options), _torch_batch_norm),
    "in": Twin(lambda **options: InstanceNorm(CHANNELS, **options), _torch_instance_norm),
    "gn": Twin(
        lambda **options: GroupNorm(CHANNELS, 2, **options),
        lambda dim, affine=True: nn.GroupNorm(2, CHANNELS, affine=affine),
    ),
    "ln": Twin(
        lambda **options: LayerNorm2d(CHANNELS, **options),
        lambda dim, affine=True: ChannelsFirst(CHANNELS, elementwise_affine=affine),
    ),
}


@pytest.fixture(params=TWINS)
def twin(request: pytest.FixtureRequest) -> Twin:
    return TWINS[request.param]


@pytest.fixture
def batch_norm() -> Twin:
    return TWINS["bn"]


@pytest.fixture(autouse=True)
def _seeded(default_device: str) -> Iterator[None]:
    """Every test draws the same numbers, in whatever order the tests run; one thread is fastest on such sizes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
