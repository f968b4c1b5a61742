"""A run's folder: its name and content, whom it belongs to, and what is told where it cannot be made."""

import re
from pathlib import Path

import pytest
from filelock import FileLock

from enhance.errors import SettingsError
from enhance.run.folder import create_run_folder, lock_run
from enhance.settings.config import from_yaml
from enhance.settings.schema import DataSettings, NormSettings, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(runs=str(tmp_path / "runs"), norm=NormSettings("gn"), data=DataSettings("lol_v1"), batch_size=4)


def test_a_folder_is_named_by_date_and_settings(settings: Settings) -> None:
    folder = create_run_folder(settings)
    assert folder.parent == Path(settings.runs)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-gn-b4-unet_tiny-lol_v1", folder.name)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "config.yaml"]
    assert list((folder / "checkpoints").iterdir()) == []
    assert from_yaml(folder / "config.yaml") == settings


def test_a_name_may_be_given(settings: Settings) -> None:
    settings.name = "first try"
    assert create_run_folder(settings).name.endswith("-first try")


def test_runs_of_one_second_have_folders_of_their_own(settings: Settings) -> None:
    folders = [create_run_folder(settings) for _ in range(5)]
    assert len({*folders}) == 5
    assert all(re.search(r"lol_v1(-\d)?$", folder.name) for folder in folders)


def test_a_sweep_names_its_folders_itself(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "sweep" / "norm-gn"
    assert create_run_folder(settings, folder) == folder
    assert from_yaml(folder / "config.yaml") == settings
    with pytest.raises(SettingsError, match="cannot write a run folder there"):
        create_run_folder(settings, folder)  # which is another run's


def test_a_place_that_cannot_be_written_is_told(settings: Settings) -> None:
    Path(settings.runs).write_text("a file")
    with pytest.raises(
        SettingsError, match=rf"^runs={re.escape(settings.runs)}: cannot write a run folder there \(.+\)$"
    ):
        create_run_folder(settings)


def test_half_a_folder_is_not_left_behind(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Settings) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("enhance.run.folder.to_yaml", fail)
    with pytest.raises(SettingsError, match="No space left on device"):
        create_run_folder(settings)
    assert list(Path(settings.runs).iterdir()) == []


def test_a_folder_is_locked_for_others_and_not_for_its_own_process(settings: Settings) -> None:
    folder = create_run_folder(settings)
    lock = lock_run(folder)
    lock_run(folder).release()  # taken twice
    other = FileLock(folder / ".lock")  # as another process would have it
    with pytest.raises(TimeoutError):
        other.acquire(timeout=0)
    lock.release()
    with other, pytest.raises(SettingsError, match="another process is training in it; wait for it, or stop it"):
        lock_run(folder)
    lock_run(folder).release()


def test_a_folder_that_cannot_be_locked_is_told(settings: Settings) -> None:
    folder = create_run_folder(settings)
    (folder / ".lock").mkdir()
    with pytest.raises(SettingsError, match=r"cannot be written \(.+\); make it writable, or copy it"):
        lock_run(folder)
