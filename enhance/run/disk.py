"""What a run does where its folder cannot be written: stop, or go on without."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enhance.errors import CheckpointError, UserError
from enhance.run.progress import print_line


@contextmanager
def writing(folder: Path, on_failure_go_on: bool = False) -> Iterator[None]:
    """Within, a write in the run folder that fails is a `UserError`, or a warning."""
    try:
        yield
    except (OSError, CheckpointError) as error:
        message = _message(error, folder)
        if not on_failure_go_on:
            raise UserError(message) from error
        print_line(f"warning: {message}")


def _message(error: OSError | CheckpointError, folder: Path) -> str:
    if isinstance(error, CheckpointError):
        return str(error)
    return (
        f"{error.filename or folder}: cannot be written ({error.strerror}); make room, or make {folder} writable, "
        "then resume"
    )
