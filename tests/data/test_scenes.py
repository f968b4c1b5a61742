"""Near-duplicates stay on one side of the split, and the split does not move."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from enhance.data.images import list_images, read_image
from enhance.data.scenes import group_scenes, hold_out, perceptual_hash
from enhance.errors import DataError

LOL = Path(__file__).parents[3] / "shared" / "lol256" / "our485" / "high"


def test_shifted_and_brightened_copies_are_one_scene() -> None:
    photographs = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    views = []
    for photograph in photographs:
        height, width = (96 * size // 100 for size in photograph.shape[:2])
        shift = photograph.shape[1] // 50
        views += [
            photograph[:height, :width],
            photograph[shift : shift + height, shift : shift + width],
            (photograph * 0.7).astype(np.uint8)[:height, :width],
        ]
    scenes = group_scenes([perceptual_hash(view) for view in views])
    assert scenes.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_a_chain_of_similar_hashes_is_one_scene() -> None:
    first = np.zeros(63, bool)
    chain = [first.copy() for _ in range(4)]
    for step, bits in enumerate(chain):
        bits[: 12 * step] = True  # neighbours differ in 12 bits, the ends in 36
    far = ~first
    assert group_scenes([chain[0], far, chain[2], chain[1], chain[3]]).tolist() == [0, 1, 0, 0, 0]
    assert group_scenes([chain[0], chain[2]]).tolist() == [0, 1]


def test_the_split_keeps_scenes_whole_and_ignores_the_order_of_files() -> None:
    rng = np.random.default_rng(0)
    scenes = rng.integers(0, 60, 200)
    names = [f"{number}" for number in range(200)]
    train, validation = hold_out(names, scenes, 0.1)
    assert sorted(train + validation) == list(range(200))
    assert not set(scenes[train]) & set(scenes[validation])
    assert 15 <= len(validation) <= 20
    order = rng.permutation(200)
    _, moved = hold_out([names[index] for index in order], scenes[order], 0.1)
    assert {names[order[index]] for index in moved} == {names[index] for index in validation}


def test_one_scene_is_held_out_where_none_fits_into_the_share() -> None:
    assert hold_out(list("abcde"), np.array([0, 0, 0, 1, 1]), 0.1) == ([0, 1, 2], [3, 4])


@pytest.mark.parametrize(("scenes", "share"), [([0, 0, 0], 0.5), ([0, 1, 2], 0.0), ([0, 1, 2], 1.0)])
def test_a_split_that_would_leave_a_side_empty(scenes: list[int], share: float) -> None:
    with pytest.raises(DataError, match="cannot be split"):
        hold_out(list("abc"), np.array(scenes), share)


@pytest.mark.skipif(not LOL.is_dir(), reason="needs the LOL pairs at 256x256")
def test_repeated_shots_of_lol_are_grouped() -> None:
    names = ["83", "84", "86", "105", "106", "471", "600", "601", "751"]
    known = {path.stem: path for path in list_images(LOL)}
    scenes = group_scenes([perceptual_hash(read_image(known[name])) for name in names])
    assert scenes.tolist() == [0, 0, 0, 1, 1, 2, 3, 3, 4]


def test_unrelated_pictures_are_scenes_of_their_own(scene: Callable[..., np.ndarray]) -> None:
    assert group_scenes([perceptual_hash(scene(seed)) for seed in range(60)]).tolist() == list(range(60))
