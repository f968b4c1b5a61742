"""The one way to open a data set: check its places, list its files, decode each once, part them, check each part.

A new layout of folders is a line in `layouts.LAYOUTS`; another kind of data set is a branch in `_list` and one in
`_open_images`.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from enhance.data import demo
from enhance.data.cache import OpenedImage, open_images
from enhance.data.images import list_images, shortened
from enhance.data.layouts import LAYOUTS, Pair, data_root, find_pairs
from enhance.data.pairs import CameraPairs, PairSource, RealPairs, spread
from enhance.data.scenes import group_scenes, hold_out
from enhance.data.shards import find_shards, open_members
from enhance.data.split import PARTS, read_split
from enhance.errors import DataError
from enhance.settings import DataSettings
from enhance.settings.checks import one_of
from enhance.settings.identity import PLACES

SMALLEST_TO_SCORE = 16  # pixels of a side: the U-Net needs as many (tests see that it does), SSIM's window 11

_PLACES_OF = {"demo": (), "photos": ("root", "val_root"), "pairs": ("root", "low", "normal", "split")}


def open_data(data: DataSettings) -> "Opened":
    """The data set that the settings name. Its parts are opened when they are first read.

    Raises:
        DataError: the settings name an unknown data set, or places that do not go together.
    """
    _check_places(data)
    return Opened(data)


@dataclass
class Opened:
    """A data set. Training and validation are opened together, the test part by itself: training does not touch it.

    Each raises `DataError` where it is first read: for anything that keeps its images from being used.
    """

    data: DataSettings

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
        pairs = self.listed["test"] if self.split_has_test else _list_test(self.data)
        return _open_parts({"test": pairs}, self.data)["test"] if pairs else None

    @property
    def split_has_test(self) -> bool:
        """Whether `data.split` names test pairs."""
        return self.data.split is not None and "test" in self.listed

    @cached_property
    def listed(self) -> dict[str, list[Pair[Any]]]:
        """The files of each part that is known before any is decoded."""
        return _list(self.data)

    @cached_property
    def _training_and_validation(self) -> tuple[PairSource, PairSource]:
        parts = _open_parts({part: pairs for part, pairs in self.listed.items() if part != "test"}, self.data)
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


def _check_places(data: DataSettings) -> None:
    """The data set takes the places that are given, and no folder stands for two things."""
    one_of("data.name", data.name, ("demo", "photos", "shards", *LAYOUTS))
    if data.other_cameras and not data.through_camera:
        raise DataError(f"data.other_cameras means nothing to data={data.name}: choose data=photos, or leave it out")
    for place in PLACES:
        group, _, key = place.rpartition(".")
        if (
            group == "data"
            and getattr(data, key) is not None
            and key not in _PLACES_OF.get(data.name, ("root", "split"))
        ):
            raise DataError(
                f"data.{key}={getattr(data, key)} means nothing to data={data.name}; "
                "choose the data set that lies there: data=photos, lol_v1, lol_v2_real, lol_v2_synthetic, pairs, shards"
            )
    for one, other in (("root", "val_root"), ("low", "normal")):
        folder = getattr(data, one)
        if folder is not None and same_place(folder, getattr(data, other)):
            raise DataError(f"data.{one} and data.{other} are one folder, {folder}: give two")


def _list(data: DataSettings) -> dict[str, list[Pair[Any]]]:
    """The files of each part that has a name already; where validation has none, it is to be held out of training."""
    if data.name == "demo":
        photographs = {"training": demo.training_photographs(), "validation": demo.validation_photographs()}
        return {
            part: [Pair(name, None, OpenedImage(name, pixels.shape[:2], pixels)) for name, pixels in images.items()]
            for part, images in photographs.items()
        }
    if data.name == "photos":
        folders = {"training": data_root(data)} | ({} if data.val_root is None else {"validation": Path(data.val_root)})
        return {part: [Pair(path.name, None, path) for path in list_images(folders[part])] for part in folders}
    pairs: list[Pair[Any]] | None = find_shards(data, "train") if data.name == "shards" else find_pairs(data, "train")
    assert pairs is not None  # only the test split may be missing
    if data.split is None:
        return {"training": pairs}
    part_of = read_split(Path(data.split), [pair.name for pair in pairs])
    parts = {part: [pair for pair in pairs if part_of[pair.name] == part] for part in PARTS}
    return {part: chosen for part, chosen in parts.items() if chosen}


def _list_test(data: DataSettings) -> list[Pair[Any]] | None:
    """The files of the data set's own test split; None where it has none."""
    if data.through_camera:
        return None
    return find_shards(data, "test") if data.name == "shards" else find_pairs(data, "test")


