"""Which run `resume=auto` goes on with: the one of the same identity, wherever its data lie."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from enhance.data.open import fingerprint, with_content
from enhance.errors import DataError, RunComplete, SettingsError
from enhance.run.checkpoint import LAST, Checkpoint, save
from enhance.run.folder import create_run_folder, lock_run
from enhance.run.resume import find_run, restored
from enhance.settings.schema import DataSettings, Settings


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a run on drawn pairs."""

    def make(root: Path, **changes: object) -> Settings:
        data = DataSettings(name="pairs", root=str(root))
        return dataclasses.replace(Settings(data=data, runs=str(tmp_path / "runs")), **changes)  # type: ignore[arg-type]

    return make


def stop(settings: Settings) -> Path:
    """A run folder of these settings with a last checkpoint."""
    settings.data = with_content(settings.data)
    folder = create_run_folder(settings)
    save(Checkpoint(settings, 3, {"weight": torch.zeros(1)}, {}, trainer={"model": {}}), folder / LAST)
    time.sleep(0.01)  # so that the newest is known
    return folder


def test_auto_finds_the_newest_run_of_the_same_settings(
    begin: Callable[..., Settings], pairs: Path, tmp_path: Path
) -> None:
    assert find_run(begin(pairs)) is None
    stop(begin(pairs))
    newest = stop(begin(pairs))
    stop(begin(pairs, seed=1))
    assert find_run(begin(pairs)) == newest


@pytest.mark.parametrize("key", ["device", "threads", "name"])
def test_how_the_machine_works_and_names_do_not_count(begin: Callable[..., Settings], pairs: Path, key: str) -> None:
    folder = stop(begin(pairs))
    assert find_run(begin(pairs, **{key: 1 if key == "threads" else "cpu"})) == folder


def test_what_only_an_experiment_sets_counts(begin: Callable[..., Settings], pairs: Path) -> None:
    stop(begin(pairs))
    other = begin(pairs)
    other.schedule.warmup = 0.5
    assert find_run(other) is None


def test_data_count_by_content(begin: Callable[..., Settings], pairs: Path, tmp_path: Path) -> None:
    folder = stop(begin(pairs))
    moved = pairs.rename(tmp_path / "moved")
    assert find_run(begin(moved)) == folder
    next((moved / "low").iterdir()).rename(moved / "low" / "new.png")
    next((moved / "normal").iterdir()).rename(moved / "normal" / "new.png")
    assert find_run(begin(moved)) is None


def test_an_older_run_without_content_counts_while_its_data_are_there(
    begin: Callable[..., Settings], pairs: Path, tmp_path: Path
) -> None:
    settings = begin(pairs)
    folder = create_run_folder(settings)
    (folder / LAST).write_bytes(b"")
    assert find_run(begin(pairs)) == folder
    assert find_run(begin(pairs.rename(tmp_path / "moved"))) is None


def test_other_images_than_asked_for_are_refused(pairs: Path) -> None:
    data = DataSettings(name="pairs", root=str(pairs))
    assert with_content(dataclasses.replace(data, content=fingerprint(data))).content == fingerprint(data)
    with pytest.raises(DataError, match=r"data.content=0123: the images here are others"):
        with_content(dataclasses.replace(data, content="0123"))


def test_a_split_is_part_of_the_content(pairs: Path, tmp_path: Path) -> None:
    contents = set()
    for test in ("0", "1"):
        split = tmp_path / f"split-{test}.csv"
        parts = dict.fromkeys("0123", "training") | {"2": "validation", test: "test"}
        split.write_text("name,part\n" + "".join(f"{name},{part}\n" for name, part in parts.items()))
        contents.add(fingerprint(DataSettings(name="pairs", root=str(pairs), split=str(split))))
    assert len(contents | {fingerprint(DataSettings(name="pairs", root=str(pairs)))}) == 3


def test_a_run_goes_on_with_its_own_settings(begin: Callable[..., Settings], pairs: Path) -> None:
    folder = stop(begin(pairs, seed=1))
    given = begin(pairs, resume=str(folder), threads=1, device="cpu")
    with restored(given, [f"resume={folder}", "threads=1"]) as run:
        assert run is not None
        found, last = run
        assert (found, last.step) == (folder, 3)
        assert (last.settings.seed, last.settings.threads) == (1, 1)
        assert last.settings.device == "auto"  # which was not given
        lock_run(folder).release()  # its own process may take it
    with (
        pytest.raises(SettingsError, match=r"drop seed=2 ~norm, or begin .* init_from="),
        restored(given, ["seed=2", "~norm"]),
    ):
        pass


def test_a_new_run_has_nothing_to_go_on_from(begin: Callable[..., Settings], pairs: Path) -> None:
    with restored(begin(pairs), []) as run:
        assert run is None
    with restored(begin(pairs, resume="auto"), ["resume=auto"]) as run:
        assert run is None
    assert issubclass(RunComplete, SettingsError)
