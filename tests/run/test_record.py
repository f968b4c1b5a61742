"""What a run writes: numbers, images, provenance and checkpoints; and what it does where the disk is full."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from enhance.errors import SettingsError, UserError
from enhance.run.checkpoint import BEST, LAST, PREVIOUS, Checkpoint, load
from enhance.run.record import Record
from enhance.run.results import read_metrics
from enhance.settings.schema import OnFullDisk, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(runs=str(tmp_path / "runs"), name="run")


@pytest.fixture
def going_on(settings: Settings) -> Settings:
    settings.on_full_disk = OnFullDisk.go_on
    return settings


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(Settings(), step, {"weight": torch.full((3,), step)}, {})


def shown(folder: Path) -> EventAccumulator:
    """What TensorBoard reads of a run."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_numbers_are_in_both_places(settings: Settings) -> None:
    with Record(settings, None, None) as record:
        assert record.scalars(1, {"train/loss": 0.5, "train/l1": 0.25})
        assert record.scalars(2, {"train/loss": 0.125})
    first, second = read_metrics(record.folder)
    assert first.pop("time") <= second.pop("time")
    assert first == {"step": 1, "train/loss": 0.5, "train/l1": 0.25}
    assert second == {"step": 2, "train/loss": 0.125}
    assert [(point.step, point.value) for point in shown(record.folder).Scalars("train/loss")] == [(1, 0.5), (2, 0.125)]


def test_a_number_can_be_read_at_once(settings: Settings) -> None:
    """By whoever watches the run."""
    with Record(settings, None, None) as record:
        record.scalars(1, {"train/loss": 0.5})
        assert read_metrics(record.folder)[0]["train/loss"] == 0.5


