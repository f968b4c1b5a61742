"""The plain path of devices other than the CPU, for cards without Triton, tested without one: its operations on the
CPU, and what they move on the meta device."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from enhance.norm import layout
from enhance.norm.functional import FAST, forced
from enhance.norm.registry import build_norm
from tests.norm.conftest import TWINS
from tests.norm.test_against_torch import LAYOUTS, assert_equal_to_torch, randomized

pytestmark = pytest.mark.cpu


@pytest.fixture
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "on_cpu", lambda x: False)
    monkeypatch.setattr("enhance.norm.statistics.on_cpu", lambda x: False)


@pytest.mark.usefixtures("_elsewhere")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "cropped"])
@pytest.mark.parametrize("name", TWINS)
def test_output_and_gradients(name: str, layout: str, dtype: torch.dtype) -> None:
    x = LAYOUTS[layout](3 * torch.randn(5, 6, 17, 9) + 1).to(dtype)
    ours = randomized(TWINS[name].ours())
    ours = ours.double() if dtype == torch.float64 else ours
    assert_equal_to_torch(ours, TWINS[name].theirs(4), x, torch.randn(x.shape).to(dtype), 1e-5)


@pytest.mark.usefixtures("_elsewhere")
@pytest.mark.parametrize("name", TWINS)
def test_a_mean_far_from_zero(name: str) -> None:
    x = torch.randn(3, 6, 15, 14) + 1e6
    assert_equal_to_torch(randomized(TWINS[name].ours()), TWINS[name].theirs(4), x, torch.randn(x.shape), 1e-4)


class Moved(TorchDispatchMode):
    """Counts operations, and the bytes of the tensors that they read and write; views are none."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.bytes = 0

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):  # type: ignore[no-untyped-def]
        named = named or {}
        result = operation(*arguments, **named)
        tensors = [each for each in tree_leaves((arguments, named)) if isinstance(each, Tensor)]
        written = [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        aten = torch.ops.aten
        free = (aten.empty.memory_format, aten.empty_like.default, aten.detach.default, aten.promote_types.default)
        if not operation.is_view and operation not in free:
            self.operations += 1
            self.bytes += sum(each.nbytes for each in tensors) + sum(each.nbytes for each in written)
            self.bytes -= named["out"].nbytes if "out" in named else 0  # which is among what is written
        return result


def step(layer: nn.Module, x: Tensor) -> Moved:
    with Moved() as moved:
        torch.autograd.grad(layer(x), (x, *layer.parameters()), torch.empty_like(x))
    return moved


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("dtype", "bytes_of_torchs"), [(torch.float32, 32), (torch.bfloat16, 16)])
@pytest.mark.parametrize("name", ["bn", "in", "gn"])
def test_half_types_are_not_copied_whole(
    name: str, dtype: torch.dtype, bytes_of_torchs: int, memory_format: torch.memory_format
) -> None:
    """Torch's kernels read x twice forward and both tensors twice backward: 32 and 16 bytes a value."""
    layer = build_norm(name, 32, device="meta")
    x = torch.empty(8, 32, 64, 64, device="meta", dtype=dtype, requires_grad=True)
    x = x.to(memory_format=memory_format).detach().requires_grad_()
    with forced(FAST):
        moved = step(layer, x)
    assert moved.bytes <= 3.6 * bytes_of_torchs * x.numel()
    assert moved.operations <= 50
