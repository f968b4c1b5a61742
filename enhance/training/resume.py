"""Going on with a run."""

import dataclasses
from pathlib import Path

from omegaconf import OmegaConf

from enhance import checkpoint
from enhance.checkpoint import LAST, PREVIOUS, Checkpoint
from enhance.config import from_dict
from enhance.errors import CheckpointError, SettingsError, UserError
from enhance.settings import PLACES, Settings
from enhance.training.trainer import Trainer


def resume(given: Settings, overrides: list[str]) -> Trainer:
    """The trainer that goes on with the run which `given.resume` names; `auto` is the newest run of these settings, or
    a new one.

    Args:
        overrides: the words of the command line. A run goes on with its own settings, but for data that were moved.

    Raises:
        UserError: it cannot go on; `RunComplete` where nothing is left to do.
    """
    if given.resume == "auto":
        given = dataclasses.replace(given, resume=None)
        folder = find_run(given)
        return Trainer(given) if folder is None else Trainer(given, open_run(str(folder)))
    words = {word.partition("=")[0]: word for word in overrides}
    moved = [key for key in PLACES if f"data.{key}" in words]
    others = [word for key, word in words.items() if key not in ("resume", *(f"data.{place}" for place in moved))]
    if others:
        raise SettingsError(f"resume={given.resume} goes on with the run's own settings: drop {' '.join(others)}")
    assert given.resume is not None
    folder, last = open_run(given.resume)
    for key in moved:
        setattr(last.settings.data, key, getattr(given.data, key))
    return Trainer(last.settings, (folder, last))


def has_checkpoint(folder: Path) -> bool:
    """Whether a run folder holds something to go on from."""
    return any((folder / name).exists() for name in (LAST, PREVIOUS))


def open_run(given: str) -> tuple[Path, Checkpoint]:
    """The run folder that `resume=` names, by itself or by a checkpoint in it, and the checkpoint to go on from.

    Raises:
        CheckpointError: there is none, or it does not hold what resuming needs.
    """
    path = Path(given).absolute()
    inside = path.parent.name == "checkpoints"
    folder = path.parents[1] if path.is_file() and inside else path
    if (path.is_file() and not inside) or (path.is_dir() and not (path / "config.yaml").is_file()):
        raise CheckpointError(f"resume={given}: lies in no run folder; give a folder that train.py wrote")
    kept = checkpoint.load_last(folder) if path in (folder, folder / LAST) else checkpoint.load(path)
    if kept.trainer is None:
        raise CheckpointError(f"resume={given}: holds not what resuming needs; give the run folder, {folder}")
    return folder, kept


def find_run(settings: Settings) -> Path | None:
    """The newest run of these very settings in `runs` that has a checkpoint: `resume=auto`. None: there is none."""
    wanted = _comparable(settings)
    for file in sorted(Path(settings.runs).glob("*/config.yaml"), key=lambda file: file.stat().st_mtime, reverse=True):
        if not has_checkpoint(file.parent):
            continue  # stopped before its first checkpoint
        try:
            found = from_dict(OmegaConf.to_container(OmegaConf.load(file), resolve=False))  # type: ignore[arg-type]
        except (UserError, OSError):
            continue  # of another version
        if _comparable(found) == wanted:
            return file.parent
    return None


def _comparable(settings: Settings) -> Settings:
    return dataclasses.replace(settings, resume=None, runs="", results=None)
