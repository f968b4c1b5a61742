"""Our layers equal torch's: outputs and all gradients, in every memory layout and floating type.

The reference is always torch's layer in float64 on contiguous input: torch's own float32 batch norm on channels_last
is itself off by up to 1e-4.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from enhance.norm.image import GroupNorm, LayerNorm2d

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


def distance(actual: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return ((actual.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-3)).item()


def assert_equal_to_torch(ours: nn.Module, theirs: nn.Module, x: Tensor, grad: Tensor, tolerance: float) -> None:
    theirs = theirs.double().train(ours.training)
    theirs.load_state_dict(ours.state_dict())
    expected = results(theirs, x.double().contiguous(), grad.double().contiguous())
    actual = results(ours, x, grad)
    assert actual.keys() == expected.keys()
    for name, value in actual.items():
        assert value.shape == expected[name].shape
        half = value.dtype in (torch.bfloat16, torch.float16)
        # Of a half type only the rounding of the result is allowed; what is computed in float32 is as exact as ever.
        allowed = torch.finfo(value.dtype).eps if half else tolerance
        assert distance(value, expected[name]) <= allowed, name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("shape", [*SHAPES, *BEYOND_ONE_CHUNK])
def test_output_and_gradients(twin, shape: tuple[int, ...], dtype: torch.dtype, tolerance: float) -> None:
    x = 3 * torch.randn(shape, dtype=dtype) + 1
    ours = randomized(twin.ours().to(dtype))
    assert_equal_to_torch(ours, twin.theirs(len(shape)), x, torch.randn_like(x), tolerance)


@pytest.mark.parametrize("training", [True, False])
def test_fully_connected_input(batch_norm, training: bool) -> None:
    ours = randomized(batch_norm.ours()).train(training)
    assert_equal_to_torch(ours, batch_norm.theirs(2), torch.randn(9, 6), torch.randn(9, 6), 1e-5)


def test_two_axes_are_enough_for_group_norm() -> None:
    ours = randomized(GroupNorm(6, 2))
    assert_equal_to_torch(ours, nn.GroupNorm(2, 6), torch.randn(9, 6), torch.randn(9, 6), 1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("grad_layout", LAYOUTS)
def test_memory_layouts(twin, layout: str, grad_layout: str) -> None:
    x, grad = LAYOUTS[layout](torch.randn(3, 6, 5, 8)), LAYOUTS[grad_layout](torch.randn(3, 6, 5, 8))
    assert_equal_to_torch(randomized(twin.ours()), twin.theirs(4), x, grad, 1e-5)


@pytest.mark.parametrize("shape", BEYOND_ONE_CHUNK)
def test_large_channels_last(twin, shape: tuple[int, ...]) -> None:
    x, grad = (torch.randn(shape).to(memory_format=torch.channels_last) for _ in "xg")
    assert_equal_to_torch(randomized(twin.ours()), twin.theirs(4), x, grad, 1e-5)


def test_channels_last_of_five_axes(twin) -> None:
    x, grad = (torch.randn(2, 6, 3, 4, 5).to(memory_format=torch.channels_last_3d) for _ in "xg")
    assert_equal_to_torch(randomized(twin.ours()), twin.theirs(5), x, grad, 1e-5)


@pytest.mark.parametrize("shape", [(3, 1, 5, 8), (1, 6, 1, 8), (3, 1, 1, 8)])
def test_expanded_gradient_and_input(twin, shape: tuple[int, ...]) -> None:
    ours, theirs = randomized(twin.ours()), twin.theirs(4)
    dense, expanded = torch.randn(3, 6, 5, 8), torch.randn(shape).expand(3, 6, 5, 8)
    assert_equal_to_torch(ours, theirs, dense, expanded, 1e-5)
    if shape[1] > 1 or not isinstance(ours, LayerNorm2d):  # equal channels have no variance
        assert_equal_to_torch(ours, theirs, expanded, dense, 1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("half_weights", [False, True])
def test_half_types(twin, dtype: torch.dtype, layout: str, half_weights: bool) -> None:
    x = LAYOUTS[layout]((3 * torch.randn(5, 6, 17, 9) + 1).to(dtype))
    ours = randomized(twin.ours())
    ours = ours.to(dtype) if half_weights else ours
    assert_equal_to_torch(ours, twin.theirs(4), x, torch.randn(x.shape).to(dtype), 1e-5)


def test_float16_takes_values_whose_squares_overflow_it(twin) -> None:
    x = (torch.randn(4, 6, 9, 9) * 5000).half()
    assert_equal_to_torch(randomized(twin.ours()), twin.theirs(4), x, torch.randn(x.shape).half(), 1e-5)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
def test_output_and_gradient_keep_type_and_memory_format(twin, layout: str, dtype: torch.dtype, training: bool) -> None:
    x = LAYOUTS[layout](torch.randn(4, 6, 5, 8).to(dtype))
    ours = randomized(twin.ours()).train(training)
    actual = results(ours, x, torch.randn(x.shape).to(dtype))
    for name in ("y", "x.grad"):
        assert (actual[name].dtype, actual[name].stride()) == (dtype, x.stride())


def test_without_affine(twin) -> None:
    ours = twin.ours(affine=False)
    assert not list(ours.parameters())
    assert_equal_to_torch(ours, twin.theirs(4, affine=False), torch.randn(3, 6, 5, 8), torch.randn(3, 6, 5, 8), 1e-5)


def test_state_dict_loads_either_way(twin) -> None:
    ours, theirs = randomized(twin.ours()), randomized(twin.theirs(4))
    for layer in (ours, theirs):
        layer(torch.randn(3, 6, 5, 8))
    for source, target in ((ours, twin.theirs(4)), (theirs, twin.ours())):
        target.load_state_dict(source.state_dict())
        state = source.state_dict()
        assert state.keys() == target.state_dict().keys()
        assert all(torch.equal(value, state[key]) for key, value in target.state_dict().items())


def test_new_layers_start_as_torchs(twin) -> None:
    theirs = twin.theirs(4).state_dict()
    for key, value in twin.ours().state_dict().items():
        assert (value.dtype, value.tolist()) == (theirs[key].dtype, theirs[key].tolist())
