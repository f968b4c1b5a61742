"""The one way to open a data set: check its places, list its files, decode each once, part them, check each part.

A new layout of folders is a line in `layouts.LAYOUTS`; another kind of data set is a branch in `Opened.listed` and one
in `_open_images`.
"""

import csv
import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from enhance.data.cache import OpenedImage, open_images
from enhance.data.images import list_images, shortened
from enhance.data.kinds import stored_size
from enhance.data.layouts import LAYOUTS, data_root, find_pairs
from enhance.data.matching import Pair
from enhance.data.pairs import CameraPairs, PairSource, RealPairs, spread
from enhance.data.scenes import group_scenes, hold_out
from enhance.data.shards import Member, find_shards, open_members
from enhance.data.usable import size_text, usable_pairs
from enhance.errors import DataError
from enhance.settings.checks import one_of
from enhance.settings.schema import DataSettings

SMALLEST_TO_SCORE = 16  # pixels of a side: the U-Net needs as many (tests see that it does), SSIM's window 11

_PARTS = ("training", "validation", "test")
_OLDER = {"report": "test"}  # what split files of this project called the test part before
_PLACES_OF = {"demo": (), "photos": ("root", "val_root"), "pairs": ("root", "low", "normal", "split", "pattern")}


def open_data(data: DataSettings, channels: int = 3) -> "Opened":
    """The data set that the settings name, which takes the places that are given, its images of so many `channels`
    (`model.channels`). Its parts are opened when they are first read. Raises `DataError` where the settings name an
    unknown data set, or places that do not go together."""
    one_of("data.name", data.name, ("demo", "photos", "shards", *LAYOUTS))
    if channels == 4 and data.through_camera:
        cure = "choose data=pairs, or leave model.channels out"
        raise DataError(
            f"model.channels=4: a photograph of data={data.name} has three for the simulated camera; {cure}"
        )
    if data.other_cameras and not data.through_camera:
        raise DataError(f"data.other_cameras means nothing to data={data.name}: choose data=photos, or leave it out")
    for key in ("root", "val_root", "low", "normal", "split", "pattern"):
        if (value := getattr(data, key)) is not None and key not in _PLACES_OF.get(data.name, ("root", "split")):
            cure = "choose the data set that lies there, such as data=photos, pairs or lol_v1"
            raise DataError(f"data.{key}={value} means nothing to data={data.name}; {cure}")
    for one, other in (("root", "val_root"), ("low", "normal")):
        folder = getattr(data, one)
        if folder is not None and same_place(folder, getattr(data, other)):
            raise DataError(f"data.{one} and data.{other} are one folder, {folder}: give two")
    return Opened(data, channels)


@dataclass
class Opened:
    """A data set. Training and validation are opened together, the test part by itself: training does not touch it.

    Each raises `DataError` where it is first read: for anything that keeps its images from being used.
    """

    data: DataSettings
    channels: int

    @property
    def training(self) -> PairSource:
        """The pairs to train on: `data.training_images` of them."""
        return self._training_and_validation[0]

    @property
    def validation(self) -> PairSource:
        """Those that `data.split` names, or whole scenes held out of the training pairs. Which ones depends on the
        images and their names alone: runs with different seeds are scored on the same photographs."""
        return self._training_and_validation[1]

    @cached_property
    def test(self) -> PairSource | None:
        """The pairs that `data.split` names, or else those of the data set's own test folders or archives; None where
        there are neither."""
        pairs = self.listed["test"] if self.split_has_test else self._in_test_folders
        return _open_parts({"test": pairs}, self.data, self.channels)["test"] if pairs else None

    @cached_property
    def whole(self) -> PairSource | None:
        """All pairs, where nothing but `data.validation_share` would part them; else None."""
        undivided = self.listed.keys() == {"training"} and self.data.split is None
        return _open_parts({"all": self.listed["training"]}, self.data, self.channels)["all"] if undivided else None

    def count(self) -> int:
        """How many pairs there are in all, before any is left out."""
        test = [] if self.split_has_test else self._in_test_folders or []
        try:
            return len(test) + sum(map(len, self.listed.values()))
        except DataError:
            if not test:
                raise
            return len(test)  # test folders alone

    @property
    def split_has_test(self) -> bool:
        """Whether `data.split` names test pairs."""
        return self.data.split is not None and "test" in self.listed

    @cached_property
    def _in_test_folders(self) -> list[Pair[Any]] | None:
        return None if self.data.through_camera else _find(self.data, "test")

    @cached_property
    def listed(self) -> dict[str, list[Pair[Any]]]:
        """The files of each part that has a name already; where validation has none, it is to be held out of
        training."""
        data = self.data
        if data.name == "demo":
            from enhance.data import demo  # here: its library takes a fifth of a second, and few runs need it

            photographs = {"training": demo.training_photographs(), "validation": demo.validation_photographs()}
            return {
                part: [Pair(name, None, OpenedImage(name, pixels.shape[:2], pixels)) for name, pixels in images.items()]
                for part, images in photographs.items()
            }
        if data.name == "photos":
            folders = {"training": data_root(data)}
            if data.val_root is not None:
                folders["validation"] = Path(data.val_root)
            return {
                part: [Pair(path.relative_to(at).as_posix(), None, path) for path in list_images(at, within=True)]
                for part, at in folders.items()
            }
        pairs = _find(data, "train")
        assert pairs is not None  # only the test split may be missing
        return {"training": pairs} if data.split is None else _split(Path(data.split), pairs)

    @cached_property
    def _training_and_validation(self) -> tuple[PairSource, PairSource]:
        listed = {part: pairs for part, pairs in self.listed.items() if part != "test"}
        for part in ("training", "validation") if self.data.split is not None else ():
            if part not in listed:  # asked here, since all may be there to test on
                pairs = sum(map(len, self.listed.values()))
                raise DataError(f"data.split={self.data.split}: none of the {pairs} pairs here is for {part}; add some")
        parts = _open_parts(listed, self.data, self.channels)
        training, count = parts["training"], self.data.training_images
        if count is not None:
            if count > len(training):
                raise DataError(f"data.training_images={count}: there are {len(training)}; lower it")
            training = spread(training, count)
        return training, parts["validation"]


