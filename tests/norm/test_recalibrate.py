"""Precise-BN: the running statistics become those of a population, and nothing else changes."""

import copy
import weakref
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from enhance.norm.base import TooFewValues
from enhance.norm.batch import BatchNorm
from enhance.norm.image import GroupNorm
from enhance.norm.recalibrate import (
    batch_norms,
    batch_statistics,
    recalibrate,
    recalibrate_on_images,
    running_statistics,
)

SIZES = [(2, 9, 12), (1, 17, 5), (3, 8, 8)]


def images() -> list[Tensor]:
    """Batches of different sizes; those after the first are brighter."""
    torch.manual_seed(0)
    return [torch.rand(n, 3, h, w) + i for i, (n, h, w) in enumerate(SIZES)]


def network(norm: Callable[[int], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm(4), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3), norm(5))


@pytest.mark.cpu
@pytest.mark.parametrize("norm", [BatchNorm, nn.BatchNorm2d])
def test_one_layer_has_the_population_statistics_of_all_positions(norm: Callable[[int], nn.Module]) -> None:
    layer = norm(3)
    assert recalibrate(layer, images()) == 6
    population = np.concatenate([batch.double().numpy().transpose(1, 0, 2, 3).reshape(3, -1) for batch in images()], 1)
    np.testing.assert_allclose(layer.running_mean, population.mean(1), rtol=1e-6)
    np.testing.assert_allclose(layer.running_var, population.var(1, ddof=1), rtol=1e-6)


def test_a_batch_of_no_images_changes_nothing() -> None:
    layer, twin = BatchNorm(3), BatchNorm(3)
    none = torch.empty(0, 3, 9, 9)
    assert recalibrate(layer, [none, *images(), none]) == recalibrate(twin, images())
    torch.testing.assert_close(layer.state_dict(), twin.state_dict(), rtol=0, atol=0)
    with pytest.raises(ValueError, match="no images were given"):
        recalibrate(layer, [none])


def test_our_and_torchs_layers_agree_through_a_network() -> None:
    ours, theirs = network(BatchNorm), network(nn.BatchNorm2d)
    for model in (ours, theirs):
        recalibrate(model, images())
    actual, expected = running_statistics(ours), running_statistics(theirs)
    assert actual.keys() == expected.keys()
    for key, value in actual.items():
        torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6)


def test_one_batch_makes_evaluation_what_training_was() -> None:
    model, (batch, *_) = network(BatchNorm), images()
    with torch.no_grad():
        trained = copy.deepcopy(model)(batch)
    recalibrate(model, [batch])
    n = trained.numel() / 5
    # The running variance is the unbiased one, so that the two differ by sqrt((n - 1) / n).
    torch.testing.assert_close(model.eval()(batch) * (n / (n - 1)) ** 0.5, trained, rtol=1e-2, atol=1e-2)


def test_deeper_layers_see_standardized_input_whatever_the_old_statistics() -> None:
    spoilt = network(BatchNorm)
    for layer in batch_norms(spoilt).values():
        layer.running_mean.fill_(100.0)
        layer.running_var.fill_(1e-3)
    fresh = network(BatchNorm)
    for model in (spoilt, fresh):
        recalibrate(model, images())
    assert all(torch.equal(value, running_statistics(fresh)[key]) for key, value in running_statistics(spoilt).items())


def test_weights_modes_and_counters_stay() -> None:
    model = network(BatchNorm)
    model.train()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    recalibrate(model, images())
    assert [module.training for module in model.modules()] == modes
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {f"{layer}.running_{statistic}" for layer in (1, 4) for statistic in ("mean", "var")}
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_failure_on_the_way_changes_nothing() -> None:
    model = network(BatchNorm).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(RuntimeError):
        recalibrate(model, [images()[0], torch.rand(1, 4, 9, 9)])
    assert model.training
    assert model[1].training
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(not layer._forward_pre_hooks for layer in batch_norms(model).values())


def test_a_layer_that_no_image_reaches_keeps_its_statistics() -> None:
    model = nn.ModuleDict({"used": BatchNorm(3), "unused": BatchNorm(3)})
    model.forward = lambda x: model["used"](x)
    recalibrate(model, images())
    assert model["unused"].running_mean.tolist() == [0, 0, 0]
    assert model["used"].running_mean.abs().min() > 0


@pytest.mark.parametrize("model", [nn.Conv2d(3, 3, 1), GroupNorm(3, 3), BatchNorm(3, track_running_stats=False)])
def test_without_running_statistics_there_is_nothing_to_recalibrate(model: nn.Module) -> None:
    with pytest.raises(ValueError, match="no batch norm with running statistics"):
        recalibrate(model, images())


@pytest.mark.parametrize("none", [[], iter(())])
def test_no_images_are_refused(none) -> None:
    model = BatchNorm(3)
    with pytest.raises(ValueError, match="no images were given"):
        recalibrate(model, none)
    assert model.running_var.tolist() == [1, 1, 1]


def test_a_single_position_is_refused_and_changes_nothing() -> None:
    model = BatchNorm(3)
    with pytest.raises(TooFewValues, match="a single position has no variance"):
        recalibrate(model, [torch.rand(1, 3, 1, 1)])
    assert model.running_var.tolist() == [1, 1, 1]


def batches_seen(images: Iterable[Tensor], **options: int) -> list[Tensor]:
    model, batches = BatchNorm(3), []
    model.register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0]))
    recalibrate_on_images(model, images, torch.device("cpu"), **options)
    return batches


def test_a_small_image_does_not_cut_the_others_down() -> None:
    sizes = [(40, 60), (60, 40), (16, 16), (50, 50), (20, 18)]
    batches = batches_seen(torch.rand(3, *size) for size in sizes)
    assert sorted(tuple(batch.shape) for batch in batches) == [(2, 3, 16, 16), (3, 3, 40, 40)]


def test_of_a_large_image_the_middle_is_seen_alone() -> None:
    alive: list[weakref.ref[torch.UntypedStorage]] = []

    def large() -> Iterator[Tensor]:
        for _ in range(3):
            image = torch.zeros(3, 200, 300)
            image[:, 60:140, 90:210] = 1
            alive.append(weakref.ref(image.untyped_storage()))
            yield image
            del image
            assert sum(storage() is not None for storage in alive) <= 1

    (batch,) = batches_seen(large(), largest_area=40 * 60)
    assert batch.shape == (3, 3, 40, 60)
    assert batch.min() == 1


@pytest.mark.parametrize("norm", [BatchNorm, nn.BatchNorm2d])
def test_batch_statistics_standardize_each_batch_by_itself(norm: Callable[[int], nn.Module]) -> None:
    model = norm(3).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with batch_statistics(model):
        for batch in images():
            y = model(batch)
            torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
            torch.testing.assert_close(y.var((0, 2, 3), unbiased=False), torch.ones(3), rtol=1e-3, atol=0)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_batch_statistics_end_with_an_error_too() -> None:
    model = network(BatchNorm)
    expected = running_statistics(model)
    with pytest.raises(KeyError), batch_statistics(model):
        raise KeyError
    assert running_statistics(model).keys() == expected.keys()
