"""Decode each image of a data set once, and cache its pixels: in a folder of files, or in memory while there is room.

The files are mapped into memory, so that all processes share one copy in the system's page cache, which drops what it
has no room for.
"""

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import PIL
from filelock import Timeout
from tqdm import tqdm

from enhance.data.images import read_image
from enhance.data.scenes import perceptual_hash
from enhance.errors import DataError
from enhance.files import Lock, replacing

_VERSION = 2  # of decoded files: another number where pixels are read, or stored, in another way


@dataclass(eq=False)
class OpenedImage:
    """An image of a data set: what is known of it, and where its pixels are."""

    name: str  # of the file
    size: tuple[int, int]  # height, width
    stored: np.ndarray | Callable[[], np.ndarray]  # uint8 (H, W, C) in memory, or what reads them
    mapped: tuple[str, int, int] | None = None  # of `DecodedFolder`: the file, where in it the pixels begin, and C

    def pixels(self) -> np.ndarray:
        """uint8 (H, W, C), from memory, from a mapped file (then read-only), or decoded anew."""
        if self.mapped is not None:  # of the file only the pages that are looked at are read
            file, begin, channels = self.mapped
            try:
                return np.asarray(np.memmap(file, np.uint8, "r", begin, (*self.size, channels)))
            except FileNotFoundError:  # someone emptied the folder
                pass
        return self.stored if isinstance(self.stored, np.ndarray) else self.stored()

    @cached_property
    def hash(self) -> np.ndarray:
        """Perceptual hash, bool (63,), computed by `open_images` where it decodes, else here when first needed."""
        return perceptual_hash(self.pixels())


def open_images(
    paths: Sequence[Path],
    memory_gib: float,
    folder: str | None = None,
    skipped: list[str] | None = None,
    channels: int = 3,
) -> dict[Path, OpenedImage]:
    """Decode every image once, on all cores, but for those that `folder` holds already; a bar shows it on a terminal
    where it takes long.

    Args:
        memory_gib: room in memory for pixels that are in no folder, of the first images; the rest is decoded anew.
        folder: of decoded images; None, or one that cannot be written: memory.
        skipped: gets why an image cannot be decoded, which is then missing from the result; None: the first such image
            is a `DataError`.
        channels: as of `read_image`.
    """
    decoded = None if folder is None else DecodedFolder(Path(folder), channels)
    opened = {} if decoded is None else decoded.read_all(paths)
    if len(opened) == len(paths):
        return opened
    room = memory_gib * 2**30  # bytes
    pool = ThreadPoolExecutor(os.cpu_count())  # Pillow decodes without holding Python's lock
    try:
        with nullcontext() if decoded is None else decoded.building():
            if decoded is not None:  # another process may have decoded some, for which this one waited
                opened = decoded.read_all(paths)
            missing = [path for path in paths if path not in opened]
            images = pool.map(partial(_decode, decoded, channels), missing)
            images = tqdm(images, "reading images", len(missing), delay=2, leave=False, disable=None)
            for path, image in zip(missing, images, strict=True):
                if isinstance(image, DataError):
                    if skipped is None:
                        raise image
                    skipped.append(str(image))
                    continue
                if isinstance(image.stored, np.ndarray):
                    if image.stored.nbytes <= room:
                        room -= image.stored.nbytes
                    else:
                        image.stored = partial(read_image, path, channels=channels)
                opened[path] = image
    finally:
        pool.shutdown(cancel_futures=True)
    if decoded is not None and decoded.error is not None:
        why = decoded.error.strerror
        print(f"warning: data.cache={folder}: cannot be written ({why}); the rest stays in memory (data.cache_gib)")
    return {path: opened[path] for path in paths if path in opened}


def _decode(decoded: "DecodedFolder | None", channels: int, path: Path) -> OpenedImage | DataError:
    try:
        pixels = read_image(path, channels=channels)
    except DataError as error:
        return error
    image = OpenedImage(path.name, pixels.shape[:2], pixels)
    image.hash = perceptual_hash(pixels)
    if decoded is not None:
        decoded.write(path, image)
    return image


class DecodedFolder:
    """A folder of decoded images, for any number of data sets and of processes at once. It may be removed at any time.

    One .npy file an image, a record of its pixels and its perceptual hash. It is named after the image's path, size and
    time of change, after the channels if not 3, and after Pillow's version: an image that changed is another one. It is
    written under another name and then renamed: it is there whole, or not at all. After the first one that cannot be
    written, `error` says why, and no other is tried.
    """

    def __init__(self, folder: Path, channels: int = 3) -> None:
        self.folder = folder
        self.channels = channels
        self.error: OSError | None = None

    def read_all(self, paths: Sequence[Path]) -> dict[Path, OpenedImage]:
        """Those of the images that are here. In one thread: Python 3.11 cannot parse the heads of files in several."""
        return {path: image for path in paths if (image := self.read(path)) is not None}

    def read(self, path: Path) -> OpenedImage | None:
        """The image as its file is on disk now; None where it is not here."""
        try:
            file = str(self._file(path))  # of a Path numpy would call resolve() at every read
            record = np.load(file, mmap_mode="r")
        except (OSError, ValueError, EOFError):  # the latter two of a file that was cut off
            return None
        image = OpenedImage(path.name, record["pixels"].shape[:2], self._reader(path))
        image.mapped = file, record.offset, self.channels
        image.hash = np.array(record["hash"])  # a copy, which holds no file open
        return image

    def write(self, path: Path, image: OpenedImage) -> None:
        """Move the image's pixels, uint8 (H, W, C), from memory into a file; within `building`. Where that fails, they
        stay in memory, and `error` says why."""
        if self.error is not None:
            return
        assert isinstance(image.stored, np.ndarray)
        record = np.zeros((), [("pixels", np.uint8, image.stored.shape), ("hash", bool, image.hash.shape)])
        record["pixels"], record["hash"] = image.stored, image.hash
        content = io.BytesIO()  # np.save into a file would not say that the disk is full
        np.save(content, record)
        try:
            file = self._file(path)
            file.parent.mkdir(exist_ok=True)
            with replacing(file) as temporary:
                temporary.write_bytes(content.getbuffer())
        except OSError as error:
            self.error = error
        else:
            image.stored = self._reader(path)
            image.mapped = str(file), content.tell() - record.nbytes, self.channels

    def building(self) -> AbstractContextManager[object]:
        """Only one process writes at a time: the others wait, then read what it wrote. Its death frees the folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = Lock(self.folder / ".lock")
            try:
                return lock.acquire(timeout=0)
            except Timeout:
                print(f"data.cache={self.folder}: waiting for another process that fills it", flush=True)
                return lock.acquire()
        except OSError as error:
            self.error = error
            return nullcontext()

    def _reader(self, path: Path) -> Callable[[], np.ndarray]:
        return partial(read_image, path, channels=self.channels)

    def _file(self, path: Path) -> Path:
        path = path.absolute()
        status = path.stat()
        read_as = _VERSION if self.channels == 3 else f"{_VERSION} of {self.channels}"
        key = "\0".join(map(str, (path, status.st_size, status.st_mtime_ns, PIL.__version__, read_as)))
        name = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.npy"
