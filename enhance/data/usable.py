"""Pairs as they can be used: of one size, and by all appearances a dark image and its reference."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from enhance.data.cache import OpenedImage
from enhance.data.images import grey, shortened, tell
from enhance.data.matching import Pair
from enhance.data.pairs import evenly
from enhance.errors import DataError
from enhance.settings.schema import DataSettings, OnError, Side

_LOOKED_AT = 16  # pairs: mistakes of this kind are made with whole folders
_STEP = 4  # pixels between those that are compared


def usable_pairs(
    pairs: Sequence[Pair[Any]], images: dict[Any, OpenedImage], skipped: list[str], data: DataSettings
) -> list[Pair[OpenedImage]]:
    """The pairs of which both images can be used, and are of one size, or are made so (`data.resize`). `skipped` gets
    why others are left out (`data.on_error`)."""
    opened, odd = [], []
    for pair in pairs:
        low, normal = images.get(pair.low), images.get(pair.normal)
        if normal is None or (low is None and pair.low is not None):
            continue
        if low is not None and low.size != normal.size:
            if data.resize == Side.low:
                low = _resized(low, normal.size)
            elif data.resize == Side.normal:
                normal = _resized(normal, low.size)
            else:
                odd.append(f"{pair.low} {size_text(low)} and {pair.normal} {size_text(normal)}")
                continue
        opened.append(Pair(pair.name, low, normal))
    if odd and data.on_error == OnError.fail:
        cure = "replace or remove them, or give data.on_error=skip, or data.resize=low or normal (the side to resize)"
        raise DataError(f"{len(odd)} pairs differ in size, width x height: {shortened(odd)}; {cure}")
    skipped += [f"{sizes} differ in size" for sizes in odd]
    if not opened:
        raise DataError(f"none of the images can be used: {shortened(skipped)}")
    if data.through_camera and data.darkest > 0:
        opened = _bright_enough(opened, data.darkest)
    _tell_doubts([pair for pair in opened if pair.low is not None])
    return opened


def _bright_enough(pairs: list[Pair[OpenedImage]], darkest: float) -> list[Pair[OpenedImage]]:
    """The photographs whose mean grey value is at least that: a night is no target for a dark day."""
    bright: list[Pair[OpenedImage]] = []
    dark: list[str] = []
    for pair in pairs:
        if grey(pair.normal.pixels()[::_STEP, ::_STEP]).mean() >= 255 * darkest:
            bright.append(pair)
        else:
            dark.append(pair.name)
    if len(dark) == len(pairs):
        raise DataError(f"data.darkest={darkest}: all {len(pairs)} photographs are darker; lower it")
    if dark:
        tell(f"{len(dark)} of {len(pairs)} photographs are darker than data.darkest={darkest}: {shortened(dark)}")
    return bright


def size_text(image: OpenedImage) -> str:
    """Width x height."""
    height, width = image.size
    return f"{width}x{height}"


def _resized(image: OpenedImage, size: tuple[int, int]) -> OpenedImage:
    """Another image, resized whenever it is read."""
    return OpenedImage(image.name, size, partial(_resized_pixels, image, size))


def _resized_pixels(image: OpenedImage, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, C); each channel by itself, for Pillow would weight colours with a fourth one as alpha."""
    bands = map(Image.fromarray, np.moveaxis(image.pixels(), 2, 0))
    return np.stack([np.asarray(band.resize(size[::-1], Image.Resampling.BICUBIC)) for band in bands], 2)


def _tell_doubts(pairs: list[Pair[OpenedImage]]) -> None:
    """Warn where dark images are copies of their references, or are the brighter ones."""
    copies, brighter, count = [], [], 0
    for index in evenly(len(pairs), _LOOKED_AT):
        pair = pairs[index]
        assert pair.low is not None
        try:
            low, normal = (each.pixels()[::_STEP, ::_STEP].astype(np.float32) for each in (pair.low, pair.normal))
        except DataError:  # is told when it is trained on
            continue
        count += 1
        if np.abs(low - normal).mean() < 1:
            copies.append(pair.name)
        elif low.mean() > normal.mean():
            brighter.append(pair.name)
    looked_at = f"of {count} pairs that were looked at"
    if copies:
        which = f"{len(copies)} {looked_at} hold one picture twice: {shortened(copies)}"
        tell(f"warning: {which}; give the dark images as one side and their references as the other")
    if 2 * len(brighter) > count:
        which = f"in {len(brighter)} {looked_at} the dark image is the brighter one: {shortened(brighter)}"
        tell(f"warning: {which}; low and normal may be exchanged: data.low= and data.normal= name the folders")
