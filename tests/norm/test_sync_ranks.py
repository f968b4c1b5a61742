"""Synchronised batch norm on two ranks: what torch's batch norm computes for one batch of all their images."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, distributed, nn

from enhance.cost.measure import saved_tensors
from enhance.norm.base import TooFewValues
from enhance.norm.sync import SyncBatchNorm
from tests.norm.ranks import WORLD, on_two_ranks
from tests.norm.test_against_torch import LAYOUTS, distance, randomized, results

pytestmark = pytest.mark.cpu

CHANNELS = 6


@dataclass
class Split:
    """A batch over two ranks, beside one batch in float64 that holds the same values."""

    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    means: tuple[float, float] = (1.0, 1.0)
    dtype: torch.dtype = torch.float32
    layout: str = "contiguous"
    tolerance: float = 1e-5
    options: dict[str, Any] = field(default_factory=dict)

    def parts(self) -> list[tuple[Tensor, Tensor]]:
        """Each rank's input and upstream gradient."""
        draw = torch.Generator().manual_seed(0)
        tensors = []
        for shape, mean in zip(self.shapes, self.means, strict=True):
            pair = (torch.randn(shape, generator=draw, dtype=torch.float64) for _ in range(2))
            x, grad = (LAYOUTS[self.layout](tensor.to(self.dtype)) for tensor in (2 * next(pair) + mean, next(pair)))
            tensors.append((x, grad))
        return tensors

    def layer(self, kind: Callable[..., nn.Module]) -> nn.Module:
        torch.manual_seed(0)
        layer = randomized(kind(CHANNELS, **self.options))
        return layer.double() if self.dtype == torch.float64 else layer


FOUR, FIVE, NONE = ((images, CHANNELS, 7, 9) for images in (4, 5, 0))
SPLITS = {
    "equal": Split((FOUR, FOUR)),
    "unequal": Split(((3, CHANNELS, 7, 9), FIVE)),
    "other sizes": Split(((2, CHANNELS, 5, 7), (3, CHANNELS, 4, 11))),
    "first rank empty": Split((NONE, FIVE)),
    "second rank empty": Split((FIVE, NONE)),
    "one value and two": Split(((1, CHANNELS, 1, 1), (2, CHANNELS, 1, 1))),
    # Two values have next to no gradient, of which float32 has few digits.
    "one value each": Split(((1, CHANNELS, 1, 1), (1, CHANNELS, 1, 1)), dtype=torch.float64, tolerance=1e-10),
    "vectors": Split(((9, CHANNELS), (4, CHANNELS))),
    "volumes": Split(((2, CHANNELS, 3, 4, 5), (1, CHANNELS, 3, 4, 5))),
    "one rank in parts": Split(((4, CHANNELS, 301, 313), FIVE)),
    "far": Split((FOUR, FIVE), means=(2e6, 2e6)),
    "far from each other": Split((FOUR, FIVE), means=(-1e4, 1e4)),
    "channels_last": Split((FOUR, FIVE), layout="channels_last"),
    "channels_last, one rank empty": Split((FOUR, NONE), layout="channels_last"),
    "bfloat16": Split((FOUR, FIVE), dtype=torch.bfloat16, layout="channels_last"),
    "float16": Split((FOUR, FIVE), dtype=torch.float16),
    "float64": Split((FOUR, FIVE), dtype=torch.float64, tolerance=1e-10),
    "without affine": Split((FOUR, FIVE), options={"affine": False}),
    "equal weight of batches": Split((FOUR, FIVE), options={"momentum": None}),
    "no running statistics": Split((FOUR, FIVE), options={"track_running_stats": False}),
}


def conv_norm_conv(norm: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, CHANNELS, 3), norm, nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(CHANNELS, 2, 3))


def eight_images() -> Tensor:
    return torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(1))


# What follows, up to the fixture, runs on the ranks.


def a_split(split: Split, rank: int) -> dict[str, Any]:
    x, grad = split.parts()[rank]
    layer = split.layer(SyncBatchNorm)
    actual = results(layer, x, grad)
    return {**actual, "strides": (actual["y"].stride(), actual["x.grad"].stride()), "state": layer.state_dict()}


def what_is_sent(rank: int) -> list[tuple[str, int, torch.dtype]]:
    """Collectives of one step, and their tensors."""
    sent = []

    def recorded(name: str) -> Any:
        collective = getattr(distributed, name)

        def record(*arguments: Any) -> None:
            sent.append((name, arguments[-1].numel(), arguments[-1].dtype))
            collective(*arguments)

        return mock.patch.object(distributed, name, record)

    with recorded("all_gather"), recorded("all_reduce"):
        SyncBatchNorm(CHANNELS)(torch.randn(FOUR, requires_grad=True)).sum().backward()
    return sent


def evaluation_of_one_rank(rank: int) -> Tensor | None:
    if rank == 1:
        return None
    layer = SyncBatchNorm(CHANNELS).eval()
    layer.running_mean.fill_(0.3)
    no_running = SyncBatchNorm(CHANNELS, track_running_stats=False).eval()
    x, _ = SPLITS["equal"].parts()[0]
    return torch.stack((layer(x), no_running(x))).detach()


