"""A run from its first step to its last: stopped and gone on with, it ends as it would have, and what is wrong is told
before anything is written."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from enhance.errors import DataError, RunComplete, UserError
from enhance.run import checkpoint
from enhance.run.checkpoint import BEST, LAST
from enhance.run.record import Record
from enhance.run.results import read_metrics
from enhance.settings.schema import Settings
from enhance.training.trainer import Trainer, train
from tests.studies.conftest import small_settings

MakeSettings = Callable[..., Settings]


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """Settings of six steps with a validation after every second one."""
    make = small_settings(tmp_path)
    return lambda *words: make("schedule.steps=6", "validation.every=2", *words)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def validations(folder: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["validation/psnr"]) for line in read_metrics(folder) if "validation/psnr" in line]


def test_the_best_validation_is_kept_beside_the_last(make_settings: MakeSettings, tmp_path: Path) -> None:
    trainer = train(make_settings(), tmp_path / "run")
    found = validations(tmp_path / "run")
    assert [step for step, _ in found] == [2, 4, 6]
    best, last = (checkpoint.load(tmp_path / "run" / name) for name in (BEST, LAST))
    assert last.step == 6
    assert (best.step, best.validation["psnr"]) == max(found, key=lambda each: each[1])
    assert trainer.best == best.validation["psnr"]
    assert (tmp_path / "run" / "validation" / "report.json").is_file()


def stop_at(trainer: Trainer, step: int) -> None:
    """Have a signal come in the midst of this step."""

    def signal_once(model: nn.Module, _: object) -> None:
        if model.training and trainer.learner.step == step - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    trainer.learner.model.network.register_forward_pre_hook(signal_once)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("step", [1, 2, 5])
@pytest.mark.parametrize("words", [("norm=bn",), ("norm=brn", "accumulate=2", "schedule.freeze_after=0.5")])
def test_stopped_and_gone_on_with_it_ends_as_it_would_have(
    make_settings: MakeSettings, tmp_path: Path, step: int, words: tuple[str, ...]
) -> None:
    straight = train(make_settings(*words), tmp_path / "straight")
    stopped = Trainer(make_settings(*words))
    stop_at(stopped, step)
    folder = tmp_path / "stopped"
    with pytest.raises(SystemExit) as ended, Record(stopped.settings, folder, None) as record:
        stopped.fit(record)
    assert ended.value.code == 143
    last = checkpoint.load_last(folder)
    assert last.step == step  # the step was ended

    resumed = train(last.settings, folder, last)
    assert same(resumed.learner.model.state_dict(), straight.learner.model.state_dict())
    assert same(resumed.learner.average.model.state_dict(), straight.learner.average.model.state_dict())
    assert validations(folder) == validations(tmp_path / "straight")
    with pytest.raises(RunComplete, match=r"this run is complete \(6 of 6 steps\)"):
        train(last.settings, folder, checkpoint.load_last(folder))


@pytest.mark.parametrize("word", ["data.crop=41", "batch_size=4", "device=gpu", "data.root=nowhere"])
def test_what_is_wrong_is_told_before_anything_is_written(make_settings: MakeSettings, word: str) -> None:
    settings = make_settings(word)
    with pytest.raises(UserError):
        train(settings)
    assert not Path(settings.runs).exists()


def test_a_run_does_not_go_on_with_other_images(make_settings: MakeSettings, tmp_path: Path) -> None:
    train(make_settings("schedule.steps=2"), tmp_path / "run")
    last = checkpoint.load_last(tmp_path / "run")
    last.settings.schedule.steps = 4
    for side in ("low", "high"):
        file = tmp_path / "pairs" / "our485" / side / "0.png"
        file.rename(file.with_name("9.png"))
    before = validations(tmp_path / "run")
    with pytest.raises(DataError, match="the images are not those of the run"):
        train(last.settings, tmp_path / "run", last)
    assert validations(tmp_path / "run") == before