def test_a_run_that_goes_on_drops_what_came_after_its_checkpoint(settings: Settings) -> None:
    with Record(settings, None, None) as record:
        for step in range(1, 6):
            record.scalars(step, {"train/loss": float(step)})
    with (record.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "train/lo')  # a kill cut it short
    with Record(settings, record.folder, 3) as resumed:
        assert resumed.folder == record.folder
        resumed.scalars(4, {"train/loss": 40.0})
    losses = [(line["step"], line["train/loss"]) for line in read_metrics(record.folder)]
    assert losses == [(1, 1), (2, 2), (3, 3), (4, 40)]
    assert [point.value for point in shown(record.folder).Scalars("train/loss")] == [1, 2, 3, 40]


def test_provenance_has_an_entry_for_each_start(settings: Settings) -> None:
    with Record(settings, None, None) as record:
        file = record.folder / "provenance.json"
        for seed in (1, 2):
            record.provenance({"seed": seed})
        assert json.loads(file.read_text()) == [{"seed": 1}, {"seed": 2}]
        for damaged in ('[{"seed": 1}, {"se', '{"seed": 1}'):
            file.write_text(damaged)
            assert record.provenance({"seed": 3})
            assert json.loads(file.read_text()) == [{"seed": 3}]


def test_images_stand_side_by_side(settings: Settings) -> None:
    with Record(settings, None, None) as record:
        assert record.strip(5, "input output target/a.png", [torch.rand(3, 8, 12) * 2 - 0.5 for _ in range(3)])
    (image,) = shown(record.folder).Images("input output target/a.png")
    assert (image.step, image.height, image.width) == (5, 8, 36)


def test_hyperparameters_make_no_other_run(settings: Settings) -> None:
    settings.norm.name = "gn"
    with Record(settings, None, None) as record:
        assert record.hyperparameters({"best/psnr": 20.0})
    assert not [path for path in record.folder.rglob("events*") if path.parent != record.folder]
    events = shown(record.folder)
    assert events.Scalars("best/psnr")[0].value == 20
    written = b"".join(file.read_bytes() for file in record.folder.glob("events*"))
    assert all(word in written for word in (b"hparams", b"batch_size", b"unet_tiny"))


def test_a_report_has_a_folder_of_its_own(settings: Settings) -> None:
    with Record(settings, None, None) as record:
        for text in ("first", "second"):
            assert record.files("validation", lambda folder, text=text: (folder / "report.json").write_text(text))
    assert (record.folder / "validation" / "report.json").read_text() == "second"


def test_the_last_checkpoint_keeps_the_one_before_and_the_best_does_not(settings: Settings) -> None:
    with Record(settings, None, None) as record:
        for step in (1, 2):
            record.save(checkpoint(step), LAST)
            record.save(checkpoint(step), BEST)
    steps = {name: load(record.folder / name).step for name in (LAST, PREVIOUS, BEST)}
    assert steps == {LAST: 2, PREVIOUS: 1, BEST: 2}


def test_a_run_that_learned_nothing_leaves_nothing(settings: Settings) -> None:
    other, record = Record(settings, None, None), Record(settings, None, None)
    record.remove()
    assert list(Path(settings.runs).iterdir()) == [other.folder]
    other.remove()
    assert not Path(settings.runs).exists()


def test_a_folder_is_one_runs_until_it_ends(settings: Settings) -> None:
    with Record(settings, None, None) as record:
        other = FileLock(record.folder / ".lock")  # as another process would have it
        with pytest.raises(TimeoutError):
            other.acquire(timeout=0)
    with other:
        before = (record.folder / "metrics.jsonl").read_bytes()
        with pytest.raises(SettingsError, match="another process is training in it; wait for it, or stop it"):
            Record(settings, record.folder, 1)
        assert (record.folder / "metrics.jsonl").read_bytes() == before


def test_a_folder_that_cannot_be_gone_on_in_is_told(settings: Settings) -> None:
    with Record(settings, None, None) as record:
        record.scalars(1, {"train/loss": 0.5})
    (record.folder / ".metrics.jsonl.tmp").mkdir()  # no file can be made here
    with pytest.raises(UserError, match=r"cannot be written .*; make room, or make .* writable, then resume"):
        Record(settings, record.folder, 1)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Within, no file of this process grows beyond so many bytes."""
    resource = pytest.importorskip("resource", reason="limits of POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_a_run(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with Record(settings, None, None) as record:
        with full_disk(10), pytest.raises(UserError, match=r"cannot be written .*make room") as refused:
            record.scalars(1, {"train/loss": 0.5})
        assert str(record.folder) in str(refused.value)
    assert "warning" not in capsys.readouterr().out


def test_a_run_may_go_on_after_a_full_disk_and_its_lines_stay_whole(
    going_on: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with Record(going_on, None, None) as record:
        assert record.scalars(1, {"train/loss": 1.0})
        with full_disk((record.folder / "metrics.jsonl").stat().st_size + 10):  # in the middle of the second line
            assert not record.scalars(2, {"train/loss": 2.0})
        told = capsys.readouterr().out
        assert told.startswith("warning: ")
        assert "make room" in told
        assert record.scalars(3, {"train/loss": 3.0})
    lines = {line["step"]: line["train/loss"] for line in read_metrics(record.folder)}
    assert {1: 1.0, 3: 3.0}.items() <= lines.items()


def test_tensorboard_goes_on_after_a_full_disk(going_on: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with Record(going_on, None, None) as record:
        record.scalars(1, {"train/loss": 1.0})
        with monkeypatch.context() as patch:
            patch.setattr(record._tensorboard, "add_scalar", raising(OSError(28, os.strerror(28))))
            assert not record.scalars(2, {"train/loss": 2.0})
        assert record.scalars(3, {"train/loss": 3.0})
    # Of two files in one second, whose order is that of their names.
    assert sorted(point.step for point in shown(record.folder).Scalars("train/loss")) == [1, 3]
    assert [line["step"] for line in read_metrics(record.folder)] == [1, 2, 3]


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: Any) -> None:
        raise error

    return fail


def test_the_last_numbers_that_do_not_fit_are_told(going_on: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    record = Record(going_on, None, None)
    with full_disk(10):
        record.scalars(1, {"train/loss": 1.0})
        capsys.readouterr()
        record.close()
    assert f"warning: {record.folder}: the last numbers could not be written" in capsys.readouterr().out
    FileLock(record.folder / ".lock").acquire(timeout=0).lock.release()  # the folder is free all the same


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_checkpoint_that_cannot_be_written(
    settings: Settings, capsys: pytest.CaptureFixture[str], goes_on: bool
) -> None:
    settings.on_full_disk = OnFullDisk.go_on if goes_on else OnFullDisk.stop
    with Record(settings, None, None) as record:
        (record.folder / BEST).mkdir()  # which no file can replace
        if goes_on:
            assert not record.save(checkpoint(1), BEST)
            assert "best.pt: cannot be written" in capsys.readouterr().out
            assert record.save(checkpoint(1), LAST)
        else:
            with pytest.raises(UserError, match=r"best\.pt: cannot be written .*Make room, then resume"):
                record.save(checkpoint(1), BEST)


def test_a_fault_of_ours_is_no_full_disk(going_on: Settings) -> None:
    with Record(going_on, None, None) as record, pytest.raises(ZeroDivisionError):
        record.files("validation", raising(ZeroDivisionError()))
