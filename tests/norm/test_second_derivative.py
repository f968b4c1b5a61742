"""The gradient of a gradient: right, or refused; never without a part of it (WGAN-GP, R1 and other penalties on it)."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from enhance.norm.functional import PLAIN, forced
from enhance.norm.registry import NORMS, build_norm

TWICE = [name for name in NORMS if name not in ("none", "bn_act")]


def prepared(name: str, training: bool = True) -> nn.Module:
    torch.manual_seed(0)
    layer = build_norm(name, 8).double().train(training)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, 0.3, 1.5)
    for key, buffer in layer.named_buffers():
        if key in ("running_mean", "running_var"):
            nn.init.uniform_(buffer, 0.5, 1.5)
    return layer


def as_function(layer: nn.Module) -> Callable[..., Tensor]:
    names = [name for name, _ in layer.named_parameters()]
    start = {name: buffer.clone() for name, buffer in layer.named_buffers()}

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        state = {name: buffer.clone() for name, buffer in start.items()}
        return torch.func.functional_call(layer, state | dict(zip(names, parameters, strict=True)), (x,))

    return run


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", TWICE)
def test_gradgradcheck(name: str, training: bool) -> None:
    layer = prepared(name, training)
    x = torch.randn(3, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(as_function(layer), (x, *layer.parameters()))


def penalty(layer: nn.Module, create_graph_alone: bool) -> list[Tensor]:
    """Gradients of a penalty on the gradient by an input that comes through a convolution, with an upstream gradient
    that needs none itself, as torch.autograd.grad's ones are."""
    torch.manual_seed(1)
    convolution = nn.Conv2d(3, 8, 3).double()
    image = torch.rand(4, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    y = layer(convolution(image)).tanh() if not create_graph_alone else layer(convolution(image))
    (gradient,) = torch.autograd.grad(
        y.sum() if not create_graph_alone else y,
        image,
        torch.ones_like(y) if create_graph_alone else None,
        create_graph=True,
    )
    if create_graph_alone:
        gradient = gradient * image
    parameters = [*convolution.parameters(), *layer.parameters()]
    return list(torch.autograd.grad(gradient.square().sum(), parameters, allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("create_graph_alone", [True, False])
@pytest.mark.parametrize("name", TWICE)
def test_a_gradient_penalty_is_that_of_ordinary_operations(name: str, create_graph_alone: bool) -> None:
    layer = prepared(name)
    actual = penalty(copy.deepcopy(layer), create_graph_alone)
    if name == "brn":
        pytest.skip("what it takes for constants, r and d, ordinary operations would differentiate as well")
    with forced(PLAIN):
        expected = penalty(copy.deepcopy(layer), create_graph_alone)
    torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["bn_act"])
def test_what_has_none_says_so(name: str) -> None:
    """Also where the upstream gradient needs no gradient, and the second-order part would be left out in silence."""
    x = torch.randn(3, 8, 4, 5, requires_grad=True)
    y = prepared(name).float()(x)
    with pytest.raises(RuntimeError, match="to differentiate twice"):
        torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_single_and_half_precision(dtype: torch.dtype) -> None:
    layer, x = prepared("bn").float(), torch.randn(4, 8, 6, 6).to(dtype)
    results = []
    for exact in (False, True):
        norm = copy.deepcopy(layer).to(torch.float64 if exact else torch.float32)
        leaf = x.to(torch.float64 if exact else dtype).requires_grad_()
        (gradient,) = torch.autograd.grad(norm(leaf).float().tanh().sum(), leaf, create_graph=True)
        results.append(torch.autograd.grad(gradient.float().square().sum(), leaf)[0].double())
    assert (results[0] - results[1]).abs().max() <= (1e-4 if dtype == torch.float32 else 0.05) * results[1].abs().max()
