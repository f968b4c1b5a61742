"""What a run does where its folder cannot be written: stop, or go on without."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from enhance.errors import CheckpointError, UserError
from enhance.run.progress import tell


@contextmanager
def write_told(folder: Path) -> Iterator[None]:
    """Within, a write in the run folder that fails is a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(_told(error, folder)) from error


def _told(error: OSError | CheckpointError, folder: Path) -> str:
    if isinstance(error, CheckpointError):
        return str(error)
    return (
        f"{error.filename or folder}: cannot be written ({error.strerror}); make room, or make {folder} writable, "
        "then resume"
    )


class DiskGuard:
    """Within, a write that fails ends the run with a message, or is told and left out.

    Args:
        folder: the run folder.
        goes_on: leave it out. A later write may succeed.
    """

    def __init__(self, folder: Path, goes_on: bool) -> None:
        self._folder = folder
        self._goes_on = goes_on

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, OSError | CheckpointError):
            return False
        told = _told(error, self._folder)
        if not self._goes_on:
            raise UserError(told) from error
        tell(f"warning: {told}")
        return True
