"""A run's folder: made once, named by date, and locked by the process that trains in it."""

import shutil
from datetime import datetime
from pathlib import Path

from filelock import Timeout

from enhance.errors import SettingsError
from enhance.files import Lock
from enhance.settings.config import to_yaml
from enhance.settings.schema import Settings


def create_run_folder(settings: Settings, folder: Path | None = None) -> Path:
    """Make `folder`, or else `<runs>/<date>-<name>/`, with config.yaml and an empty checkpoints/, and return it; a
    `SettingsError` where it cannot be written."""
    name = settings.name or f"{settings.norm.name}-b{settings.batch_size}-{settings.model.name}-{settings.data.name}"
    stem = f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{name}"
    try:
        if folder is None:
            folder = _new_folder(Path(settings.runs), stem)
        else:
            folder.mkdir(parents=True)
        try:
            (folder / "checkpoints").mkdir()
            (folder / "config.yaml").write_text(to_yaml(settings), encoding="utf-8")
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise SettingsError(f"runs={settings.runs}: cannot write a run folder there ({error.strerror})") from error
    return folder


def _new_folder(parent: Path, stem: str) -> Path:
    """The first of stem, stem-2, stem-3 ... that does not exist yet, made."""
    folder, number = parent / stem, 1
    while True:
        parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
            return folder
        except FileNotFoundError:  # another process has just left the folder of all runs empty, and removed it
            continue
        except FileExistsError:
            number += 1
            folder = parent / f"{stem}-{number}"


def lock_run(folder: Path) -> Lock:
    """Taken by the process that trains in the folder; the system frees it when that process ends, however it ends.
    Raises `SettingsError` where another process has it, or the folder cannot be written."""
    lock = Lock(folder / ".lock", is_singleton=True)  # its process may take it again
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SettingsError(f"{folder}: another process is training in it; wait for it, or stop it") from error
    except OSError as error:
        cure = "make it writable, or copy it to a place that is, then resume"
        raise SettingsError(f"{folder}: cannot be written ({error.strerror}); {cure}") from error
    return lock
