"""AdaBN takes statistics of the photographs that it is to take, and nothing else changes."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from enhance.errors import DataError, SettingsError
from enhance.inference.adapt import adapt
from enhance.inference.enhancer import MAX_GIB
from enhance.inference.tiles import side_within
from enhance.models.build import build_model
from enhance.models.model import EnhancementModel
from enhance.norm.recalibrate import BATCH, LARGEST_AREA, batch_statistics, running_statistics
from enhance.settings.schema import ModelSettings, NormSettings

CPU = torch.device("cpu")


@pytest.fixture
def model() -> EnhancementModel:
    torch.manual_seed(0)
    plain = ModelSettings(width=8, depth=1, exposure=False, brightened=False)
    return build_model(plain, NormSettings("bn")).eval()


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Twenty plain ones, each of its own brightness: its number times 10."""
    files = [tmp_path / f"{number:02}.png" for number in range(20)]
    for number, file in enumerate(files):
        Image.new("RGB", (64, 48), (10 * number,) * 3).save(file)
    return files


def seen_by(model: EnhancementModel) -> list[Tensor]:
    """The batches of photographs that go through the model from now on."""
    seen: list[Tensor] = []

    def note(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        height, width = inputs[0].shape[2:]
        if height != width:  # a square has the memory measured; no photograph here is one
            seen.append(inputs[0].clone())

    model.register_forward_pre_hook(note)
    return seen


def numbers(seen: list[Tensor]) -> list[int]:
    """Of the plain photographs."""
    return sorted(round(255 * image.mean().item() / 10) for batch in seen for image in batch)


@pytest.mark.parametrize(
    ("count", "taken"),
    [
        (10, list(range(0, 20, 2))),
        (1, [0, 2, 5, 7, 10, 12, 15, 17]),  # of fewer than 8, the statistics would be those of their scenes
        (64, list(range(20))),
    ],
)
def test_photographs_are_taken_from_all_over(
    model: EnhancementModel, photos: list[Path], count: int, taken: list[int]
) -> None:
    seen = seen_by(model)
    assert adapt(model, photos, count, CPU, MAX_GIB) == len(taken)
    assert numbers(seen) == taken


def test_others_take_the_place_of_those_that_cannot_be_used(model: EnhancementModel, photos: list[Path]) -> None:
    photos[0].write_bytes(b"no image")
    photos[5].unlink()
    Image.new("RGB", (64, 15)).save(photos[10])  # the model takes 16 px
    Image.new("RGB", (16, 64), (150,) * 3).save(photos[15])
    seen = seen_by(model)
    assert adapt(model, photos, 8, CPU, MAX_GIB) == 8
    assert numbers(seen) == [1, 2, 3, 4, 7, 12, 15, 17]


def test_statistics_are_of_the_photographs_and_weights_stay(model: EnhancementModel, photos: list[Path]) -> None:
    random = np.random.default_rng(0)
    for file in photos:
        Image.fromarray(random.integers(0, 80, (48, 64, 3), dtype=np.uint8)).save(file)
    before = copy.deepcopy(model)
    adapt(model, photos, 20, CPU, MAX_GIB)
    kept, statistics = before.state_dict(), running_statistics(model)
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items() if name not in statistics)

    def first_norm(network: EnhancementModel) -> tuple[str, nn.Module]:
        return next((name, each) for name, each in network.named_modules() if "BatchNorm" in type(each).__name__)

    reached: list[Tensor] = []
    name, layer = first_norm(before)
    layer.register_forward_pre_hook(lambda _, inputs: reached.append(inputs[0]))
    with torch.no_grad():
        for file in photos:
            before(torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None] / 255)
    values = torch.cat(reached).double().transpose(0, 1).flatten(1)
    _, adapted = first_norm(model)
    torch.testing.assert_close(adapted.running_mean, values.mean(1).float())
    torch.testing.assert_close(adapted.running_var, values.var(1).float())
    assert not torch.allclose(statistics[f"{name}.running_mean"], kept[f"{name}.running_mean"])


def test_of_a_large_photograph_the_middle_is_taken_as_far_as_memory_goes(
    model: EnhancementModel, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    pixels = [random.integers(0, 256, (500, 700, 3), dtype=np.uint8) for _ in range(8)]
    files = [tmp_path / f"{number}.png" for number in range(8)]
    for file, image in zip(files, pixels, strict=True):
        Image.fromarray(image).save(file)
    areas = []
    for max_gib in (0.05, 4.0):
        seen = seen_by(model)
        adapt(model, files, 8, CPU, max_gib)
        height, width = seen[0].shape[2:]
        top, left = (500 - height) // 2, (700 - width) // 2
        for image, given in zip(torch.cat(seen), pixels, strict=True):
            middle = torch.from_numpy(given[top : top + height, left : left + width]).permute(2, 0, 1) / 255
            torch.testing.assert_close(image, middle)
        assert width / height == pytest.approx(700 / 500, abs=0.02)
        areas.append(height * width)
    with batch_statistics(model):
        allowed = side_within(model, 0.05, CPU) ** 2 / BATCH
    assert 0.95 * allowed < areas[0] <= allowed
    assert 0.95 * LARGEST_AREA < areas[1] <= LARGEST_AREA  # however much there is


def test_of_too_few_nothing_is_taken(model: EnhancementModel, photos: list[Path]) -> None:
    before = copy.deepcopy(model.state_dict())
    for file in photos[7:]:
        file.write_bytes(b"no image")
    with pytest.raises(DataError) as refused:
        adapt(model, photos, 8, CPU, MAX_GIB)
    assert str(refused.value) == (
        f"{photos[0].parent}: 7 of 20 photographs can be adapted to, and --adapt needs 8; leave it out"
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    photos[7].unlink()
    Image.new("RGB", (64, 48)).save(photos[7])
    assert adapt(model, photos, 8, CPU, MAX_GIB) == 8


def test_too_little_memory_is_told_with_what_would_do(model: EnhancementModel, photos: list[Path]) -> None:
    with pytest.raises(SettingsError, match=r"--max-memory 0.001 is too small for --adapt: give (.*) times as") as told:
        adapt(model, photos, 8, CPU, 0.001)
    times = float(str(told.value).rpartition("give ")[2].split()[0])
    assert adapt(model, photos, 8, CPU, 1.01 * times * 0.001) == 8
