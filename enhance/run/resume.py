"""What a run goes on from."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from enhance import ranks
from enhance.data.open import with_content
from enhance.errors import CheckpointError, DataError, SettingsError
from enhance.run import checkpoint
from enhance.run.checkpoint import LAST, PREVIOUS, Checkpoint
from enhance.run.first_weights import note_contents
from enhance.run.folder import lock_run
from enhance.run.results import SCORES_FILE
from enhance.settings.config import from_yaml
from enhance.settings.identity import MOVABLE, identity, move
from enhance.settings.schema import Settings


@contextmanager
def restored(given: Settings, overrides: list[str]) -> Iterator[tuple[Path, Checkpoint] | None]:
    """The run folder that `given.resume` names, within its lock, and its checkpoint, the settings moved to this place
    and machine; None where a new run begins: `auto` found no run of these settings. Raises `UserError` where it cannot
    go on.

    Args:
        overrides: the words of the command line. A run goes on with its own settings, but for those of `MOVABLE`,
            and `schedule.steps`.
    """
    file: Path | None = None
    steps: int | None = None
    moved = list(MOVABLE)
    if given.resume == "auto":
        if folder := find_run(given):
            file = folder / LAST
    elif given.resume is not None:
        keys = {word.partition("=")[0]: word for word in overrides}
        if others := [word for key, word in keys.items() if key not in ("resume", "schedule.steps", *MOVABLE)]:
            cure = f"drop {' '.join(others)}, or begin a new run with init_from={given.resume}"
            raise SettingsError(f"resume={given.resume} goes on with the run's own settings: {cure}")
        file = _named(given.resume)
        moved = [key for key in MOVABLE if key in keys]
        steps = given.schedule.steps if "schedule.steps" in keys else None
    if file is None:
        yield None
        return
    with ExitStack() as stack:
        last = ranks.from_rank_zero(lambda: _read(file, stack))
        move(last.settings, given, moved)
        if steps is not None:
            _set_length(last, steps, file.parents[1])
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


def _set_length(last: Checkpoint, steps: int, folder: Path) -> None:
    """Have the run end at another step; it notes what it was to be, for it is no run that had this length all along.
    Raises `SettingsError` where it cannot be told apart from what it was, or has gone too far."""
    schedule, given = last.settings.schedule, f"schedule.steps={steps}"
    if steps == schedule.steps:  # the same command again
        return
    if steps <= last.step:
        raise SettingsError(f"{given}: {folder} has done {last.step} steps; give more, or leave it out")
    if last.frozen or (folder / SCORES_FILE).exists():
        reason = "has frozen its batch norms for its last part" if last.frozen else "is scored in a sweep"
        raise SettingsError(f"{given}: {folder} {reason}; begin a new run with init_from={folder}")
    was = f"{schedule.steps} steps" if schedule.steps is not None else f"{schedule.epochs:g} epochs"
    schedule.before = was if schedule.before is None else f"{schedule.before}, {was}"
    schedule.steps, schedule.epochs = steps, None


def has_checkpoint(folder: Path) -> bool:
    """Whether a run folder has something to go on from."""
    return any((folder / name).exists() for name in (LAST, PREVIOUS))


def find_run(settings: Settings) -> Path | None:
    """The newest run in `runs` with the identity of these settings that has a checkpoint: `resume=auto`; a `DataError`
    where the data cannot be found."""
    note_contents(settings)
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
