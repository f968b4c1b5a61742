"""What a run goes on from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from enhance import ranks
from enhance.data.fingerprint import with_content
from enhance.errors import CheckpointError, DataError, SettingsError
from enhance.run import checkpoint
from enhance.run.checkpoint import LAST, PREVIOUS, Checkpoint
from enhance.run.folder import lock_run
from enhance.settings import Settings
from enhance.settings.config import from_yaml
from enhance.settings.identity import MOVABLE, identity, move


@dataclass(frozen=True)
class Restored:
    """A run folder, and the checkpoint to go on from, its settings moved to this place and machine."""

    folder: Path
    checkpoint: Checkpoint


@contextmanager
def restored(given: Settings, overrides: list[str]) -> Iterator[Restored | None]:
    """What `given.resume` names, within the lock of its folder; None where a new run begins: `auto` found no run of
    these settings.

    Args:
        overrides: the words of the command line. A run goes on with its own settings, but for those of `MOVABLE`.

    Raises:
        UserError: it cannot go on.
    """
    if given.resume is None:
        yield None
        return
    if given.resume == "auto":
        folder = find_run(given)
        path, moved = folder, list(MOVABLE)
    else:
        keys = {word.partition("=")[0]: word for word in overrides}
        if others := [word for key, word in keys.items() if key not in ("resume", *MOVABLE)]:
            raise SettingsError(f"resume={given.resume} goes on with the run's own settings: drop {' '.join(others)}")
        folder, path = _place(given.resume)
        moved = [key for key in MOVABLE if key in keys]
    if folder is None or path is None:
        yield None
        return
    locks: list[FileLock] = []
    try:
        last = ranks.from_rank_zero(lambda: _read(folder, path, locks))
        move(last.settings, given, moved)
        yield Restored(folder, last)
    finally:
        for lock in locks:
            lock.release()


def _read(folder: Path, path: Path, locks: list[FileLock]) -> Checkpoint:
    """The checkpoint `path`, or the last one where it is the run folder."""
    locks.append(lock_run(folder))  # first: whoever has it may be about to write a later checkpoint
    last = checkpoint.load_last(folder) if path in (folder, folder / LAST) else checkpoint.load(path)
    if last.trainer is None:
        raise CheckpointError(f"resume={path}: lacks what resuming needs; give the run folder, {folder}")
    return last


def has_checkpoint(folder: Path) -> bool:
    """Whether a run folder has something to go on from."""
    return any((folder / name).exists() for name in (LAST, PREVIOUS))


def _place(given: str) -> tuple[Path, Path]:
    """The run folder that `resume=` names, by itself or by a checkpoint in it; and what it names."""
    path = Path(given).absolute()
    inside = path.parent.name == "checkpoints"
    folder = path.parents[1] if path.is_file() and inside else path
    if not (folder / "config.yaml").is_file():
        reason = "lies in no run folder" if path.exists() else "no such run"
        raise CheckpointError(f"resume={given}: {reason}; give a folder that train.py wrote")
    return folder, path


def find_run(settings: Settings) -> Path | None:
    """The newest run in `runs` with the identity of these settings that has a checkpoint: `resume=auto`.

    Raises:
        DataError: the data of the settings cannot be found.
    """
    settings.data = with_content(settings.data)
    wanted = identity(settings)
    files = Path(settings.runs).glob("*/config.yaml")
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        if has_checkpoint(file.parent) and _identity_of(file) == wanted:
            return file.parent
    return None


def _identity_of(config: Path) -> str | None:
    """None for a run of another version, a damaged one, or an older one whose data are no longer there."""
    try:
        settings = from_yaml(config)
        if settings.data.content is None:  # of an older version
            settings.data = with_content(settings.data)
        return identity(settings)
    except (SettingsError, DataError):
        return None