def same_place(place: str | None, other: str | None) -> bool:
    """Whether both are one place, however they are written."""
    if place is None or other is None:
        return place == other
    return Path(place).resolve() == Path(other).resolve()


def _find(data: DataSettings, split: str) -> list[Pair[Any]] | None:
    return find_shards(data, split) if data.name == "shards" else find_pairs(data, split)


def _split(path: Path, pairs: list[Pair[Any]]) -> dict[str, list[Pair[Any]]]:
    """The pairs of each part that the CSV file `path`, of the columns `name` and `part`, gives one to."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(row["name"], _OLDER.get(row["part"], row["part"])) for row in csv.DictReader(file)]
    except OSError as error:
        raise DataError(f"data.split={path}: cannot be read ({error.strerror}); give a CSV of name,part") from error
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data.split={path}: not a CSV file with the columns name and part") from error
    part_of = dict(rows)
    if wrong := [f"{name},{part}" for name, part in rows if part not in _PARTS]:
        raise DataError(f"data.split={path}: {shortened(wrong)}: a part is one of {', '.join(_PARTS)}")
    if absent := [pair.name for pair in pairs if pair.name not in part_of]:
        raise DataError(f"data.split={path}: names no part for {shortened(absent)}; add them, or leave data.split out")
    parts = {part: [pair for pair in pairs if part_of[pair.name] == part] for part in _PARTS}
    return {part: chosen for part, chosen in parts.items() if chosen}


def _open_parts(listed: dict[str, list[Pair[Any]]], data: DataSettings, channels: int) -> dict[str, PairSource]:
    """All images decoded in one go; a validation part is held out of training where none is listed."""
    skipped: list[str] = []
    images = _open_images(listed, data, skipped, channels)
    parts = {part: usable_pairs(pairs, images, skipped, data) for part, pairs in listed.items()}
    if parts.keys() == {"training"}:
        pairs = parts["training"]
        # of archives by name alone, for the scenes would take decoding all
        scenes = np.arange(len(pairs)) if data.name == "shards" else group_scenes([pair.normal.hash for pair in pairs])
        held_out = hold_out([pair.name for pair in pairs], scenes, data.validation_share)
        parts["training"], parts["validation"] = ([pairs[index] for index in indices] for indices in held_out)
    return {part: _source(part, pairs, skipped, data, channels) for part, pairs in parts.items()}


def _open_images(
    listed: dict[str, list[Pair[Any]]], data: DataSettings, skipped: list[str], channels: int
) -> dict[Any, OpenedImage]:
    """The image of each file; `skipped` gets why others cannot be used (`data.on_error`)."""
    files = [file for pairs in listed.values() for pair in pairs for file in (pair.low, pair.normal) if file]
    files = list(dict.fromkeys(files))  # many dark images may have one reference
    reasons = skipped if data.on_error == "skip" else None
    if data.name == "demo":
        return {image: image for image in files}  # in memory already
    if data.name == "shards":
        return open_members(files, reasons, channels)
    return open_images(files, data.cache_gib, data.cache, reasons, 3 if data.through_camera else channels)


def _source(
    part: str, pairs: list[Pair[OpenedImage]], skipped: list[str], data: DataSettings, channels: int
) -> PairSource:
    """A part whose images, where they are to be scored, are as large as the U-Net and SSIM need them."""
    names, normal = [pair.name for pair in pairs], [pair.normal for pair in pairs]
    small = [f"{image.name} {size_text(image)}" for image in normal if min(image.size) < SMALLEST_TO_SCORE]
    if small and part != "training":
        count, least = f"{len(small)} of {len(normal)}", f"{SMALLEST_TO_SCORE}x{SMALLEST_TO_SCORE} px"
        raise DataError(f"{count} images to score are smaller than {least}: {shortened(small)}; remove them")
    if data.through_camera:
        return CameraPairs(names, normal, data.camera, skipped, channels)
    return RealPairs(names, [pair.low for pair in pairs if pair.low is not None], normal, skipped)


def with_content(data: DataSettings) -> DataSettings:
    """The settings with `content` filled in; a `DataError` where it asks for other data, or these are not there."""
    content = fingerprint(data)
    if data.content not in (None, content):
        cure = "give the place of those with data.root=, or leave data.content out"
        raise DataError(f"data.content={data.content}: the images here are others, {content}; {cure}")
    return replace(data, content=content)


def fingerprint(data: DataSettings) -> str:
    """What data a run learns from, by content and not by place: 12 hexadecimal digits of a hash of the images' names,
    sizes and parts. Only the heads of the files are read; a test folder does not count, and a damaged file with its
    name alone. Raises as `open_data`."""
    if data.name == "demo":
        return "demo"
    listed = open_data(data).listed
    entries = [(part, pair.name, *_stored_size(pair.normal)) for part, pairs in listed.items() for pair in pairs]
    return hashlib.sha256(json.dumps(sorted(entries)).encode()).hexdigest()[:12]


def _stored_size(file: Any) -> tuple[int, int]:
    """Width and height; 0, 0 of a damaged file."""
    try:
        if isinstance(file, Member):
            return file.size()[::-1]
        return stored_size(Path(file))
    except Exception:  # Pillow raises many kinds, for as many kinds of damage; opening the data names it
        return 0, 0