def _open_parts(listed: dict[str, list[Pair[Any]]], data: DataSettings) -> dict[str, PairSource]:
    """All images decoded in one go; a validation part is held out of training where none is listed."""
    parts, skipped = _decode(listed, data)
    if "training" in parts and "validation" not in parts:
        parts["training"], parts["validation"] = _hold_out(parts["training"], data)
    for part, pairs in parts.items():
        if part != "training":
            _check_sides([pair.normal for pair in pairs])
    return {part: _source(pairs, skipped, data) for part, pairs in parts.items()}


def _decode(
    listed: dict[str, list[Pair[Any]]], data: DataSettings
) -> tuple[dict[str, list[Pair[OpenedImage]]], list[str]]:
    """The images of each part, and why others were skipped (`data.on_error`)."""
    skipped: list[str] = []
    files = [file for pairs in listed.values() for pair in pairs for file in (pair.low, pair.normal)]
    images = _open_images([file for file in files if file is not None], data, skipped)
    parts = {}
    for part, pairs in listed.items():
        usable = [pair for pair in pairs if (pair.low is None or pair.low in images) and pair.normal in images]
        if not usable:
            raise DataError(f"none of the images can be used: {shortened(skipped)}")
        _check_sizes(usable, images)
        parts[part] = [Pair(pair.name, images.get(pair.low), images[pair.normal]) for pair in usable]
    return parts, skipped


def _open_images(files: list[Any], data: DataSettings, skipped: list[str]) -> dict[Any, OpenedImage]:
    reasons = skipped if data.on_error == "skip" else None
    if data.name == "demo":
        return {image: image for image in files}  # in memory already
    if data.name == "shards":
        return open_members(files, reasons)
    return open_images(files, data.cache_gib, data.cache, reasons)


def _check_sizes(pairs: list[Pair[Any]], images: dict[Any, OpenedImage]) -> None:
    odd = [
        f"{pair.low} {_text(low)} and {pair.normal} {_text(normal)}"
        for pair in pairs
        if pair.low is not None
        if (low := images[pair.low]).size != (normal := images[pair.normal]).size
    ]
    if odd:
        raise DataError(f"{len(odd)} pairs differ in size, width x height: {shortened(odd)}; replace or remove them")


def _hold_out(
    pairs: list[Pair[OpenedImage]], data: DataSettings
) -> tuple[list[Pair[OpenedImage]], list[Pair[OpenedImage]]]:
    """Training and validation; of archives by name alone, for the scenes would take decoding all."""
    by_name = data.name == "shards"
    scenes = np.arange(len(pairs)) if by_name else group_scenes([pair.normal.hash for pair in pairs])
    training, validation = hold_out([pair.name for pair in pairs], scenes, data.validation_share)
    return [pairs[index] for index in training], [pairs[index] for index in validation]


def _check_sides(images: list[OpenedImage]) -> None:
    """Images to score are as large as the U-Net and SSIM need them."""
    small = [f"{image.name} {_text(image)}" for image in images if min(image.size) < SMALLEST_TO_SCORE]
    if small:
        raise DataError(
            f"{len(small)} of {len(images)} images to score are smaller than {SMALLEST_TO_SCORE}x{SMALLEST_TO_SCORE} "
            f"px: {shortened(small)}; remove them"
        )


def _text(image: OpenedImage) -> str:
    height, width = image.size
    return f"{width}x{height}"


def _source(pairs: list[Pair[OpenedImage]], skipped: list[str], data: DataSettings) -> PairSource:
    names, normal = [pair.name for pair in pairs], [pair.normal for pair in pairs]
    if data.through_camera:
        return CameraPairs(names, normal, data.camera, skipped)
    return RealPairs(names, [pair.low for pair in pairs if pair.low is not None], normal, skipped)
