"""What every layer does, beside a reference made of the formulas of `enhance.norm.plain`.

A test file of a layer subclasses `LayerContract` and says what the two are.
"""

import copy

import pytest
import torch
from torch import Tensor, nn

from enhance.norm import plain
from enhance.norm.functional import BATCH
from tests.norm.test_against_torch import LAYOUTS, distance, randomized, results

SHAPES = [(5, 6, 7, 9), (3, 6, 1, 13), (1, 6, 5, 2), (4, 6, 11), (2, 6, 3, 4, 5)]

BUFFERS = {"running_mean": 0.3, "running_var": 1.7}  # about these, where a layer has them: it has been somewhere


def plain_batch_norm(layer: nn.Module, x: Tensor) -> Tensor:
    """The output of a batch norm in its mode."""
    if not layer.training:
        return plain_running_norm(layer, x)
    return plain.normalize(x, layer.weight, layer.bias, x.shape[1], BATCH, layer.eps)[0]


def plain_running_norm(layer: nn.Module, x: Tensor) -> Tensor:
    """The output of a batch norm by its running statistics."""
    return plain.scale_and_shift(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, layer.eps)


class LayerContract:
    """Checks of one layer of 6 channels."""

    exports_any_batch = True  # in training mode

    def make(self) -> nn.Module:
        raise NotImplementedError

    def reference(self, layer: nn.Module, x: Tensor) -> Tensor:
        """The output of `layer` (in float64) in its mode, by ordinary autograd on its parameters and buffers."""
        raise NotImplementedError

    def prepared(self, training: bool = True) -> nn.Module:
        layer = randomized(self.make()).train(training)
        with torch.no_grad():
            for name, buffer in layer.named_buffers():
                if name in BUFFERS:
                    buffer.copy_(BUFFERS[name] * (1 + 0.1 * torch.randn_like(buffer)))
        return layer

    def check(self, layer: nn.Module, x: Tensor, grad: Tensor, tolerance: float) -> None:
        exact = copy.deepcopy(layer).double()
        wide = x.detach().double().contiguous().requires_grad_()
        y = self.reference(exact, wide)
        y.backward(grad.double())
        expected = {"y": y.detach(), "x.grad": wide.grad}
        expected |= {name: parameter.grad for name, parameter in exact.named_parameters()}
        actual = results(layer, x, grad)
        assert actual.keys() == expected.keys()
        for name, value in actual.items():
            assert value.shape == expected[name].shape
            half = value.dtype in (torch.bfloat16, torch.float16)
            assert distance(value, expected[name]) <= (torch.finfo(value.dtype).eps if half else tolerance), name

    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("shape", SHAPES)
    def test_output_and_gradients(self, shape: tuple, training: bool, dtype: torch.dtype, tolerance: float) -> None:
        x = 2 * torch.randn(shape, dtype=dtype) + 1
        self.check(self.prepared(training).to(dtype), x, torch.randn_like(x), tolerance)

    @pytest.mark.parametrize("grad_layout", ["contiguous", "channels_last"])
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_memory_layouts(self, layout: str, grad_layout: str) -> None:
        x, grad = LAYOUTS[layout](torch.randn(3, 6, 5, 8)), LAYOUTS[grad_layout](torch.randn(3, 6, 5, 8))
        self.check(self.prepared(), x, grad, 1e-5)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("half_weights", [False, True])
    def test_half_types(self, dtype: torch.dtype, half_weights: bool) -> None:
        x = (3 * torch.randn(5, 6, 17, 9) + 1).to(dtype).to(memory_format=torch.channels_last)
        layer = self.prepared().to(dtype) if half_weights else self.prepared()
        self.check(layer, x, torch.randn(x.shape).to(dtype), 1e-5)

    @pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize("training", [True, False])
    def test_output_and_gradient_keep_type_and_memory_format(
        self, training: bool, dtype: torch.dtype, layout: str
    ) -> None:
        x = LAYOUTS[layout](torch.randn(5, 6, 4, 8).to(dtype))
        actual = results(self.prepared(training), x, torch.randn(x.shape).to(dtype))
        for name in ("y", "x.grad"):
            assert (actual[name].dtype, actual[name].stride()) == (dtype, x.stride())

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("shape", [(3, 6, 2, 3), (2, 6, 1, 5)])
    def test_gradcheck(self, shape: tuple, training: bool) -> None:
        layer = self.for_differences(training).double()
        names = [name for name, _ in layer.named_parameters()]
        start = {name: buffer.clone() for name, buffer in layer.named_buffers()}

        def run(x: Tensor, *parameters: Tensor) -> Tensor:
            state = {name: buffer.clone() for name, buffer in start.items()}  # what a call remembers moves the next
            return torch.func.functional_call(layer, state | dict(zip(names, parameters, strict=True)), (x,))

        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(run, (x, *layer.parameters()))

    def for_differences(self, training: bool) -> nn.Module:
        """A layer whose gradient is that of its output."""
        return self.prepared(training)

    def test_an_in_place_activation_may_follow_and_inputs_stay(self) -> None:
        layer, x, grad = self.prepared(), torch.randn(3, 6, 4, 5), torch.randn(3, 6, 4, 5)
        start, copies = copy.deepcopy(layer), (x.clone(), grad.clone())
        actual = results(nn.Sequential(layer, nn.LeakyReLU(0.2, inplace=True)), x, grad)
        expected = results(nn.Sequential(start, nn.LeakyReLU(0.2)), x, grad)
        torch.testing.assert_close(actual, expected)
        assert torch.equal(x, copies[0])
        assert torch.equal(grad, copies[1])

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
    def test_compile(self, layout: str, training: bool) -> None:
        torch.compiler.reset()
        layer = self.prepared(training)
        twin = copy.deepcopy(layer)
        x, grad = LAYOUTS[layout](torch.randn(5, 6, 4, 7)), torch.randn(5, 6, 4, 7)
        compiled = torch.compile(twin, fullgraph=True, backend="aot_eager")
        expected, actual = results(layer, x, grad), results(compiled, x, grad)
        torch.testing.assert_close(list(actual.values()), list(expected.values()), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(dict(twin.named_buffers()), dict(layer.named_buffers()), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("training", [True, False])
    def test_export_for_any_size(self, training: bool) -> None:
        layer = self.prepared(training)
        any_batch = self.exports_any_batch or not training
        axes = (0, 2, 3) if any_batch else (2, 3)
        any_size = dict.fromkeys(axes, torch.export.Dim.AUTO)
        exported = torch.export.export(layer, (torch.randn(4, 6, 7, 10),), dynamic_shapes=(any_size,)).module()
        x = torch.randn(2 if any_batch else 4, 6, 31, 17)
        twin = copy.deepcopy(layer)  # the exported layer may share its buffers
        torch.testing.assert_close(exported(x), twin(x), rtol=1e-5, atol=1e-5)
        for name, buffer in exported.named_buffers():
            torch.testing.assert_close(buffer, twin.get_buffer(name), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("shape", [(6,), (3, 5, 7, 7), (3, 7, 7, 6)])
    def test_wrong_number_of_channels(self, shape: tuple) -> None:
        with pytest.raises(ValueError, match=r"input \(N, 6, ...\) expected"):
            self.make()(torch.randn(shape))
