"""What batch norm remembers: running statistics, evaluation mode, and what it refuses."""

import pytest
import torch
from torch import nn

from enhance.norm.base import TooFewValues
from enhance.norm.batch import BatchNorm
from enhance.norm.image import InstanceNorm

TORCHS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
SHAPES = [(9, 6), (4, 6, 11), (5, 6, 7, 9), (2, 6, 3, 4, 5)]


@pytest.mark.parametrize("options", [{}, {"momentum": 0.3}, {"momentum": None}, {"affine": False, "eps": 1e-2}])
@pytest.mark.parametrize("shape", SHAPES)
def test_running_statistics_and_evaluation_equal_torchs(shape: tuple[int, ...], options: dict) -> None:
    ours, theirs = BatchNorm(6, **options), TORCHS[len(shape)](6, **options).double()
    for step in range(4):
        x = torch.randn(shape) * (step + 1) + step
        ours(x)
        theirs(x.double())
    state = theirs.state_dict()
    assert ours.num_batches_tracked.item() == 4
    for key, value in ours.state_dict().items():
        torch.testing.assert_close(value.double(), state[key].double(), rtol=1e-5, atol=1e-6)
    x = torch.randn(shape)
    y, expected = ours.eval()(x), theirs.eval()(x.double())
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)
    assert ours.num_batches_tracked.item() == 4


def test_evaluation_gradients_equal_torchs() -> None:
    ours, theirs = BatchNorm(6), nn.BatchNorm2d(6).double()
    ours(torch.randn(4, 6, 8, 8) * 2 + 1)
    theirs.load_state_dict(ours.state_dict())
    x, grad = torch.randn(3, 6, 5, 7), torch.randn(3, 6, 5, 7)
    inputs = [x.clone().requires_grad_(), x.double().requires_grad_()]
    ours.eval()(inputs[0]).backward(grad)
    theirs.eval()(inputs[1]).backward(grad.double())
    pairs = [(inputs[0], inputs[1]), (ours.weight, theirs.weight), (ours.bias, theirs.bias)]
    for actual, expected in pairs:
        torch.testing.assert_close(actual.grad.double(), expected.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_evaluation_of_half_types(dtype: torch.dtype) -> None:
    ours, theirs = BatchNorm(6).eval(), nn.BatchNorm2d(6).double().eval()
    for layer in (ours, theirs):
        layer.running_mean.fill_(30.0)
        layer.running_var.fill_(4.0)
    x = (2 * torch.randn(3, 6, 5, 7) + 30).to(dtype)
    y, expected = ours(x), theirs(x.double())
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), expected, rtol=torch.finfo(dtype).eps, atol=1e-5)


def test_without_running_statistics_evaluation_uses_the_batch() -> None:
    ours = BatchNorm(6, track_running_stats=False)
    assert [key for key, _ in ours.named_buffers()] == []
    x = torch.randn(3, 6, 5, 7) * 4 + 2
    torch.testing.assert_close(ours.eval()(x), nn.BatchNorm2d(6)(x), rtol=1e-5, atol=1e-5)


def test_the_texts_convention_of_the_docstring() -> None:
    """running = 0.9 * running + 0.1 * batch for momentum=0.1; the biased variance comes to (n - 1) / n of ours."""
    ours, x = BatchNorm(6, momentum=0.1), torch.randn(3, 6, 5, 7) + 2
    ours(x)
    torch.testing.assert_close(ours.running_mean, 0.9 * torch.zeros(6) + 0.1 * x.mean((0, 2, 3)))
    n = 3 * 5 * 7
    biased = x.var((0, 2, 3), unbiased=False)
    torch.testing.assert_close((ours.running_var - 0.9) * (n - 1) / n, 0.1 * biased)


def test_half_precision_buffers_are_tracked() -> None:
    ours, x = BatchNorm(6).bfloat16(), torch.randn(3, 6, 5, 7).bfloat16() + 2
    ours(x)
    assert ours.running_mean.dtype == torch.bfloat16
    torch.testing.assert_close(ours.running_mean.float(), 0.1 * x.float().mean((0, 2, 3)), rtol=1e-2, atol=1e-3)


def test_statistics_carry_no_gradient() -> None:
    ours = BatchNorm(6)
    ours(torch.randn(3, 6, 5, 7, requires_grad=True))
    assert not ours.running_mean.requires_grad
    assert ours.running_mean.grad_fn is None


def test_one_value_per_channel_is_refused() -> None:
    with pytest.raises(TooFewValues, match=r"^batch norm of 6 channels sees 1 value per channel"):
        BatchNorm(6)(torch.randn(1, 6, 1, 1))
    with pytest.raises(TooFewValues, match=r"^instance norm of 6 channels sees 1 value per channel"):
        InstanceNorm(6)(torch.randn(8, 6, 1, 1))
    assert BatchNorm(6).eval()(torch.randn(1, 6, 1, 1)).isfinite().all()
    assert InstanceNorm(6).eval()(torch.randn(8, 6, 1, 1)).isfinite().all()


def test_one_value_per_channel_leaves_the_statistics_alone() -> None:
    ours = BatchNorm(6)
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    with pytest.raises(TooFewValues):
        ours(torch.randn(1, 6))
    assert all(torch.equal(value, before[key]) for key, value in ours.state_dict().items())


@pytest.mark.parametrize("shape", [(6,), (3, 5, 7, 7), (3, 7, 7, 6)])
def test_wrong_number_of_channels(twin, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"input \(N, 6, ...\) expected"):
        twin.ours()(torch.randn(shape))


def test_an_empty_batch_passes_in_evaluation(twin) -> None:
    assert twin.ours().eval()(torch.randn(0, 6, 5, 7)).shape == (0, 6, 5, 7)


def test_representation_names_the_options(batch_norm) -> None:
    assert repr(batch_norm.ours(momentum=0.2)) == (
        "BatchNorm(6, eps=1e-05, momentum=0.2, affine=True, track_running_stats=True)"
    )


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize(
    ("bad", "dtype"), [(float("nan"), torch.float32), (float("inf"), torch.float32), (1e5, torch.float16)]
)
def test_a_batch_that_is_not_finite_leaves_the_running_statistics(bad: float, dtype, momentum) -> None:
    layer, twin = (BatchNorm(3, momentum=momentum) for _ in range(2))
    good = torch.randn(4, 3, 5, 5)
    spoiled = good.clone()
    spoiled[1, 2, 3, 4] = bad
    for x in (spoiled.to(dtype), good, spoiled.to(dtype)):  # 1e5 overflows float16
        layer(x)
    twin(good)
    for name, buffer in twin.named_buffers():
        assert torch.equal(layer.get_buffer(name), buffer), name


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("track", [True, False])
@pytest.mark.parametrize("shape", [(0, 3, 5, 5), (2, 3, 0, 5), (0, 3, 0, 0)])
def test_a_batch_without_values_does_as_torchs(shape: tuple[int, ...], track: bool, training: bool) -> None:
    layers = [kind(3, track_running_stats=track).train(training) for kind in (BatchNorm, nn.BatchNorm2d)]
    for layer in layers:
        x = torch.empty(shape, requires_grad=True)
        y = layer(x)
        y.sum().backward()
        assert y.shape == x.grad.shape == shape
        assert layer.weight.grad.tolist() == layer.bias.grad.tolist() == [0, 0, 0]
    for name, buffer in layers[1].named_buffers():
        assert torch.equal(layers[0].get_buffer(name), buffer), name