def not_finite_on_one_rank(rank: int) -> dict[str, Tensor]:
    layer = SyncBatchNorm(CHANNELS)
    good, _ = SPLITS["equal"].parts()[rank]
    spoiled = good.clone()
    if rank == 0:
        spoiled[1, 2, 3, 4] = float("nan")
    for x in (spoiled, good, spoiled):
        layer(x)
    return layer.state_dict()


def refusal(rank: int) -> tuple[str, int]:
    """One value per channel on all ranks together: the message, and how many batches were remembered."""
    layer = SyncBatchNorm(CHANNELS)
    try:
        layer(torch.randn(rank, CHANNELS, 1, 1))
    except TooFewValues as error:
        return str(error), layer.num_batches_tracked.item()
    return "", layer.num_batches_tracked.item()


def data_parallel(rank: int) -> dict[str, Tensor]:
    model = conv_norm_conv(SyncBatchNorm(CHANNELS))
    half = eight_images().chunk(WORLD)[rank]
    parallel = nn.parallel.DistributedDataParallel(model)
    parallel(half).square().mean().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def saved_for_backward(rank: int) -> tuple[bool, int]:
    """Whether the input is the one large tensor, and the number of values in small ones."""
    x = torch.randn(4, CHANNELS, 32, 32, requires_grad=True)
    saved = saved_tensors(lambda: SyncBatchNorm(CHANNELS)(x))
    large = {tensor.untyped_storage().data_ptr() for tensor in saved if tensor.numel() >= 32 * 32}
    return large == {x.untyped_storage().data_ptr()}, sum(
        tensor.numel() for tensor in saved if tensor.numel() < 32 * 32
    )


def compiled(rank: int) -> tuple[list[Tensor], list[Tensor]]:
    layer = SyncBatchNorm(CHANNELS)
    twin = copy.deepcopy(layer)
    x, grad = SPLITS["unequal"].parts()[rank]
    expected, actual = results(layer, x, grad), results(torch.compile(twin, backend="aot_eager"), x, grad)
    return [*actual.values(), *twin.buffers()], [*expected.values(), *layer.buffers()]


def no_values_on_any_rank(rank: int) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients; and running statistics, before and after."""
    layer, x = SyncBatchNorm(CHANNELS), torch.empty(NONE, requires_grad=True)
    before = [layer.running_mean.clone(), layer.running_var.clone()]
    layer(x).sum().backward()
    return [x.grad, layer.weight.grad, layer.bias.grad], [*before, layer.running_mean, layer.running_var]


def second_derivative(rank: int) -> str:
    x = torch.randn(FOUR, requires_grad=True)
    y = SyncBatchNorm(CHANNELS)(x)
    try:
        torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)
    except RuntimeError as error:
        return str(error)
    return ""


def transformed(rank: int) -> list[str]:
    """What is said to torch.func, forward mode and torch.jit.trace."""
    layer, (x, _) = SyncBatchNorm(CHANNELS, track_running_stats=False), SPLITS["unequal"].parts()[rank]

    def forward_mode() -> object:
        with torch.autograd.forward_ad.dual_level():
            return layer(torch.autograd.forward_ad.make_dual(x, x))

    said = []
    for transform in (
        lambda: torch.func.grad(lambda each: layer(each).tanh().sum())(x),
        lambda: torch.func.vmap(layer)(x[None]),
        forward_mode,
        lambda: torch.jit.trace(layer, (x,), check_trace=False),
    ):
        try:
            transform()
            said.append("nothing")
        except RuntimeError as error:
            said.append(str(error))
    return said


OTHERS = [
    what_is_sent,
    evaluation_of_one_rank,
    not_finite_on_one_rank,
    refusal,
    no_values_on_any_rank,
    data_parallel,
    saved_for_backward,
    compiled,
    second_derivative,
    transformed,
]


def everything(rank: int) -> dict[Any, Any]:
    actual = {name: a_split(split, rank) for name, split in SPLITS.items()}
    return actual | {work.__name__: work(rank) for work in OTHERS}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Results of each rank, by name of the split or function: two processes for all tests, which take long to start."""
    return on_two_ranks(everything, tmp_path_factory.mktemp("ranks"))


def by_position(x: Tensor) -> Tensor:
    """(N, C, *) -> (1, C, L, 1): one image of all values of each channel, whatever the sizes were."""
    return x.transpose(0, 1).reshape(1, CHANNELS, -1, 1)


def one_batch(name: str) -> dict[str, Any]:
    """What torch's batch norm finds for all values at once, in float64."""
    split = SPLITS[name]
    layer = split.layer(nn.BatchNorm2d).double()
    parts = zip(*split.parts(), strict=True)
    x, grad = (torch.cat([by_position(part) for part in tensors], 2).double() for tensors in parts)
    return {**results(layer, x, grad), "state": layer.state_dict()}


