"""Own layers equal torch's: outputs and all gradients, in every memory layout and floating type.

The reference is always torch's layer in float64 on contiguous input: torch's own float32 batch norm on channels_last
is itself off by up to 1e-4.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from enhance.norm.group import GroupNorm
from enhance.norm.layer import LayerNorm2d

SHAPES = [(5, 6, 7, 9), (3, 6, 1, 13), (1, 6, 5, 2), (4, 6, 11), (2, 6, 3, 4, 5)]
BEYOND_ONE_CHUNK = [
    (3, 6, 301, 313),
    (7, 6, 190, 180),
]  # the work goes through these a few images or channels at a time

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "every second": lambda x: x.repeat_interleave(2, 3)[..., ::2],
    "cropped": lambda x: nn.functional.pad(x, (1, 2, 3, 4))[..., 3:-4, 1:-2],
    "images last": lambda x: x.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2),
}


def randomized(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def results(layer: nn.Module, x: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """Output and every gradient of `layer` at x for the upstream gradient `grad`."""
    x = x.detach().requires_grad_()
    layer.zero_grad()
    y = layer(x)
    y.backward(grad)
    named = {name: parameter.grad for name, parameter in layer.named_parameters()}
    return {"y": y.detach(), "x.grad": x.grad, **named}


def distance(found: Tensor, wanted: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return ((found.double() - wanted).abs().max() / wanted.abs().max().clamp(min=1e-3)).item()


def assert_equal_to_torch(own: nn.Module, torchs: nn.Module, x: Tensor, grad: Tensor, tolerance: float) -> None:
    torchs = torchs.double().train(own.training)
    torchs.load_state_dict(own.state_dict())
    wanted = results(torchs, x.double().contiguous(), grad.double().contiguous())
    found = results(own, x, grad)
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        assert value.shape == wanted[name].shape
        half = value.dtype in (torch.bfloat16, torch.float16)
        # Of a half type only the rounding of the result is allowed; what is computed in float32 is as exact as ever.
        allowed = torch.finfo(value.dtype).eps if half else tolerance
        assert distance(value, wanted[name]) <= allowed, name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("shape", [*SHAPES, *BEYOND_ONE_CHUNK])
def test_output_and_gradients(twin, shape: tuple[int, ...], dtype: torch.dtype, tolerance: float) -> None:
    x = 3 * torch.randn(shape, dtype=dtype) + 1
    own = randomized(twin.own().to(dtype))
    assert_equal_to_torch(own, twin.torchs(len(shape)), x, torch.randn_like(x), tolerance)


@pytest.mark.parametrize("training", [True, False])
def test_fully_connected_input(batch_norm, training: bool) -> None:
    own = randomized(batch_norm.own()).train(training)
    assert_equal_to_torch(own, batch_norm.torchs(2), torch.randn(9, 6), torch.randn(9, 6), 1e-5)


def test_two_axes_are_enough_for_group_norm() -> None:
    own = randomized(GroupNorm(6, 2))
    assert_equal_to_torch(own, nn.GroupNorm(2, 6), torch.randn(9, 6), torch.randn(9, 6), 1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("grad_layout", LAYOUTS)
def test_memory_layouts(twin, layout: str, grad_layout: str) -> None:
    x, grad = LAYOUTS[layout](torch.randn(3, 6, 5, 8)), LAYOUTS[grad_layout](torch.randn(3, 6, 5, 8))
    assert_equal_to_torch(randomized(twin.own()), twin.torchs(4), x, grad, 1e-5)


@pytest.mark.parametrize("shape", BEYOND_ONE_CHUNK)
def test_large_channels_last(twin, shape: tuple[int, ...]) -> None:
    x, grad = (torch.randn(shape).to(memory_format=torch.channels_last) for _ in "xg")
    assert_equal_to_torch(randomized(twin.own()), twin.torchs(4), x, grad, 1e-5)


def test_channels_last_of_five_axes(twin) -> None:
    x, grad = (torch.randn(2, 6, 3, 4, 5).to(memory_format=torch.channels_last_3d) for _ in "xg")
    assert_equal_to_torch(randomized(twin.own()), twin.torchs(5), x, grad, 1e-5)


@pytest.mark.parametrize("shape", [(3, 1, 5, 8), (1, 6, 1, 8), (3, 1, 1, 8)])
def test_expanded_gradient_and_input(twin, shape: tuple[int, ...]) -> None:
    own, torchs = randomized(twin.own()), twin.torchs(4)
    dense, expanded = torch.randn(3, 6, 5, 8), torch.randn(shape).expand(3, 6, 5, 8)
    assert_equal_to_torch(own, torchs, dense, expanded, 1e-5)
    if shape[1] > 1 or not isinstance(own, LayerNorm2d):  # equal channels have no variance
        assert_equal_to_torch(own, torchs, expanded, dense, 1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("half_weights", [False, True])
def test_half_types(twin, dtype: torch.dtype, layout: str, half_weights: bool) -> None:
    x = LAYOUTS[layout]((3 * torch.randn(5, 6, 17, 9) + 1).to(dtype))
    own = randomized(twin.own())
    own = own.to(dtype) if half_weights else own
    assert_equal_to_torch(own, twin.torchs(4), x, torch.randn(x.shape).to(dtype), 1e-5)


def test_float16_takes_values_whose_squares_overflow_it(twin) -> None:
    x = (torch.randn(4, 6, 9, 9) * 5000).half()
    assert_equal_to_torch(randomized(twin.own()), twin.torchs(4), x, torch.randn(x.shape).half(), 1e-5)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
def test_output_and_gradient_keep_type_and_memory_format(twin, layout: str, dtype: torch.dtype, training: bool) -> None:
    x = LAYOUTS[layout](torch.randn(4, 6, 5, 8).to(dtype))
    own = randomized(twin.own()).train(training)
    found = results(own, x, torch.randn(x.shape).to(dtype))
    for name in ("y", "x.grad"):
        assert (found[name].dtype, found[name].stride()) == (dtype, x.stride())


def test_without_affine(twin) -> None:
    own = twin.own(affine=False)
    assert not list(own.parameters())
    assert_equal_to_torch(own, twin.torchs(4, affine=False), torch.randn(3, 6, 5, 8), torch.randn(3, 6, 5, 8), 1e-5)


def test_state_dict_loads_either_way(twin) -> None:
    own, torchs = randomized(twin.own()), randomized(twin.torchs(4))
    for layer in (own, torchs):
        layer(torch.randn(3, 6, 5, 8))
    for source, target in ((own, twin.torchs(4)), (torchs, twin.own())):
        target.load_state_dict(source.state_dict())
        state = source.state_dict()
        assert state.keys() == target.state_dict().keys()
        assert all(torch.equal(value, state[key]) for key, value in target.state_dict().items())


def test_new_layers_start_as_torchs(twin) -> None:
    torchs = twin.torchs(4).state_dict()
    for key, value in twin.own().state_dict().items():
        assert (value.dtype, value.tolist()) == (torchs[key].dtype, torchs[key].tolist())
