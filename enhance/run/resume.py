"""Going on with a run."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from enhance import ranks
from enhance.errors import CheckpointError, SettingsError
from enhance.run import checkpoint
from enhance.run.checkpoint import LAST, PREVIOUS, Checkpoint
from enhance.run.tracking import lock_run
from enhance.settings import MOVABLE, PLACES, Settings, move
from enhance.settings.config import from_yaml
from enhance.training.trainer import Trainer

_PLACES = tuple(f"data.{place}" for place in PLACES)


def resume(given: Settings, overrides: list[str]) -> Trainer:
    """The trainer that goes on with the run which `given.resume` names; `auto` is the newest run of these settings, or
    a new one.

    Args:
        overrides: the words of the command line. A run goes on with its own settings, but for those of `MOVABLE`.

    Raises:
        UserError: it cannot go on; `RunComplete` where nothing is left to do.
    """
    if given.resume == "auto":
        given = dataclasses.replace(given, resume=None)
        folder = find_run(given)
        return Trainer(given) if folder is None else _go_on(folder, folder, given, MOVABLE)
    words = {word.partition("=")[0]: word for word in overrides}
    others = [word for key, word in words.items() if key not in ("resume", *MOVABLE)]
    if others:
        raise SettingsError(f"resume={given.resume} goes on with the run's own settings: drop {' '.join(others)}")
    assert given.resume is not None
    return _go_on(*_place(given.resume), given, [key for key in MOVABLE if key in words])


def _go_on(folder: Path, path: Path, given: Settings, moved: Iterable[str]) -> Trainer:
    """From the checkpoint `path`, or the last one where it is the run folder."""
    locks: list[FileLock] = []

    def read() -> Checkpoint:
        locks.append(lock_run(folder))  # first: whoever holds it may be about to write a later checkpoint
        return checkpoint.load_last(folder) if path in (folder, folder / LAST) else checkpoint.load(path)

    try:
        last = ranks.agreed(read)
        if last.trainer is None:
            raise CheckpointError(f"resume={path}: holds not what resuming needs; give the run folder, {folder}")
        move(last.settings, given, moved)
        return Trainer(last.settings, (folder, last))
    finally:
        for lock in locks:
            lock.release()  # the trainer has taken it as well


def has_checkpoint(folder: Path) -> bool:
    """Whether a run folder holds something to go on from."""
    return any((folder / name).exists() for name in (LAST, PREVIOUS))


def _place(given: str) -> tuple[Path, Path]:
    """The run folder that `resume=` names, by itself or by a checkpoint in it; and what it names."""
    path = Path(given).absolute()
    inside = path.parent.name == "checkpoints"
    folder = path.parents[1] if path.is_file() and inside else path
    if not (folder / "config.yaml").is_file():
        what = "lies in no run folder" if path.exists() else "no such run"
        raise CheckpointError(f"resume={given}: {what}; give a folder that train.py wrote")
    return folder, path


def find_run(settings: Settings) -> Path | None:
    """The newest run of these very settings in `runs` that has a checkpoint: `resume=auto`. None: there is none; a line
    tells of one whose data lie elsewhere, which may be other data."""
    wanted = _comparable(settings)
    elsewhere = None
    for file in sorted(Path(settings.runs).glob("*/config.yaml"), key=lambda file: file.stat().st_mtime, reverse=True):
        if not has_checkpoint(file.parent):
            continue  # stopped before its first checkpoint
        try:
            found = _comparable(from_yaml(file))
        except SettingsError:
            continue  # of another version, or damaged
        if found == wanted:
            return file.parent
        move(found, wanted, _PLACES)
        if found == wanted:
            elsewhere = elsewhere or file.parent
    if elsewhere is not None:
        print(
            f"a new run begins: {elsewhere} has these settings, but its data lie elsewhere; resume={elsewhere} with "
            "data.root= goes on with it"
        )
    return None


def _comparable(settings: Settings) -> Settings:
    """Without what makes no other result; where the data lie stays, for there they may be others of the same names."""
    same = dataclasses.replace(settings, data=dataclasses.replace(settings.data), resume=None, runs="", results=None)
    move(same, Settings(), [key for key in MOVABLE if key not in _PLACES])
    return same
