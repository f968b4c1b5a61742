"""The Triton kernels on CPU tensors, by Triton's interpreter: TRITON_INTERPRET=1 pytest tests/norm/interpreted.py

`test_kernels` runs this file in a process of its own, for Triton asks for the interpreter once, when it is imported.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from enhance.norm import functional, kernels, launch, layer_kernels, plain
from enhance.norm.batch import BatchNorm
from enhance.norm.functional import BATCH, CHANNELS, KERNELS, PLANES, forced, normalize
from enhance.norm.recalibrate import recalibrate
from enhance.norm.registry import build_norm
from tests.norm.ranks import on_two_ranks
from tests.norm.test_against_torch import LAYOUTS, distance, results
from tests.norm.test_sync_ranks import SPLITS, a_split, assert_close, by_position, one_batch

NAMES = ["bn", "in", "gn", "ln", "hin", "bn_ghost", "brn", "bn_act", "bn_act elu"]
AXES = {"bn": (BATCH, 6), "in": (PLANES, 6), "gn": (PLANES, 2), "ln": (CHANNELS, 1)}


@pytest.fixture(autouse=True)
def _by_kernels() -> Iterator[None]:
    with forced(KERNELS):
        yield


def made(name: str, **options: object) -> nn.Module:
    name, _, activation = name.partition(" ")
    if activation:
        options["activation"] = activation
    layer = build_norm(name, 6, **({"num_groups": 2} if name == "gn" else {}), **options)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -1.5, 1.5)
    return layer


def exact(layer: nn.Module, x: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """The results in float64, which no kernel computes in."""
    return results(copy.deepcopy(layer).double(), x.double().contiguous(), grad.double().contiguous())


def assert_exact(layer: nn.Module, x: Tensor, grad: Tensor, tolerance: float = 1e-5) -> None:
    twin = copy.deepcopy(layer)
    expected = exact(twin, x, grad)
    for name, value in results(layer, x, grad).items():
        half = value.dtype in (torch.bfloat16, torch.float16)
        assert distance(value, expected[name]) <= (2 * torch.finfo(value.dtype).eps if half else tolerance), name


CASES = [("contiguous", torch.float32), ("channels_last", torch.float32), ("channels_last", torch.bfloat16)]
MORE = [*((layout, torch.float32) for layout in LAYOUTS), ("contiguous", torch.float16), ("contiguous", torch.bfloat16)]


@pytest.mark.parametrize(
    ("name", "layout", "dtype"),
    [(name, *case) for name in NAMES for case in (MORE if name in ("bn", "ln") else CASES)],
)
def test_output_and_gradients(name: str, layout: str, dtype: torch.dtype) -> None:
    layer = made(name)
    x, grad = LAYOUTS[layout](2 * torch.randn(5, 6, 3, 4) + 1).to(dtype), torch.randn(5, 6, 3, 4).to(dtype)
    tolerance = 1e-5 if dtype == torch.float32 or not name.startswith("bn_act") else 2e-2  # LeakyReLU's side, rounded
    assert_exact(layer, x, grad, tolerance)
    assert layer(x).dtype == dtype
    if layout in ("contiguous", "channels_last"):
        assert layer(x).stride() == x.stride()


@pytest.mark.parametrize("shape", [(5, 6), (4, 6, 11), (2, 6, 3, 2, 5), (2, 6, 1, 70)])
@pytest.mark.parametrize("name", ["bn", "gn", "ln"])
def test_other_shapes(name: str, shape: tuple[int, ...]) -> None:
    assert_exact(made(name), torch.randn(shape), torch.randn(shape))


@pytest.mark.parametrize("ratio", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("name", ["bn", "in", "gn", "ln"])
def test_a_mean_far_from_zero(name: str, layout: str, ratio: float) -> None:
    """Beside the input as float32 has it: E[x^2] - E[x]^2 would be wrong by 23 times at 1e4."""
    x = LAYOUTS[layout](torch.randn(3, 6, 5, 4) + ratio)
    assert_exact(made(name), x, torch.randn(x.shape), 1e-4)


def test_one_far_image_among_many_in_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_PROGRAMS", 24)
    monkeypatch.setattr(launch, "_TILE", 64)
    x = torch.randn(4, 2, 16, 20)
    x[2] += 1e4
    assert_exact(BatchNorm(2), x, torch.randn(x.shape))


@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize("spoiled", [None, float("nan"), float("inf")])
def test_running_statistics_move_in_the_same_launch(momentum: float | None, spoiled: float | None) -> None:
    layer = made("bn", momentum=momentum)
    twin = copy.deepcopy(layer)
    for step in range(3):
        x = torch.randn(4, 6, 5, 3) + step
        if spoiled is not None and step == 1:
            x[2, 4, 1, 1] = spoiled
        layer(x)
        with forced("fast"):
            twin(x)
    for name, buffer in twin.named_buffers():
        torch.testing.assert_close(layer.get_buffer(name), buffer, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["bn", "bn_act", "bn_ghost", "brn"])
def test_running_statistics_that_are_views(name: str, dtype: torch.dtype) -> None:
    """Of every second number; those between are someone else's."""
    layers = [made(name), made(name)]
    storage = torch.arange(24, dtype=dtype).view(2, 12)
    layers[0].running_mean, layers[0].running_var = storage[:, ::2]
    layers[1].running_mean, layers[1].running_var = storage[:, ::2].clone()
    others = storage[:, 1::2].clone()
    x = torch.randn(4, 6, 5, 3) + 2
    for layer in layers:
        layer(x)
    torch.testing.assert_close(dict(layers[0].named_buffers()), dict(layers[1].named_buffers()), rtol=0, atol=0)
    assert torch.equal(storage[:, 1::2], others)


