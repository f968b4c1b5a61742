"""The contact sheet shows the right images in the right places; what is shown of several networks: of any image size,
and of a checkpoint's every choice of statistics."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from enhance.evaluation import drawing
from enhance.evaluation.contact_sheet import differ_most, draw, networks_of, rows_of, worst_and_best
from enhance.evaluation.drawing import CELL, GAP, LINE, Cell
from enhance.evaluation.scores import ImageScore
from enhance.inference import enhancer
from enhance.models.unet import UNet
from enhance.norm.recalibrate import running_statistics
from enhance.run.checkpoint import Checkpoint, save
from enhance.settings.schema import ModelSettings, NormSettings, Settings
from tests.evaluation.conftest import Pairs

CPU = torch.device("cpu")


def scored(*decibels: float) -> list[ImageScore]:
    return [ImageScore(f"{db}.png", db, 0.5, db, 0.5, 5, 0.1, 0.1) for db in decibels]


@pytest.mark.parametrize(
    ("decibels", "worst", "best"),
    [
        ((20,), [0], []),
        ((20, 10), [1], [0]),
        ((20, 10, 15), [1, 2], [0]),
        ((9, 8, 7, 6, 5, 4, 3, 2, 1), [8, 7, 6, 5], [0, 1, 2, 3]),
    ],
)
def test_worst_and_best(decibels: tuple[float, ...], worst: list[int], best: list[int]) -> None:
    assert worst_and_best(scored(*decibels)) == (worst, best)


def test_the_worst_stands_left_with_input_output_target(pairs) -> None:
    colours = {}
    for index in range(3):
        low, normal = pairs.whole(index)
        low[:], normal[:] = 0.1 * index, 0.5 + 0.1 * index
        colours[index] = [round(255 * value) for value in (0.1 * index, 0.1 * index + 0.3, 0.5 + 0.1 * index)]
    sheet = np.array(draw(scored(20, 10, 15), pairs, lambda low: low + 0.3, "title"))
    columns = [GAP + column * (CELL + GAP) + CELL // 2 for column in range(3)]
    first = 2 * LINE + 2 * LINE + LINE + 10  # inside the first row of images
    block = 4 * GAP + 3 * CELL + GAP
    assert [sheet[first, column, 0] for column in columns] == pytest.approx(colours[1], abs=1)
    assert [sheet[first, block + column, 0] for column in columns] == pytest.approx(colours[0], abs=1)


def test_a_single_image_makes_a_sheet(pairs) -> None:
    pairs.names, pairs.pairs = pairs.names[:1], pairs.pairs[:1]
    sheet = draw(scored(20), pairs, lambda low: low, "title")
    assert sheet.width == 4 * GAP + 3 * CELL


@pytest.fixture
def write(tmp_path: Path, small_unet: Callable[[str], UNet]) -> Callable[..., Path]:
    def write(norm: str, recalibrated: bool = True, frozen: bool = False) -> Path:
        model = ModelSettings(width=8, depth=1, exposure=False)
        settings = Settings(model=model, norm=NormSettings(name=norm), batch_size=4)
        settings.validation.recalibrate = recalibrated
        model = small_unet(norm)
        statistics = {} if frozen else running_statistics(model)
        save(Checkpoint(settings, 1, model.state_dict(), statistics, frozen=frozen), tmp_path / f"{norm}.pt")
        return tmp_path / f"{norm}.pt"

    return write


def names(file: Path, statistics: bool = True) -> list[str]:
    return [name for name, _ in networks_of(file, statistics, CPU)]


def test_every_choice_of_statistics_is_named_once(write) -> None:
    own = "bn, batch 4: each image's own"
    assert names(write("bn")) == ["bn, batch 4: running statistics", "bn, batch 4: recalibrated (as saved)", own]
    assert names(write("bn", recalibrated=False)) == ["bn, batch 4: running statistics (as saved)", own]
    assert names(write("bn", frozen=True)) == ["bn, batch 4: frozen in training (as saved)", own]
    assert names(write("bn"), statistics=False) == ["bn, batch 4"]
    assert names(write("gn")) == ["gn, batch 4"]


def test_photographs_that_the_device_has_no_room_for_are_shown(write, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs = Pairs(["small.png", "large.png"], [(48, 64), (421, 333)])
    files = [write("bn"), write("gn")]

    def shown() -> list[list[Cell]]:
        networks = [network for file in files for network in networks_of(file, False, CPU)]
        assert sorted(differ_most(photographs, networks, 2)) == [0, 1]
        return list(rows_of(photographs, [1, 0], networks))

    whole = shown()
    largest: list[int] = []
    forward = UNet.forward

    def watched(model: UNet, image: torch.Tensor) -> torch.Tensor:
        largest.append(image[0, 0].numel())
        return forward(model, image)

    monkeypatch.setattr(enhancer, "available_memory", lambda _: int(0.005 * 2**30))
    monkeypatch.setattr(UNet, "forward", watched)
    for row, alike in zip(shown(), whole, strict=True):
        assert [cell.lines for cell in row] == [cell.lines for cell in alike]
        for cell, same in zip(row, alike, strict=True):
            assert cell.image.shape == same.image.shape
            assert abs(cell.image.astype(int) - same.image).max() <= 1
    assert max(largest) < 421 * 333
    assert drawing.rows(whole).width == drawing.GAP + 4 * (drawing.CELL + drawing.GAP)
