"""What was reported of other norms, tried on ours. docs/norms.md, "Reports from elsewhere", says of each which test."""

import copy
import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from enhance.norm.recalibrate import recalibrate
from enhance.norm.registry import NORMS, build_norm
from tests.norm.test_second_derivative import TWICE, prepared

NAMES = [name for name in NORMS if name != "none"]
TRACKING = ["bn", "bn_act", "bn_ghost", "brn", "sync_bn"]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", ["bn", "bn_act", "in", "gn", "ln", "bn_ghost", "brn", "sync_bn"])
def test_a_constant_has_no_deviation_however_large(name: str, layout: torch.memory_format) -> None:
    """pytorch/pytorch#5410: from 1e7 on it came out as -1 or 1, for a rounding of the mean was taken for the spread."""
    for images, side in ((1, 10), (7, 17), (3, 33)):
        for value in (0.1, 27189746.0, -3e8, 1.1e10, 1e20, -1e30):
            y = build_norm(name, 8)(torch.full((images, 8, side, side), value).to(memory_format=layout))
            assert y.abs().max() <= 1e-3


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_sum_right_after_the_layer(name: str, training: bool) -> None:
    """mapillary/inplace_abn#155: its gradient is one number, expanded, and work in place on that went wrong."""
    layer, x = build_norm(name, 8, eps=1e-9).train(training), 2 * torch.randn(2, 8, 40, 6)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    grads = []
    for end in (lambda y: y.sum().backward(), lambda y: y.backward(torch.ones_like(y))):
        leaf, twin = x.clone().requires_grad_(), copy.deepcopy(layer)
        end(twin(leaf))
        grads.append([leaf.grad, *(parameter.grad for parameter in twin.parameters())])
    torch.testing.assert_close(*grads)


def trained_on(layer: nn.Module) -> None:
    layer.train()(torch.randn(4, 8, 5, 5) + 3)


MOVES: dict[str, Callable[[nn.Module], object]] = {
    "a training pass": trained_on,
    "recalibration": lambda layer: recalibrate(nn.Sequential(layer), [torch.randn(4, 8, 5, 5) + 3]),
    "loading": lambda layer: layer.load_state_dict({**layer.state_dict(), "running_var": torch.full((8,), 9.0)}),
}


def pass_and_then(layer: nn.Module, moved: Callable[[nn.Module], object] | None) -> tuple[Tensor, ...]:
    """Gradients of a pass in evaluation mode, after which something moved the running statistics."""
    torch.manual_seed(0)
    x, grad = torch.randn(4, 8, 5, 5, requires_grad=True), torch.randn(4, 8, 5, 5)
    y = layer.eval()(x)
    if moved is not None:
        moved(layer)
    return torch.autograd.grad(y, [x, *layer.parameters()], grad)


def been_somewhere(name: str) -> nn.Module:
    layer = build_norm(name, 8)
    nn.init.constant_(layer.running_mean, 0.3)
    nn.init.constant_(layer.running_var, 1.7)
    return layer


@pytest.mark.parametrize("moved", MOVES)
@pytest.mark.parametrize("name", TRACKING)
def test_backward_of_evaluation_after_the_statistics_moved(name: str, moved: str) -> None:
    """pytorch/pytorch#13402: backward took the new ones, in silence; torch 2.14's own layer still does."""
    layer = been_somewhere(name)
    expected = pass_and_then(copy.deepcopy(layer), None)
    torch.testing.assert_close(pass_and_then(layer, MOVES[moved]), expected)


def test_backward_of_compiled_evaluation_after_the_statistics_moved_is_refused() -> None:
    torch.compiler.reset()
    layer = been_somewhere("bn")
    layer.compile(backend="aot_eager")
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        pass_and_then(layer, trained_on)


@pytest.mark.parametrize("name", TWICE)
def test_a_gradient_penalty_leaves_nothing_behind(name: str) -> None:
    """pytorch/pytorch#2309: every step's graph stayed in memory."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), build_norm(name, 8), nn.LeakyReLU(0.2))
    gc.collect()
    gc.disable()  # which would find a cycle at some time; memory is to be free at once
    try:
        x = torch.randn(4, 3, 8, 8, requires_grad=True)
        y = model(x)
        (gradient,) = torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)
        (gradient.square().sum().sqrt() - 1).square().backward()
        lives = [weakref.ref(tensor) for tensor in (x, y, gradient)]
        del x, y, gradient
        assert [each() for each in lives] == [None, None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("name", TWICE)
def test_the_third_derivative(name: str) -> None:
    """pytorch/pytorch#186256: wrong from the third on, for the second one took mean and variance for constants."""
    layer = prepared(name)
    x = torch.randn(2, 8, 1, 3, dtype=torch.float64, requires_grad=True)

    def first(x: Tensor) -> Tensor:
        return torch.autograd.grad(layer(x).tanh().sum(), x, create_graph=True)[0]

    assert torch.autograd.gradgradcheck(first, (x,), fast_mode=True)


@pytest.mark.parametrize("name", ["bn", "bn_act", "ln", "frn", "brn"])
def test_compiled_gradients_of_torch_func(name: str) -> None:
    """pytorch/pytorch#193279: there the compiler leaves a backward pass out and differentiates what the forward pass
    does, which is no reason for ours to work in place. brn breaks the graph, and is right."""
    torch.compiler.reset()
    layer, x, weights = build_norm(name, 8), torch.randn(3, 8, 4, 5), torch.randn(3, 8, 4, 5)

    def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return (torch.func.functional_call(layer, parameters | buffers, (x,)).tanh() * weights).sum()

    parameters = {key: parameter.detach() for key, parameter in layer.named_parameters()}
    gradients = torch.func.grad(loss, argnums=(0, 2))
    results = []
    for run in (gradients, torch.compile(gradients, backend="aot_eager", fullgraph=name != "brn")):
        buffers = {key: buffer.clone() for key, buffer in layer.named_buffers()}
        results.append(run(parameters, buffers, x))
    leaf = x.clone().requires_grad_()
    loss(
        dict(layer.named_parameters()), {key: buffer.clone() for key, buffer in layer.named_buffers()}, leaf
    ).backward()
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(results[1][1], leaf.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 8, 9), (0, 8, 4, 4), (2, 8, 0, 4), (5, 8, 0, 4), (0, 8, 2, 3, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_values(name: str, shape: tuple[int, ...]) -> None:
    """pytorch/pytorch#12013: refused, or it moved the running mean to NaN."""
    layer, x = build_norm(name, 8), torch.empty(shape, requires_grad=True)
    before = {key: buffer.clone() for key, buffer in layer.named_buffers() if key.startswith("running")}
    y = layer(x)
    y.sum().backward()
    assert y.shape == x.grad.shape == shape
    assert all(parameter.grad.tolist() == [0] * len(parameter) for parameter in layer.parameters())
    assert all(torch.equal(layer.get_buffer(key), buffer) for key, buffer in before.items())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "frn"])
def test_an_in_place_activation_takes_a_batch_without_values(name: str, training: bool) -> None:
    """Without weight and bias the output was the input itself, a leaf that nothing may change in place."""
    layer, x = build_norm(name, 8, affine=False).train(training), torch.empty(0, 8, 4, 4, requires_grad=True)
    y = layer(x) if name == "bn_act" else nn.functional.leaky_relu_(layer(x), 0.2)
    y.sum().backward()
    assert x.grad.shape == x.shape