@pytest.fixture(params=SPLITS)
def split(request: pytest.FixtureRequest) -> str:
    return request.param


def assert_close(actual: Tensor, expected: Tensor, split: str) -> None:
    tolerance = SPLITS[split].tolerance
    if actual.dtype in (torch.bfloat16, torch.float16):
        tolerance = torch.finfo(actual.dtype).eps
    assert actual.shape == expected.shape
    assert distance(actual, expected) <= tolerance


@pytest.mark.parametrize("name", ["y", "x.grad"])
def test_output_and_gradient_are_those_of_one_batch(ranks, split: str, name: str) -> None:
    actual = torch.cat([by_position(rank[split][name]) for rank in ranks], 2)
    assert_close(actual, one_batch(split)[name], split)


def test_gradients_of_the_weights_add_up_over_ranks(ranks, split: str) -> None:
    expected = one_batch(split)
    for name in {"weight", "bias"} & expected.keys():
        assert_close(sum(rank[split][name] for rank in ranks), expected[name], split)


def test_running_statistics_are_those_of_one_batch(ranks, split: str) -> None:
    expected = one_batch(split)["state"]
    for name, value in ranks[0][split]["state"].items():
        assert_close(value, expected[name], split)


def test_every_rank_remembers_the_same(ranks, split: str) -> None:
    states = [rank[split]["state"] for rank in ranks]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_output_and_gradient_keep_type_and_memory_format(ranks, split: str) -> None:
    for rank, (x, _) in zip(ranks, SPLITS[split].parts(), strict=True):
        for name in ("y", "x.grad"):
            actual = rank[split][name]
            assert (actual.shape, actual.dtype) == (x.shape, x.dtype)
            assert actual.stride() == x.stride() or not x.numel()


def test_one_vector_is_sent_each_way(ranks) -> None:
    step = [("all_gather", 2 * CHANNELS + 1, torch.float64), ("all_reduce", 2 * CHANNELS, torch.float64)]
    assert [rank["what_is_sent"] for rank in ranks] == [step, step]


def test_evaluation_waits_for_nobody(ranks) -> None:
    (x, _), plain = SPLITS["equal"].parts()[0], nn.BatchNorm2d(CHANNELS).eval()
    plain.running_mean.fill_(0.3)
    expected = torch.stack((plain(x), nn.BatchNorm2d(CHANNELS)(x)))
    torch.testing.assert_close(ranks[0]["evaluation_of_one_rank"], expected, rtol=1e-5, atol=1e-5)


def test_a_batch_that_is_not_finite_on_one_rank_is_remembered_by_none(ranks) -> None:
    plain = nn.BatchNorm2d(CHANNELS)
    plain(torch.cat([x for x, _ in SPLITS["equal"].parts()]))
    for rank in ranks:
        torch.testing.assert_close(rank["not_finite_on_one_rank"], plain.state_dict(), rtol=1e-5, atol=1e-6)


def test_one_value_per_channel_on_all_ranks_is_refused_by_each(ranks) -> None:
    for images, rank in enumerate(ranks):
        message, remembered = rank["refusal"]
        assert message == f"synchronised batch norm of 6 channels sees 1 value per channel, input ({images}, 6, 1, 1)"
        assert remembered == 0


def test_no_values_on_any_rank_leave_no_trace(ranks) -> None:
    """pytorch/pytorch#36530, where a single rank without values was refused too."""
    for rank in ranks:
        (of_x, *others), (mean, variance, *after) = rank["no_values_on_any_rank"]
        assert of_x.shape == NONE
        assert [gradient.tolist() for gradient in others] == [[0] * CHANNELS] * 2
        assert torch.equal(mean, after[0])
        assert torch.equal(variance, after[1])


def test_data_parallel_training_has_the_gradient_of_one_process(ranks) -> None:
    model = conv_norm_conv(nn.BatchNorm2d(CHANNELS)).double()
    model(eight_images().double()).square().mean().backward()
    for rank in ranks:
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(rank["data_parallel"][name].double(), parameter.grad, rtol=1e-5, atol=1e-6)


def test_backward_saves_the_input_and_small_vectors(ranks) -> None:
    for rank in ranks:
        only_the_input, small = rank["saved_for_backward"]
        assert only_the_input
        assert small <= 5 * CHANNELS  # weight, bias, mean, what rounding left of it, 1 / std


def test_a_second_derivative_is_refused(ranks) -> None:
    assert all("no second derivative" in rank["second_derivative"] for rank in ranks)


def test_a_compiled_layer_computes_the_same(ranks) -> None:
    for rank in ranks:
        torch.testing.assert_close(*rank["compiled"], rtol=1e-4, atol=1e-5)


def test_what_sees_one_rank_alone_is_refused(ranks) -> None:
    """It computed the batch norm of each rank's own images, in silence."""
    for rank in ranks:
        assert len(rank["transformed"]) == 4
        assert all("takes no transform of torch.func" in said for said in rank["transformed"])
