"""Decoded images in files: mapped into memory, so that all processes share one copy, in the system's page cache, which
gives up what it has no room for. One file an image: its pixels, then what opening it told."""

import hashlib
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from filelock import FileLock, Timeout

from enhance.data.images import read_image
from enhance.files import replacing

_TAIL = struct.Struct("<8sII63s")  # mark, height, width, perceptual hash
_MARK = b"decoded1"  # another number where pixels are read in another way


@dataclass(frozen=True)
class MappedImage:
    """The pixels of one image in a file of `DecodedFolder`."""

    file: str
    size: tuple[int, int]  # height, width
    original: Path

    def pixels(self) -> np.ndarray:
        """uint8 (H, W, 3), read-only, of which only what is looked at is read from the file."""
        height, width = self.size
        try:
            with open(self.file, "rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:  # someone emptied the folder
            return read_image(self.original)
        return np.frombuffer(mapped, np.uint8, 3 * height * width).reshape(height, width, 3)


class DecodedFolder:
    """A folder of decoded images, for any number of data sets and of processes at once. It may be removed at any time.

    A file is named after its image's path, size and time of change, and after Pillow's version: an image that changed
    is another one. It is written under another name and then renamed: it is there whole, or not at all. After the first
    one that cannot be written, `error` says why, and no other is tried.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.error: OSError | None = None

    def find(self, path: Path) -> tuple[MappedImage, np.ndarray] | None:
        """The image as it is on disk now, and its perceptual hash; None where it is not kept."""
        try:
            kept = self._file(path)
            with kept.open("rb") as file:
                length = file.seek(0, os.SEEK_END)
                file.seek(max(0, length - _TAIL.size))
                mark, height, width, code = _TAIL.unpack(file.read())
        except (OSError, struct.error):
            return None
        if mark != _MARK or length != 3 * height * width + _TAIL.size:
            return None
        return MappedImage(str(kept), (height, width), path), np.frombuffer(code, bool)

    def keep(self, path: Path, pixels: np.ndarray, code: np.ndarray) -> MappedImage | None:
        """Write an image's pixels, uint8 (H, W, 3), and its perceptual hash; within `building`. None: see `error`."""
        if self.error is not None:
            return None
        height, width = pixels.shape[:2]
        try:
            kept = self._file(path)
            kept.parent.mkdir(exist_ok=True)
            with replacing(kept) as temporary, temporary.open("wb") as file:
                file.write(np.ascontiguousarray(pixels).data)
                file.write(_TAIL.pack(_MARK, height, width, code.tobytes()))
        except OSError as error:
            self.error = error
            return None
        return MappedImage(str(kept), (height, width), path)

    @contextmanager
    def building(self) -> Iterator[None]:
        """Only one process writes at a time: the others wait, and find what it wrote. Its death frees the folder."""
        lock = FileLock(self.folder / ".lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                print(f"data.cache={self.folder}: waiting for another process that fills it", flush=True)
                lock.acquire()
        except OSError as error:
            self.error = error
        try:
            yield
        finally:
            lock.release()

    def _file(self, path: Path) -> Path:
        path = path.absolute()
        found = path.stat()
        about = "\0".join(map(str, (path, found.st_size, found.st_mtime_ns, PIL.__version__)))
        name = hashlib.sha256(about.encode(errors="surrogateescape")).hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.rgb"
