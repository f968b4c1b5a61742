"""Scenes: photographs of the same view, recognised by a perceptual hash, so that a split does not divide them.

On the 485 bright images of LOL v1 (at 256x256) the hashes of repeated shots of one view differ in at most 12 of 63
bits, and those of unrelated photographs in at least 14, with some overlap of the two kinds at 14. What stays apart:
one view shifted by more than about 3 % of its width, and rearrangements of the same things.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_array, vstack
from scipy.sparse.csgraph import connected_components

from enhance.errors import DataError

SAME_SCENE = 12  # largest number of differing bits


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """Signs of the lowest spatial frequencies of the grey image at 32x32, around their median.

    The DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), without the
    constant frequency.

    Args:
        image: uint8 (H, W, C); what is grey already, or the first three of four channels.

    Returns:
        bool (63,).
    """
    whole = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image[..., :3])
    grey = whole.convert("L").resize((32, 32), Image.Resampling.BOX)
    frequencies = dctn(np.asarray(grey, dtype=np.float64), norm="ortho")[:8, :8].flatten()[1:]
    return frequencies > np.median(frequencies)


def group_scenes(hashes: Sequence[np.ndarray]) -> np.ndarray:
    """Scene number of each image, int (N,), from 0 by first appearance: images are of one scene when a chain of similar
    hashes, each bool (63,) from `perceptual_hash`, joins them."""
    signs = np.where(np.stack(hashes), np.float32(1), np.float32(-1))
    similar = []
    for start in range(0, len(signs), 1024):  # a part at a time: the whole table of distances may not fit
        differing = (signs.shape[1] - signs[start : start + 1024] @ signs.T) / 2
        similar.append(coo_array(differing <= SAME_SCENE))
    return connected_components(vstack(similar), directed=False)[1]


def hold_out(names: Sequence[str], scenes: np.ndarray, share: float) -> tuple[list[int], list[int]]:
    """Split images into training and validation, whole scenes at a time.

    Scenes are taken for validation in the order of a hash of their first name, while they fit into the share. So the
    split depends on the images and their names alone: it is the same for every seed and every order of the files.

    Args:
        names: of the N images, each its own.
        scenes: int (N,), from `group_scenes`.
        share: part of the images for validation; at least one scene is taken.

    Returns:
        The indices for training and those for validation, each in the order of `names`.

    Raises:
        DataError: the share is 0, or nothing would be left to train on.
    """
    members: dict[int, list[int]] = {}
    for index, scene in enumerate(scenes.tolist()):
        members.setdefault(scene, []).append(index)
    by_name = {min(names[index] for index in scene): scene for scene in members.values()}
    order = [by_name[name] for name in sorted(by_name, key=lambda name: hashlib.sha256(name.encode()).digest())]
    room = round(share * len(names))
    validation: set[int] = set()
    for scene in order:
        if len(validation) + len(scene) <= room:
            validation.update(scene)
    if not validation and share > 0:
        smallest: list[int] = min(order, key=len)
        validation.update(smallest)
    if not validation or len(validation) == len(names):
        images = f"{len(names)} images of {len(members)} scenes"
        raise DataError(f"data.validation_share={share}: {images} cannot be split; try another")
    return [index for index in range(len(names)) if index not in validation], sorted(validation)
