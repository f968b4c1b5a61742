"""File systems of a process's own, so that a drill fills or locks one while nobody else sees it: Linux, as root."""

import ctypes
import os
from pathlib import Path

_NEW_NAMESPACE = 0x20000  # CLONE_NEWNS of sched.h
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18  # of sys/mount.h


def skip_reason() -> str | None:
    """Why this process cannot mount; None where it can."""
    child = os.fork()
    if not child:
        try:
            mount_small(Path("/tmp"), 4096)
            os._exit(0)
        except (OSError, AttributeError):
            os._exit(1)
    return None if os.waitpid(child, 0)[1] == 0 else "skipped: it mounts, for which it needs Linux and root"


def mount_small(folder: Path, size: int) -> None:
    """From now on, for this process and its children, `folder` is an empty file system of `size` bytes."""
    _unshare()
    _mount("tmpfs", folder, "tmpfs", 0, f"size={size}")


def mount_read_only(folder: Path) -> None:
    """From now on, for this process and its children, nothing in `folder` can be written, not even by root."""
    _unshare()
    _mount(str(folder), folder, None, _BIND, None)
    _mount("none", folder, None, _BIND | _REMOUNT | _READ_ONLY, None)


def _unshare() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NAMESPACE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _mount("none", Path("/"), None, _RECURSIVE | _PRIVATE, None)  # what follows stays here


def _mount(source: str, folder: Path, kind: str | None, flags: int, options: str | None) -> None:
    names = [None if name is None else name.encode() for name in (source, str(folder), kind)]
    data = None if options is None else options.encode()
    if ctypes.CDLL(None, use_errno=True).mount(*names, ctypes.c_ulong(flags), data):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
