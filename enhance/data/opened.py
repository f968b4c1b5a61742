"""Opened images become pairs: what they must meet to be trained on or scored."""

from collections.abc import Sequence
from typing import Any

from enhance.data.cache import OpenedImage
from enhance.data.images import shortened
from enhance.data.layouts import Pair
from enhance.data.pairs import RealPairs
from enhance.errors import DataError
from enhance.models.unet import SMALLEST_SIDE

OpenedPairs = dict[Pair, tuple[OpenedImage, OpenedImage]]  # the dark and the bright image of each


def check_some(left: list[Any], left_out: list[str]) -> None:
    """Raise `DataError` with the reasons where nothing is left."""
    if not left:
        raise DataError(f"none of the images can be used: {shortened(left_out)}")


def real_pairs(images: OpenedPairs, left_out: list[str]) -> RealPairs:
    """The pairs to train on; `left_out` says why others are not among them."""
    low, normal = zip(*images.values(), strict=True)
    return RealPairs([pair.name for pair in images], low, normal, left_out)


def pairs_to_score(images: OpenedPairs, left_out: list[str]) -> RealPairs:
    """The same to score.

    Raises:
        DataError: as `check_sides`.
    """
    check_sides([normal for _, normal in images.values()])
    return real_pairs(images, left_out)


def check_sides(images: Sequence[OpenedImage]) -> None:
    """Images to score are as large as the U-Net and SSIM need them; else a `DataError` names the small ones."""
    small = [f"{image.name} {size_told(image)}" for image in images if min(image.size) < SMALLEST_SIDE]
    if small:
        raise DataError(
            f"{len(small)} of {len(images)} images to score are smaller than {SMALLEST_SIDE}x{SMALLEST_SIDE} px: "
            f"{shortened(small)}; remove them"
        )


def size_told(image: OpenedImage) -> str:
    """Width x height, for messages."""
    return f"{image.size[1]}x{image.size[0]}"
