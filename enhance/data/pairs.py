"""Pairs of a low-light and a normal-light image: real ones, and photographs through the dim-light camera."""

import zlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from enhance.data.cache import OpenedImage
from enhance.data.camera import darken
from enhance.data.images import grey, shortened, to_tensor
from enhance.data.light import View
from enhance.data.processing import shrunk
from enhance.settings.schema import CameraSettings


class WholePairs(Protocol):
    """A set of pairs, for scoring whole images."""

    names: list[str]

    def whole(self, index: int) -> tuple[Tensor, Tensor]:
        """Low and normal, float32 (C, H, W) in [0, 1]; the same at every call."""


class PairSource(WholePairs, Protocol):
    """A set of pairs, for training on crops as well."""

    sizes: list[tuple[int, int]]  # height and width in pixels
    skipped: list[str]  # with `data.on_error=skip`: why an image could not be used

    def __len__(self) -> int: ...

    def scene_hash(self, index: int) -> np.ndarray:
        """Perceptual hash of the normal image, bool (63,), for `enhance.data.scenes.group_scenes`."""

    def crop(self, index: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Low and normal, uint8 (size, size, C): cropped, mirrored and turned at random, both in the same way."""


def channels_of(source: WholePairs) -> int:
    """C of its images, by the first."""
    return source.whole(0)[0].shape[0]


def skipped_message(source: PairSource) -> list[str]:
    """A line that counts and names the images that `data.on_error=skip` left out; none where all could be read."""
    count = len(source.skipped)
    return [f"{count} image{' is' if count == 1 else 's are'} left out: {shortened(source.skipped)}"] if count else []


class _NormalImages:
    """What both kinds of pairs share: names, and normal images."""

    def __init__(self, names: list[str], normal: Sequence[OpenedImage], skipped: Sequence[str]) -> None:
        self.names = names
        self.skipped = list(skipped)
        self.sizes = [image.size for image in normal]
        self._normal = normal

    def __len__(self) -> int:
        return len(self.names)

    def scene_hash(self, index: int) -> np.ndarray:
        return self._normal[index].hash


class RealPairs(_NormalImages):
    """Pairs that were photographed."""

    def __init__(
        self, names: list[str], low: Sequence[OpenedImage], normal: Sequence[OpenedImage], skipped: Sequence[str] = ()
    ) -> None:
        super().__init__(names, normal, skipped)
        self._low = low

    def whole(self, index: int) -> tuple[Tensor, Tensor]:
        return to_tensor(self._low[index].pixels()), to_tensor(self._normal[index].pixels())

    def crop(self, index: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        low, normal = random_crop((self._low[index].pixels(), self._normal[index].pixels()), size, rng)
        return low, normal


class CameraPairs(_NormalImages):
    """Normal photographs, and what the dim-light camera makes of them.

    `crop` takes a new exposure at every call. That of `whole` is fixed by the camera's seed and the photograph's name.
    The photographs have three channels, and the pairs 3 or, grey, 1.
    """

    def __init__(
        self,
        names: list[str],
        normal: Sequence[OpenedImage],
        camera: CameraSettings,
        skipped: Sequence[str] = (),
        channels: int = 3,
    ) -> None:
        super().__init__(names, normal, skipped)
        self._camera = camera
        self._channels = channels

    def through(self, camera: CameraSettings) -> "CameraPairs":
        """The same photographs through another camera."""
        return CameraPairs(self.names, self._normal, camera, self.skipped, self._channels)

    def whole(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self._camera.seed, zlib.crc32(self.names[index].encode())])
        low, normal = self._photographed(self._normal[index].pixels(), rng)
        return to_tensor(low), to_tensor(normal)

    def crop(self, index: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        photograph, camera, taken = self._normal[index].pixels(), self._camera, size
        if camera.shrink_most > 1:
            taken = int(size * min(np.exp(rng.uniform(0, np.log(camera.shrink_most))), min(self.sizes[index]) / size))
        (normal,) = random_crop((photograph,), taken, rng)
        view = View.anywhere(taken, size, self.sizes[index], rng) if camera.light_differs else None
        return self._photographed(shrunk(normal, size), rng, view)

    def _photographed(
        self, normal: np.ndarray, rng: np.random.Generator, view: View | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the camera, which sees colours, makes of (H, W, 3), and this; both grey where they are to be."""
        low, normal = darken(normal, self._camera, rng, view)
        return (grey(low), grey(normal)) if self._channels == 1 else (low, normal)


class Part:
    """The pairs of a source at `indices`."""

    def __init__(self, source: PairSource, indices: list[int]) -> None:
        self.names = [source.names[index] for index in indices]
        self.sizes = [source.sizes[index] for index in indices]
        self.skipped = source.skipped
        self._source = source
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def scene_hash(self, index: int) -> np.ndarray:
        return self._source.scene_hash(self._indices[index])

    def whole(self, index: int) -> tuple[Tensor, Tensor]:
        return self._source.whole(self._indices[index])

    def crop(self, index: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return self._source.crop(self._indices[index], size, rng)


def spread(source: PairSource, count: int) -> Part:
    """`count` pairs of a source, evenly spread over it; all of them where it has no more."""
    return Part(source, evenly(len(source), count))


def evenly(length: int, count: int) -> list[int]:
    """`count` of the indices below `length`, evenly spread, as 0, 2, 5, 7 of 10; all where there are no more."""
    count = min(count, length)
    return [number * length // count for number in range(count)]


def random_crop(images: Sequence[np.ndarray], size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The same square of each image, mirrored or not and turned by a random number of quarter turns: views of
    (size, size, C), of images of (H, W, C), all of one size, which are at least as large."""
    height, width = images[0].shape[:2]
    top, left = rng.integers(height - size + 1), rng.integers(width - size + 1)
    step = 1 - 2 * int(rng.integers(2))
    turns = int(rng.integers(4))
    return [np.rot90(image[top : top + size, left : left + size][:, ::step], turns) for image in images]
