"""Pairs in tar archives, as WebDataset writes them (github.com/webdataset/webdataset): KEY.low.png and KEY.normal.png.

An archive is not read from its beginning to its end, as WebDataset does: where each image lies is noted once, and then
it is read by itself. So the order of the crops, going on with a run, and the split are those of any other data set.
"""

import functools
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags

from enhance.data.cache import OpenedImage
from enhance.data.images import SUFFIXES, contents, decoding, read_image, shortened
from enhance.data.layouts import Pair
from enhance.data.opened import OpenedPairs, size_told
from enhance.errors import DataError

_SIDES = {"low": "low", "normal": "normal", "high": "normal"}
_HEAD = 1 << 16  # bytes, in which an image says its size, but for a JPEG with much before it
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width


@dataclass(frozen=True, slots=True)
class Member:
    """An image file within an archive."""

    archive: str
    name: str
    offset: int  # bytes
    length: int

    @property
    def path(self) -> Path:
        """For messages: the archive, and the name within it."""
        return Path(self.archive) / self.name

    def read(self, length: int | None = None) -> io.BytesIO:
        """The file, or its beginning; opened anew in each process and thread, which share no place in it."""
        try:
            file = _archive(self.archive, os.getpid(), threading.get_ident())
            file.seek(self.offset)
            return io.BytesIO(file.read(length or self.length))
        except OSError as error:
            raise DataError(f"{self.archive}: cannot be read ({error.strerror}); bring it back") from error

    def pixels(self) -> np.ndarray:
        """uint8 (H, W, 3), decoded anew."""
        return read_image(self.path, self.read())

    def size(self) -> tuple[int, int]:
        """Height and width, from the head of the file."""
        for length in (_HEAD, self.length):
            try:
                with decoding(self.path, self.read(min(length, self.length))) as file:
                    # Pillow would decode a whole PNG to look for an orientation behind its pixels.
                    may_turn = file.format != "PNG" or "exif" in file.info
                    turned = may_turn and file.getexif().get(ExifTags.Base.Orientation, 1) in _TURNED
                    return (file.width, file.height) if turned else (file.height, file.width)
            except DataError:
                if length >= self.length:
                    raise
        raise AssertionError


@functools.lru_cache(maxsize=64)
def _archive(path: str, process: int, thread: int) -> BinaryIO:  # the latter two only tell handles apart
    return open(path, "rb")


def find_shards(root: Path, split: str) -> list[Path]:
    """The archives of `split`, "train" or "test", sorted by name: *.tar, and those of the test begin with "test".

    Raises:
        DataError: the folder is missing.
    """
    if not root.is_dir():
        raise DataError(f"data.root={root}: no such folder")
    return [path for path in sorted(root.glob("*.tar")) if path.name.startswith("test") == (split == "test")]


def open_shards(root: Path, split: str, left_out: list[str] | None = None) -> OpenedPairs:
    """The dark and the bright image of each pair, in the order of the archives and within them. Only the head of each
    image is read; one whose rest is damaged is found when it is decoded.

    Args:
        left_out: gets why an image says no size; its pair is then missing. None: that is an error.

    Raises:
        DataError: there is no archive, one cannot be read, names come twice, have no partner, or sizes differ.
    """
    archives = find_shards(root, split)
    if not archives:
        raise DataError(f"data.root={root}: no archives of data=shards here; looked for *.tar; found {contents(root)}")
    found: dict[str, dict[str, Member]] = {}
    for archive in archives:
        for key, side, member in _members(archive):
            if side in found.setdefault(key, {}):
                raise DataError(f"{member.path}: {key} has a {side} image already, {found[key][side].path}; rename one")
            found[key][side] = member
    alone = [str(member.path) for sides in found.values() if len(sides) == 1 for member in sides.values()]
    if alone or not found:
        raise DataError(
            f"data.root={root}: {len(alone)} images have no partner: {shortened(alone)}; a pair is KEY.low.png and "
            "KEY.normal.png"
        )
    pairs: OpenedPairs = {}
    for key, sides in found.items():
        try:
            low, normal = (_opened(key, sides[side]) for side in ("low", "normal"))
        except DataError as error:
            if left_out is None:
                raise
            left_out.append(str(error))
            continue
        if low.size != normal.size:
            raise DataError(
                f"{sides['low'].path} {size_told(low)} and {sides['normal'].path} {size_told(normal)} differ in size; "
                "replace or remove them"
            )
        pairs[Pair(key, sides["low"].path, sides["normal"].path)] = low, normal
    return pairs


def _members(archive: Path) -> Iterator[tuple[str, str, Member]]:
    """Key, side and member of each image."""
    try:
        end = archive.stat().st_size
        with tarfile.open(archive, "r:") as tar:
            for entry in tar:
                folder, _, base = entry.name.rpartition("/")
                stem, _, kind = base.partition(".")
                side = _SIDES.get(kind.partition(".")[0].lower())
                if not entry.isfile() or side is None or Path(base).suffix.lower() not in SUFFIXES:
                    continue
                if entry.offset_data + entry.size > end:
                    raise DataError(f"{archive}: cut off within {entry.name}; replace it")
                key = f"{folder}/{stem}" if folder else stem
                yield key, side, Member(str(archive), entry.name, entry.offset_data, entry.size)
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{archive}: not a tar archive without compression ({error}); replace it") from error


def _opened(key: str, member: Member) -> OpenedImage:
    return OpenedImage(key, member.size(), np.empty(0, bool), member)
