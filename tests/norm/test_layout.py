"""Work in parts, and tensors without values."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from enhance.norm.functional import BATCH, PLANES
from enhance.norm.layout import has_values, in_channels, in_parts

pytestmark = pytest.mark.cpu


def test_tensors_without_values() -> None:
    assert has_values(torch.zeros(3))
    assert has_values(torch.nn.Parameter(torch.zeros(3))[1:])
    assert not has_values(torch.zeros(3, device="meta"))
    with FakeTensorMode():
        assert not has_values(torch.zeros(3))
        assert not has_values(torch.zeros(3).view(1, 3))


def test_parts_cover_the_whole_and_share_its_memory() -> None:
    x, vector = torch.zeros(7, 8, 1, 2**16), torch.ones(1, 8, 1, 1)
    parts = in_parts(x, vector)
    assert [len(part) for part, _ in parts] == [2, 2, 2, 1]
    for part, shift in parts:
        part.add_(shift)
    assert (x == 1).all()


@pytest.mark.parametrize(("axes", "counts"), [(BATCH, [2, 2, 2, 1]), (PLANES, [7])])
def test_channels_are_parted_where_their_statistics_are_their_own(axes: tuple[int, ...], counts: list[int]) -> None:
    x = torch.zeros(8, 7, 1, 2**16)
    assert [part.shape[1] for part, _ in in_channels(axes, x, None)] == counts


def test_a_tensor_without_values_stays_whole() -> None:
    with FakeTensorMode():
        x = torch.zeros(8, 7, 1, 2**16)
        assert len(in_parts(x)) == len(in_channels(BATCH, x)) == 1
