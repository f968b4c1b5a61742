"""What a run goes on from."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from enhance import ranks
from enhance.data.open import with_content
from enhance.errors import CheckpointError, DataError, SettingsError
from enhance.run import checkpoint
from enhance.run.checkpoint import LAST, PREVIOUS, Checkpoint
from enhance.run.folder import lock_run
from enhance.settings.config import from_yaml
from enhance.settings.identity import MOVABLE, identity, move
from enhance.settings.schema import Settings


@contextmanager
def restored(given: Settings, overrides: list[str]) -> Iterator[tuple[Path, Checkpoint] | None]:
    """The run folder that `given.resume` names, within its lock, and its checkpoint, the settings moved to this place
    and machine; None where a new run begins: `auto` found no run of these settings. Raises `UserError` where it cannot
    go on.

    Args:
        overrides: the words of the command line. A run goes on with its own settings, but for those of `MOVABLE`.
    """
    file: Path | None = None
    moved = list(MOVABLE)
    if given.resume == "auto":
        if folder := find_run(given):
            file = folder / LAST
    elif given.resume is not None:
        keys = {word.partition("=")[0]: word for word in overrides}
        if others := [word for key, word in keys.items() if key not in ("resume", *MOVABLE)]:
            raise SettingsError(f"resume={given.resume} goes on with the run's own settings: drop {' '.join(others)}")
        file = _named(given.resume)
        moved = [key for key in MOVABLE if key in keys]
    if file is None:
        yield None
        return
    with ExitStack() as stack:
        last = ranks.from_rank_zero(lambda: _read(file, stack))
        move(last.settings, given, moved)
        yield file.parents[1], last


def _named(given: str) -> Path:
    """The checkpoint that `resume=` names, by itself or by its run folder."""
    path = Path(given).absolute()
    file = path if path.is_file() else path / LAST
    if not (file.parent.name == LAST.parent.name and (file.parents[1] / "config.yaml").is_file()):
        reason = "lies in no run folder" if path.exists() else "no such run"
        raise CheckpointError(f"resume={given}: {reason}; give a folder that train.py wrote")
    return file


def _read(file: Path, stack: ExitStack) -> Checkpoint:
    """The checkpoint, in its run folder, which stays locked within `stack`."""
    folder = file.parents[1]
    stack.callback(lock_run(folder).release)  # first: whoever has it may be about to write a later checkpoint
    last = checkpoint.load_last(folder) if file == folder / LAST else checkpoint.load(file)
    if last.trainer is None:
        raise CheckpointError(f"resume={file}: lacks what resuming needs; give the run folder, {folder}")
    return last


def has_checkpoint(folder: Path) -> bool:
    """Whether a run folder has something to go on from."""
    return any((folder / name).exists() for name in (LAST, PREVIOUS))


def find_run(settings: Settings) -> Path | None:
    """The newest run in `runs` with the identity of these settings that has a checkpoint: `resume=auto`; a `DataError`
    where the data cannot be found."""
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
