"""Files that are replaced whole, and what to say of those that cannot be written."""

import errno
import functools
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import AcquireReturnProxy, FileLock

from enhance.errors import SettingsError, UserError

# What file systems answer that have no such operation, unlike one that is full or not writable.
_CANNOT = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK}


class Lock(FileLock):
    """Of a file, among processes; never taken, with a warning, where the file system cannot lock."""

    def acquire(self, *args: Any, **kwargs: Any) -> AcquireReturnProxy:
        try:
            return super().acquire(*args, **kwargs)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            _say_once("a file system here cannot lock: let no two processes write the same run, study or cache")
            return AcquireReturnProxy(self)


@contextmanager
def replacing(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """A file to write within, which then takes the place of `path`: at every moment, and after a loss of power, `path`
    is either the old file or the new one, whole. Where the block raises, the new one goes away.

    Args:
        previous: gets what `path` held before, in the same way.

    Raises:
        OSError: the disk is full, or the folder cannot be written; what stood there is intact.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        _sync(temporary, os.O_RDWR)
        if previous is not None and path.exists():
            _keep(path, previous)
        os.replace(temporary, path)
        if os.name != "nt":  # which opens no folder
            _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def writing(place: object, cure: str, kind: type[UserError] = SettingsError) -> Iterator[None]:
    """Within, what the system does not write is an error of that kind, which names the place and the cure."""
    try:
        yield
    except OSError as error:
        raise kind(f"{place}: cannot be written ({error.strerror or error}); {cure}") from error


def _keep(path: Path, previous: Path) -> None:
    second = previous.with_name(f".{previous.name}.tmp")
    second.unlink(missing_ok=True)  # of a process that was killed here
    try:
        os.link(path, second)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, second)
    os.replace(second, previous)


def _sync_folder(folder: Path) -> None:
    """The new name of a file is on the disk only when its folder is; some file systems (FUSE, CIFS, WSL shares) cannot
    tell when."""
    try:
        _sync(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        _say_once("a file system here cannot sync a folder: files that were just written may be lost with the power")


@functools.cache
def _say_once(message: str) -> None:
    """A warning of something that would come again with every file."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


def _sync(path: Path, mode: int) -> None:
    handle = os.open(path, mode)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
