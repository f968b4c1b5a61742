"""What a run does where its folder cannot be written: stop, or go on without."""

from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from enhance.errors import CheckpointError, UserError


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
        told = str(error)
        if isinstance(error, OSError):
            told = f"{error.filename or self._folder}: cannot be written ({error.strerror}); make room, then resume"
        if not self._goes_on:
            raise UserError(told) from error
        tqdm.write(f"warning: {told}")
        return True
