"""Open images once: find the damaged ones, and keep in memory what fits."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from enhance.data.images import read_image
from enhance.data.scenes import perceptual_hash
from enhance.errors import DataError


class Cache:
    """Room in memory for decoded images; the first ones that are opened get it."""

    def __init__(self, gib: float) -> None:
        self.left = int(gib * 2**30)  # bytes

    def keep(self, path: Path, pixels: np.ndarray) -> np.ndarray | Path:
        """The pixels where they fit, else the path, to be decoded when needed."""
        if pixels.nbytes > self.left:
            return path
        self.left -= pixels.nbytes
        return pixels


@dataclass
class OpenedImage:
    """What opening an image told, and where its pixels are."""

    name: str  # of the file
    size: tuple[int, int]  # height, width
    hash: np.ndarray  # perceptual hash, bool (63,)
    source: np.ndarray | Path  # uint8 (H, W, 3) in memory, or the file

    def pixels(self) -> np.ndarray:
        """uint8 (H, W, 3), from memory or decoded anew."""
        return self.source if isinstance(self.source, np.ndarray) else read_image(self.source)


def open_images(paths: Sequence[Path], cache: Cache, left_out: list[str] | None = None) -> dict[Path, OpenedImage]:
    """Decode every image once, on all cores; a bar shows it on a terminal where it takes long.

    Args:
        left_out: gets why an image cannot be decoded, which is then missing from the result; None: that is an error.

    Raises:
        DataError: the first image that cannot be decoded.
    """
    pool = ThreadPoolExecutor(os.cpu_count())  # Pillow decodes without holding Python's lock
    try:
        decoded = pool.map(_decode, paths)
        bar = tqdm(zip(paths, decoded, strict=True), "reading images", len(paths), delay=2, leave=False, disable=None)
        opened = {}
        for path, found in bar:
            if isinstance(found, DataError):
                if left_out is None:
                    raise found
                left_out.append(str(found))
            else:
                pixels, code = found
                opened[path] = OpenedImage(path.name, pixels.shape[:2], code, cache.keep(path, pixels))
        return opened
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(path: Path) -> tuple[np.ndarray, np.ndarray] | DataError:
    try:
        pixels = read_image(path)
    except DataError as error:
        return error
    return pixels, perceptual_hash(pixels)
