"""`torch.compile(fullgraph=True)` and `torch.export` take every layer, and nothing changes by it."""

import copy

import pytest
import torch
from torch import Tensor, nn

from enhance.norm.batch import freeze


def network(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    # Without a bias: most norms take it away again, and its gradient is nothing but rounding.
    return nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), layer, nn.LeakyReLU(0.2, inplace=True))


def step(model: nn.Module, run: nn.Module, x: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """Output, gradients and buffers of `model` after `run`, which is the model or a compiled form of it."""
    x = x.detach().requires_grad_()
    y = run(x)
    y.backward(grad)
    gradients = {f"grad of {name}": parameter.grad for name, parameter in model.named_parameters()}
    return {"y": y.detach(), "x.grad": x.grad, **gradients, **dict(model.named_buffers())}


def assert_compiles(layer: nn.Module, backend: str, x: Tensor) -> None:
    model = network(layer)
    twin = copy.deepcopy(model)
    torch.compiler.reset()
    grad = torch.randn(x.shape[0], 6, x.shape[2] - 2, x.shape[3] - 2)
    expected = step(model, model, x, grad)
    actual = step(twin, torch.compile(twin, fullgraph=True, backend=backend), x, grad)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_compile(twin, training: bool, memory_format: torch.memory_format) -> None:
    x = torch.randn(4, 3, 7, 10).to(memory_format=memory_format)
    assert_compiles(twin.ours().train(training), "aot_eager", x)


def test_compile_with_a_cumulative_average(batch_norm) -> None:
    assert_compiles(batch_norm.ours(momentum=None), "aot_eager", torch.randn(4, 3, 7, 10))


def test_one_compilation_serves_every_size(twin) -> None:
    torch.compiler.reset()
    model = network(twin.ours())
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for shape in ((4, 3, 7, 10), (2, 3, 31, 17), (5, 3, 12, 12)):
            x = torch.randn(shape)
            torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_compile_by_inductor(twin) -> None:
    assert_compiles(twin.ours(), "inductor", torch.randn(4, 3, 7, 10))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("grad_mode", [True, False])
def test_export_for_any_size(twin, training: bool, grad_mode: bool) -> None:
    model = network(twin.ours().train(training))
    any_size = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    exported = torch.export.export(model, (torch.randn(4, 3, 7, 10),), dynamic_shapes=(any_size,)).module()
    x = torch.randn(2, 3, 31, 17)
    with torch.set_grad_enabled(grad_mode):
        torch.testing.assert_close(exported(x), model(x), rtol=1e-5, atol=1e-5)
    for name, buffer in exported.named_buffers():
        torch.testing.assert_close(buffer, model.get_buffer(name), rtol=1e-5, atol=1e-6)


def test_freezing_reaches_a_compiled_layer(batch_norm) -> None:
    model = network(batch_norm.ours())
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = torch.randn(4, 3, 7, 10)
    compiled(x)
    freeze(model)
    statistics = model[1].running_mean.clone()
    torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)
    assert torch.equal(model[1].running_mean, statistics)
