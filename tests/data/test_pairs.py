"""Crops of a pair are aligned; whole images through the camera are fixed, crops are not."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from enhance.data.cache import OpenedImage
from enhance.data.pairs import CameraPairs, RealPairs, random_crop
from enhance.settings.schema import CameraSettings

Scene = Callable[..., np.ndarray]


def opened(pixels: np.ndarray) -> OpenedImage:
    return OpenedImage("a.png", pixels.shape[:2], pixels)


def test_low_and_normal_are_cropped_flipped_and_turned_alike(scene: Scene) -> None:
    pixels = scene(0)
    source = RealPairs(["a"], [opened(pixels)], [opened(255 - pixels)])
    rng = np.random.default_rng(0)
    for _ in range(30):
        low, normal = source.crop(0, 17, rng)
        assert low.shape == (17, 17, 3)
        np.testing.assert_array_equal(low, 255 - normal)


def test_crops_reach_every_corner_and_all_eight_symmetries() -> None:
    image = np.arange(9, dtype=np.uint8).reshape(3, 3, 1)
    rng = np.random.default_rng(0)
    seen = {random_crop([image], 2, rng)[0].tobytes() for _ in range(2000)}
    windows = [image[top : top + 2, left : left + 2] for top in range(2) for left in range(2)]
    turned = [np.rot90(view, turns) for window in windows for view in (window, window[:, ::-1]) for turns in range(4)]
    assert seen == {view.tobytes() for view in turned}
    assert len(seen) == 32


def test_whole_images_are_not_touched(scene: Scene) -> None:
    low, normal = RealPairs(["a"], [opened(scene(0))], [opened(scene(1))]).whole(0)
    assert low.dtype == torch.float32
    assert low.shape == (3, 40, 56)
    np.testing.assert_array_equal((normal * 255).round().byte().permute(1, 2, 0).numpy(), scene(1))


def test_the_camera_is_fixed_for_whole_images_and_new_for_every_crop(scene: Scene) -> None:
    images = [opened(scene(0)), opened(scene(0))]
    source = CameraPairs(["a", "b"], images, CameraSettings(seed=3))
    moved = CameraPairs(["b", "a"], images, CameraSettings(seed=3))
    assert torch.equal(source.whole(0)[0], source.whole(0)[0])
    assert torch.equal(source.whole(0)[0], moved.whole(1)[0])
    assert not torch.equal(source.whole(0)[0], source.whole(1)[0])
    assert not torch.equal(source.whole(0)[0], CameraPairs(["a"], images, CameraSettings(seed=4)).whole(0)[0])
    rng = np.random.default_rng(0)
    exposures = {round(float(source.crop(0, 40, rng)[0].mean()), 3) for _ in range(10)}
    assert len(exposures) == 10


def test_a_quiet_camera_keeps_low_and_normal_aligned(scene: Scene) -> None:
    quiet = CameraSettings(0.0, 0.0, 0.0, full_well_electrons=1e9, read_noise_electrons=0.0)
    source = CameraPairs(["a"], [opened(scene(0))], quiet)
    low, normal = source.crop(0, 20, np.random.default_rng(0))
    assert np.abs(low.astype(int) - normal).max() <= 1
    assert normal.std() == pytest.approx(low.std(), rel=0.01)
