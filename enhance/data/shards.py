"""Pairs in tar archives, as WebDataset writes them (github.com/webdataset/webdataset): KEY.low.png and KEY.normal.png.

WebDataset and Hugging Face datasets stream an archive from its beginning to its end, and cannot go to sample n; here,
where each image lies is noted once, and then it is read by itself, so that the order of the crops, exact resume and the
split are those of any other data set.
"""

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import ExifTags

from enhance.data.cache import OpenedImage
from enhance.data.images import contents, decoding, read_image, shortened, tell
from enhance.data.kinds import SUFFIXES, is_raw, missing
from enhance.data.layouts import LOW_NAMES, NORMAL_NAMES, data_root
from enhance.data.matching import Pair
from enhance.errors import DataError
from enhance.settings.schema import DataSettings

_SIDES = dict.fromkeys(LOW_NAMES, "low") | dict.fromkeys(NORMAL_NAMES, "normal")
_HEAD = 1 << 16  # bytes, in which an image says its size, but for a JPEG with much before it


@dataclass(frozen=True, slots=True)
class Member:
    """An image file within an archive."""

    archive: str
    name: str
    offset: int  # bytes
    length: int

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}"

    def read(self, length: int) -> io.BytesIO:
        """The file's first `length` bytes. The archive is opened anew, so that processes share no position in it."""
        try:
            with open(self.archive, "rb") as file:
                file.seek(self.offset)
                return io.BytesIO(file.read(length))
        except OSError as error:
            raise DataError(f"{self.archive}: cannot be read ({error.strerror}); bring it back") from error

    def pixels(self, channels: int) -> np.ndarray:
        """uint8 (H, W, channels), decoded anew."""
        return read_image(str(self), self.read(self.length), channels)

    def size(self) -> tuple[int, int]:
        """Height and width, from the head of the file; a camera's raw one is developed for it."""
        if is_raw(self.name):
            height, width, _ = self.pixels(3).shape
            return height, width
        try:
            return self._size(min(_HEAD, self.length))
        except DataError:
            return self._size(self.length)

    def _size(self, length: int) -> tuple[int, int]:
        with decoding(str(self), self.read(length)) as file:
            # Pillow would decode a whole PNG to look for an orientation behind its pixels.
            may_turn = file.format != "PNG" or "exif" in file.info
            turned = may_turn and file.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return (file.width, file.height) if turned else (file.height, file.width)


def find_shards(data: DataSettings, split: str) -> list[Pair[Member]] | None:
    """The pairs of `split`, "train" or "test", in the order of the archives by name (*.tar; those of the test begin
    with "test") and within them; None where there is no test archive. Raises `DataError` where there is no training
    archive, one cannot be read, or images come twice or have no partner."""
    root = data_root(data)
    archives = [path for path in sorted(root.glob("*.tar")) if path.name.startswith("test") == (split == "test")]
    if not archives:
        if split == "test":
            return None
        raise DataError(f"data.root={root}: no archives of data=shards here; looked for *.tar; found {contents(root)}")
    pairs: dict[str, dict[str, Member]] = {}
    others: list[str] = []
    for archive in archives:
        for key, side, member in _members(archive, others):
            if other := pairs.setdefault(key, {}).get(side):
                raise DataError(f"{member}: {key} has a {side} image already, {other}; rename one")
            pairs[key][side] = member
    alone = [str(member) for sides in pairs.values() if len(sides) == 1 for member in sides.values()]
    cures = sorted({cure for name in others if (cure := missing(name))})
    cure = f"a pair is KEY.low.png and KEY.normal.png; for low and normal also {', '.join(sorted(_SIDES))}"
    cure = "; ".join([cure, *cures])
    if alone:
        raise DataError(f"data.root={root}: {len(alone)} images have no partner: {shortened(alone)}; {cure}")
    if not pairs:
        found = shortened(others) or "nothing"
        raise DataError(f"data.root={root}: no pairs in {len(archives)} archives: they hold {found}; {cure}")
    if images := [name for name in others if _is_image(name)]:
        tell(f"passed over in {root}: {len(images)} images whose names tell no side: {shortened(images)}")
    if unread := [name for name in others if missing(name)]:
        tell(f"passed over in {root}: {len(unread)} images: {'; '.join([shortened(unread), *cures])}")
    return [Pair(key, sides["low"], sides["normal"]) for key, sides in pairs.items()]


def _members(archive: Path, others: list[str]) -> Iterator[tuple[str, str, Member]]:
    """Key, side and member of each image; `others` gets the names of the files that are none, or are of no side."""
    try:
        end = archive.stat().st_size
        with tarfile.open(archive, "r:") as tar:
            for entry in tar:
                folder, _, base = entry.name.rpartition("/")
                stem, _, kind = Path(base).stem.rpartition(".")  # a key may hold dots
                if kind.lower() not in _SIDES:
                    stem, _, kind = base.partition(".")
                side = _SIDES.get(kind.partition(".")[0].lower())
                if not entry.isfile():
                    continue
                if side is None or not _is_image(base):
                    others.append(entry.name)
                    continue
                if entry.offset_data + entry.size > end:
                    raise DataError(f"{archive}: cut off within {entry.name}; replace it")
                key = f"{folder}/{stem}" if folder else stem
                yield key, side, Member(str(archive), entry.name, entry.offset_data, entry.size)
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{archive}: not a tar archive without compression ({error}); replace it") from error


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def open_members(members: Sequence[Member], skipped: list[str] | None, channels: int) -> dict[Member, OpenedImage]:
    """Only the head of each image is read; one whose rest is damaged shows when it is decoded. One that says no size is
    a `DataError`, or missing from the result where `skipped` is a list, which gets the reason."""
    opened = {}
    for member in members:
        try:
            opened[member] = OpenedImage(member.name, member.size(), partial(member.pixels, channels))
        except DataError as error:
            if skipped is None:
                raise
            skipped.append(str(error))
    return opened