@pytest.mark.parametrize("name", ["bn", "bn_act", "bn_ghost"])
def test_a_graph_that_keeps_the_running_statistics_sees_them_move(name: str) -> None:
    layer, one = made(name), torch.ones(6, requires_grad=True)
    kept = [one * buffer for buffer in (layer.running_mean, layer.running_var)]
    layer(torch.randn(4, 6, 5, 3))
    for product in kept:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            product.sum().backward()


@pytest.mark.parametrize("gone", [("weight",), ("bias",), ("weight", "bias")])
@pytest.mark.parametrize("name", ["bn", "gn", "ln"])
def test_without_weight_or_bias(name: str, gone: tuple[str, ...]) -> None:
    layer = made(name)
    for parameter in gone:
        setattr(layer, parameter, None)
    assert_exact(layer, torch.randn(3, 6, 4, 5), torch.randn(3, 6, 4, 5))


@pytest.mark.parametrize("name", ["bn", "in", "ln"])
def test_a_constant_channel(name: str) -> None:
    y = made(name)(torch.full((7, 6, 4, 8), 27189746.0))
    assert y.isfinite().all()


@pytest.mark.parametrize("shape", [(4, 6, 4, 3), (9, 6)])
@pytest.mark.parametrize("activation", ["leaky_relu", "elu"])
def test_the_activated_layer_inverts_its_output(activation: str, shape: tuple[int, ...]) -> None:
    """But for channels that it does not give back: of those it saves the standardized input."""
    layer = made(f"bn_act {activation}")
    with torch.no_grad():
        layer.weight[2], layer.bias[2] = 0, 0.5
        layer.weight[4] = 1e-6
    x, grad = torch.randn(shape), torch.randn(shape)
    x[0, 1] = -40  # ELU comes so close to -1 that nothing gives it back
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda each: saved.append(each) or each, lambda each: each):
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
    assert {each.data_ptr() for each in saved if each.numel() == x.numel()} == {y.data_ptr()}
    assert_exact(layer, x, grad, 1e-4)


@pytest.mark.parametrize("name", ["bn", "bn_act elu", "gn"])
def test_activations_that_are_computed_again(name: str) -> None:
    layer, x, grad = made(name), torch.randn(4, 6, 3, 4), torch.randn(4, 6, 3, 4)
    expected = exact(layer, x, grad)
    leaf = x.clone().requires_grad_()
    checkpoint(layer, leaf, use_reentrant=False).backward(grad)
    assert distance(leaf.grad, expected["x.grad"]) <= 1e-5


@pytest.mark.parametrize("name", ["bn", "gn", "ln"])
def test_vectors_that_are_views(name: str) -> None:
    layer, x = made(name), torch.randn(3, 6, 4, 5)
    parameters = {"weight": torch.rand(1).expand(6), "bias": torch.rand(12)[::2]}
    y = torch.func.functional_call(layer, parameters, (x,))
    dense = torch.func.functional_call(layer, {key: value.contiguous() for key, value in parameters.items()}, (x,))
    assert torch.equal(y, dense)


