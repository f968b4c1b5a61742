"""The hand-written backward: checked against differences, lean in what it saves, and our code all through."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from enhance.cost.measure import saved_tensors


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(3, 6, 2, 3), (2, 6, 1, 5)])
def test_gradcheck(twin, training: bool, shape: tuple[int, ...]) -> None:
    layer = twin.ours().double().train(training)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    parameters = tuple(layer.parameters())

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *parameters))


def test_gradcheck_of_batch_norm_on_vectors(batch_norm) -> None:
    layer = batch_norm.ours().double()
    assert torch.autograd.gradcheck(layer, (torch.randn(5, 6, dtype=torch.float64, requires_grad=True),))


def test_an_in_place_activation_may_follow(twin) -> None:
    x = torch.randn(3, 6, 4, 5)
    grads = []
    for activation in (nn.LeakyReLU(0.2, inplace=True), nn.LeakyReLU(0.2)):
        input_ = x.clone().requires_grad_()
        torch.manual_seed(1)
        nn.Sequential(twin.ours(), activation)(input_).backward(torch.randn(x.shape))
        grads.append(input_.grad)
    torch.testing.assert_close(*grads)


def test_input_and_upstream_gradient_stay_as_they_are(twin) -> None:
    x, grad = torch.randn(3, 6, 4, 5, requires_grad=True), torch.randn(3, 6, 4, 5)
    copies = x.detach().clone(), grad.clone()
    twin.ours()(x).backward(grad)
    assert torch.equal(x.detach(), copies[0])
    assert torch.equal(grad, copies[1])


def test_frozen_parameters_and_input_that_needs_no_gradient(twin) -> None:
    x, grad = torch.randn(3, 6, 4, 5), torch.randn(3, 6, 4, 5)
    first = twin.ours()
    first(x).backward(grad)
    frozen = twin.ours().requires_grad_(False)
    input_ = x.clone().requires_grad_()
    frozen(input_).backward(grad)
    both, all_input = twin.ours(), x.clone().requires_grad_()
    both(all_input).backward(grad)
    assert torch.equal(first.weight.grad, both.weight.grad)
    assert torch.equal(input_.grad, all_input.grad)
    assert frozen.weight.grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_backward_saves_the_input_and_small_vectors(twin, dtype: torch.dtype) -> None:
    shape = (4, 6, 32, 32)
    x = torch.randn(shape).to(dtype).requires_grad_()
    layer = twin.ours()
    saved = saved_tensors(lambda: layer(x))
    large = {tensor.untyped_storage().data_ptr() for tensor in saved if tensor.numel() == x.numel()}
    assert large == {x.untyped_storage().data_ptr()}
    small = sum(tensor.numel() for tensor in saved if tensor.numel() < x.numel())
    assert small <= 2 * x.numel() / 6 + 12  # layer norm: two numbers for each position; and the parameters


class Recorder(TorchDispatchMode):
    """Names of all ATen operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


def norm_operators(layer: nn.Module) -> set[str]:
    """Operators called some norm that run in training and in evaluation, forward and backward."""
    with Recorder() as recorder:
        for training in (True, False):
            layer.train(training)(torch.randn(3, 6, 4, 5, requires_grad=True)).backward(torch.randn(3, 6, 4, 5))
    return {name for name in recorder.names if "norm" in name}


def test_no_norm_of_torchs_runs(twin) -> None:
    assert norm_operators(twin.ours()) == set()
    assert norm_operators(twin.theirs(4)) != set()  # the recorder would see one
