"""Open images once: find the damaged ones, and keep them decoded, in files that are mapped or in memory."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from enhance.data.decoded import DecodedFolder
from enhance.data.images import read_image
from enhance.data.scenes import perceptual_hash
from enhance.errors import DataError


class Cache:
    """Where decoded images are kept: in the files of a folder, or in memory while there is room.

    Args:
        gib: room in memory, for the images that are opened first; the rest is decoded when needed.
        folder: of decoded images; None, or one that cannot be written: memory.
    """

    def __init__(self, gib: float, folder: str | None = None) -> None:
        self.left = int(gib * 2**30)  # bytes
        self.folder = None if folder is None else DecodedFolder(Path(folder))

    def keep(self, path: Path, pixels: np.ndarray) -> np.ndarray | Path:
        """The pixels where they fit into memory, else the path, to be decoded when needed."""
        if pixels.nbytes > self.left:
            return path
        self.left -= pixels.nbytes
        return pixels


class Stored(Protocol):
    """An image in a place of its own."""

    def pixels(self) -> np.ndarray:
        """uint8 (H, W, 3)."""
        ...


@dataclass
class OpenedImage:
    """What opening an image told, and where its pixels are."""

    name: str  # of the file
    size: tuple[int, int]  # height, width
    hash: np.ndarray  # perceptual hash, bool (63,)
    source: np.ndarray | Path | Stored  # uint8 (H, W, 3) in memory, or the image file, or where else they are

    def pixels(self) -> np.ndarray:
        """uint8 (H, W, 3), from memory, from a file of them (then read-only), or decoded anew."""
        if isinstance(self.source, np.ndarray):
            return self.source
        return read_image(self.source) if isinstance(self.source, Path) else self.source.pixels()


def open_images(paths: Sequence[Path], cache: Cache, left_out: list[str] | None = None) -> dict[Path, OpenedImage]:
    """Decode every image once, on all cores, but for those that the cache's folder holds; a bar shows it on a terminal
    where it takes long.

    Args:
        left_out: gets why an image cannot be decoded, which is then missing from the result; None: that is an error.

    Raises:
        DataError: the first image that cannot be decoded.
    """
    pool = ThreadPoolExecutor(os.cpu_count())  # Pillow decodes without holding Python's lock
    try:
        opened = _find(paths, cache.folder, pool)
        if len(opened) < len(paths):
            with nullcontext() if cache.folder is None else cache.folder.building():
                opened |= _find([path for path in paths if path not in opened], cache.folder, pool)
                missing = [path for path in paths if path not in opened]
                opened |= _decode_all(missing, cache, left_out, pool)
        return {path: opened[path] for path in paths if path in opened}
    finally:
        pool.shutdown(cancel_futures=True)


def _find(paths: Sequence[Path], folder: DecodedFolder | None, pool: ThreadPoolExecutor) -> dict[Path, OpenedImage]:
    if folder is None:
        return {}
    found = zip(paths, pool.map(folder.find, paths), strict=True)
    return {path: OpenedImage(path.name, kept[0].size, kept[1], kept[0]) for path, kept in found if kept is not None}


def _decode_all(
    paths: Sequence[Path], cache: Cache, left_out: list[str] | None, pool: ThreadPoolExecutor
) -> dict[Path, OpenedImage]:
    decoded = pool.map(partial(_decode, cache.folder), paths)
    opened = {}
    for path, found in zip(
        paths, tqdm(decoded, "reading images", len(paths), delay=2, leave=False, disable=None), strict=True
    ):
        if isinstance(found, DataError):
            if left_out is None:
                raise found
            left_out.append(str(found))
        elif isinstance(found.source, np.ndarray):
            opened[path] = replace(found, source=cache.keep(path, found.source))
        else:
            opened[path] = found
    if cache.folder is not None and (error := cache.folder.error) is not None:
        print(
            f"warning: data.cache={cache.folder.folder}: cannot be written ({error.strerror}); the rest of "
            "the images stays in memory, as data.cache_gib allows"
        )
    return opened


def _decode(folder: DecodedFolder | None, path: Path) -> OpenedImage | DataError:
    try:
        pixels = read_image(path)
    except DataError as error:
        return error
    code = perceptual_hash(pixels)
    kept = None if folder is None else folder.keep(path, pixels, code)
    return OpenedImage(path.name, pixels.shape[:2], code, pixels if kept is None else kept)