@pytest.mark.parametrize("name", ["bn", "gn", "ln", "bn_ghost"])
def test_the_second_derivative(name: str) -> None:
    layer, x = made(name), torch.randn(4, 6, 3, 4)[..., ::2]  # which does not lie dense
    values = []
    for leaf, norm in ((x.detach(), layer), (x.double(), copy.deepcopy(layer).double())):
        leaf.requires_grad_()
        (gradient,) = torch.autograd.grad(norm(leaf).tanh().sum(), leaf, create_graph=True)
        values.append(torch.autograd.grad(gradient.square().sum(), leaf)[0].double())
    torch.testing.assert_close(*values, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("step", range(3))
def test_renormalization_corrects_by_statistics_that_are_taken_once(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the formula in float64; its correction has no gradient, so that the reference takes that of the layer."""
    layer = made("brn", ramp_start=0.0)
    layer.progress.fill_(1.0)
    layer.running_mean.fill_(0.3)
    layer.running_var.fill_(1.7 + step)
    twin = copy.deepcopy(layer)
    x, grad = 2 * torch.randn(4, 6, 16, 8) + 1, torch.randn(4, 6, 16, 8)
    actual: dict[str, Tensor] = {}
    count, _ = launches(lambda: actual.update(results(layer, x, grad)), monkeypatch)
    assert count == 6
    with forced("fast"):
        expected = exact(twin, x, grad)
        twin(x)
    for name, value in actual.items():
        assert distance(value, expected[name]) <= 1e-5, name
    torch.testing.assert_close(dict(layer.named_buffers()), dict(twin.named_buffers()), rtol=1e-5, atol=1e-6)


def test_recalibration_measures_by_kernels() -> None:
    batches = [torch.randn(3, 6, 5, 4) + 1e4 for _ in range(3)]
    layer = made("bn")
    twin = copy.deepcopy(layer)
    recalibrate(layer, batches)
    with forced("fast"):
        recalibrate(twin, batches)
    torch.testing.assert_close(layer.running_var, twin.running_var, rtol=1e-5, atol=0)
    torch.testing.assert_close(layer.running_mean, twin.running_mean, rtol=1e-7, atol=0)


OVER_RANKS = [
    "unequal",
    "first rank empty",
    "far",
    "far from each other",
    "channels_last",
    "bfloat16",
    "without affine",
]


def synchronised(rank: int) -> dict[str, Any]:
    with forced(KERNELS):
        return {name: a_split(split, rank) for name, split in SPLITS.items() if name in OVER_RANKS}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return on_two_ranks(synchronised, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("split", OVER_RANKS)
def test_statistics_of_several_ranks(ranks: list[dict[str, Any]], split: str) -> None:
    with forced("fast"):
        expected = one_batch(split)
    for name in ("y", "x.grad"):
        assert_close(torch.cat([by_position(rank[split][name]) for rank in ranks], 2), expected[name], split)
    for name in {"weight", "bias"} & expected.keys():
        assert_close(sum(rank[split][name] for rank in ranks), expected[name], split)
    for rank in ranks:
        for name, value in rank[split]["state"].items():
            assert_close(value, expected["state"][name], split)


def launches(run: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many kernels run, and the bytes of the large tensors that they are given: each reads or writes them once."""
    counted = [0, 0]
    for module in (kernels, layer_kernels):
        for name, kernel in list(vars(module).items()):
            if hasattr(kernel, "__getitem__") and not name.startswith("_"):
                monkeypatch.setattr(module, name, Counting(kernel, counted, module is kernels and name == "statistics"))
    run()
    return counted[0], counted[1]


class Counting:
    def __init__(self, kernel: object, counted: list[int], skip: bool) -> None:
        self.kernel, self.counted, self.skip = kernel, counted, skip

    def __getitem__(self, grid: object) -> Callable[..., None]:
        def launch(*args: object, **options: object) -> None:
            self.counted[0] += 1
            read_once = args[1:] if self.skip else args  # which takes one value of x a channel
            self.counted[1] += sum(each.nbytes for each in read_once if isinstance(each, Tensor))
            self.kernel[grid](*args, **options)

        return launch


@pytest.mark.parametrize(("dtype", "bytes_of_torchs"), [(torch.float32, 32), (torch.bfloat16, 16)])
@pytest.mark.parametrize("name", ["bn", "in", "gn"])
def test_six_launches_move_what_torchs_layer_moves(
    name: str, dtype: torch.dtype, bytes_of_torchs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = made(name), torch.randn(4, 6, 16, 64).to(dtype).requires_grad_()
    count, moved = launches(lambda: layer(x).backward(torch.ones_like(x)), monkeypatch)
    assert count == 6
    assert moved <= 1.1 * bytes_of_torchs * x.numel()


def test_what_kernels_do_not_serve_goes_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 6, 3, 3)
    assert functional.implementation(x) == KERNELS
    assert functional.implementation(x.double()) == "fast"
    assert functional.implementation(x[:0]) == "fast"
    assert functional.implementation(torch.empty(2, 6, 3, 3, device="meta")) == "fast"
    for shape in ((1, 1, 2**31 - 1), (3, 2, 2**30), (1, 2**16, 2048)):  # places and rows that 32 and 16 bits count
        assert functional.implementation(torch.empty(1).expand(shape)) == "fast"
    monkeypatch.setattr(functional, "_TRITON", None)
    assert functional.implementation(x) == "fast"


def test_normalize_is_its_formula() -> None:
    x, weight, bias = torch.randn(3, 6, 4, 5), torch.randn(6), torch.randn(6)
    for axes, groups in AXES.values():
        y = normalize(x, weight, bias, groups, axes, 1e-5)[0]
        expected = plain.normalize(x.double(), weight.double(), bias.double(), groups, axes, 1e-5)[0]
        torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)
