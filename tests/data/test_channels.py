"""Images of one and of four channels: what is read of files, kept, cut, dimmed and written."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from enhance.data.cache import OpenedImage, open_images
from enhance.data.images import grey, read_image, to_pixels, to_tensor
from enhance.data.open import open_data
from enhance.data.pairs import CameraPairs
from enhance.data.photo import read_photo, write_photo
from enhance.data.scenes import perceptual_hash
from enhance.errors import DataError
from enhance.settings.schema import CameraSettings, DataSettings

Scene = Callable[..., np.ndarray]


def four(seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    """Noise whose fourth channel is 0 in half of the places: what alpha would make invisible."""
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (20, 30, 4), dtype, endpoint=True)
    pixels[:10, :, 3] = 0
    return pixels


def test_grey_is_pillows_luma_and_leaves_grey_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    np.testing.assert_array_equal(grey(pixels)[..., 0], np.asarray(Image.fromarray(pixels).convert("L")))
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    np.testing.assert_array_equal(grey(deep.repeat(3, 2)), deep)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "unsaid.tif"])
def test_four_channels_are_those_of_the_file(tmp_path: Path, name: str) -> None:
    pixels = four()
    if name == "unsaid.tif":  # what the fourth channel is
        tifffile.imwrite(tmp_path / name, pixels, photometric="rgb", extrasamples=["unspecified"])
    else:
        lossless = {"lossless": True, "exact": True} if name == "a.webp" else {}
        Image.fromarray(pixels).save(tmp_path / name, **lossless)
    np.testing.assert_array_equal(read_image(tmp_path / name, channels=4), pixels)
    np.testing.assert_array_equal(read_photo(tmp_path / name, 4).pixels, pixels)
    np.testing.assert_array_equal(read_image(tmp_path / name), pixels[..., :3])
    np.testing.assert_array_equal(read_image(tmp_path / name, channels=1), grey(pixels[..., :3]))


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P", "CMYK", "I;16"])
def test_other_modes_have_not_four(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tif"
    Image.new(mode, (20, 16)).save(path)
    for read in (read_image, read_photo):
        with pytest.raises(DataError, match=f"^{path}: its channels are {mode}, .*; give PNG, TIFF or WebP"):
            read(path, channels=4)
    with pytest.raises(DataError, match=r"a\.dng: its channels are RGB"):
        read_image(tmp_path / "a.dng", channels=4)
    assert read_image(path).shape == (16, 20, 3)


@pytest.mark.parametrize(("suffix", "dtype"), [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint16)])
def test_a_photograph_of_four_is_written_as_it_was_read(tmp_path: Path, suffix: str, dtype: type) -> None:
    pixels = four(dtype=dtype)
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    write_photo(source, read_photo(tmp_path / "a.tif", 4), to_tensor(pixels) * (255 / np.iinfo(dtype).max), 95)
    photo = read_photo(source, 4)
    np.testing.assert_array_equal(photo.pixels, pixels)
    write_photo(target, photo, photo.tensor(), 95)
    np.testing.assert_array_equal(read_photo(target, 4).pixels, pixels)


def test_of_four_only_what_holds_them_is_written(tmp_path: Path) -> None:
    """WebP would replace colours where the fourth channel is 0."""
    Image.fromarray(np.where(np.arange(4) < 3, 200, four()).astype(np.uint8)).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png", 4)
    write_photo(tmp_path / "b.webp", photo, photo.tensor(), 95)
    np.testing.assert_allclose(read_image(tmp_path / "b.webp", channels=4), photo.pixels, atol=3)
    for name in ("b.jpg", "b.gif"):
        with pytest.raises(DataError, match=r"does not keep four channels .*\.png, \.tif or \.webp"):
            write_photo(tmp_path / name, photo, photo.tensor(), 95)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_colours_become_a_grey_file(tmp_path: Path, suffix: str) -> None:
    """Without their profile; alpha stays where a format keeps it beside grey."""
    pixels = four()
    pixels[:, :16, :3], pixels[:, 16:, :3] = (10, 80, 30), (200, 40, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=b"of RGB")
    photo = read_photo(tmp_path / "a.png", 1)
    assert photo.tensor().shape == (1, 20, 30)
    write_photo(tmp_path / f"b{suffix}", photo, photo.tensor(), 95)
    with Image.open(tmp_path / f"b{suffix}") as file:
        assert file.mode == {".png": "LA", ".jpg": "L", ".tif": "LA", ".webp": "RGBA"}[suffix]
        assert "icc_profile" not in file.info
        if suffix != ".webp":
            wanted = np.asarray(Image.fromarray(pixels[..., :3]).convert("L"), int)
            np.testing.assert_allclose(np.asarray(file.convert("L")), wanted, atol=3 if suffix == ".jpg" else 0)


def test_a_cache_keeps_what_is_read_in_other_ways_apart(tmp_path: Path) -> None:
    Image.fromarray(four()).save(tmp_path / "a.png")
    for _ in range(2):  # decoded, and from the folder
        for channels in (1, 3, 4):
            paths, folder = [tmp_path / "a.png"], str(tmp_path / "cache")
            (image,) = open_images(paths, 0, folder, channels=channels).values()
            assert image.mapped is not None
            wanted = read_image(tmp_path / "a.png", channels=channels)
            np.testing.assert_array_equal(image.pixels(), wanted)
    Path(image.mapped[0]).unlink()
    np.testing.assert_array_equal(image.pixels(), wanted)
    (image,) = open_images(paths, 0, channels=4).values()  # no room in memory
    np.testing.assert_array_equal(image.pixels(), wanted)


def test_pairs_are_split_alike_and_a_smaller_side_keeps_what_alpha_would_hide(tmp_path: Path, scene: Scene) -> None:
    for side in ("low", "high"):
        (tmp_path / side).mkdir()
    for seed in range(8):
        pixels = np.concatenate((scene(seed), four(seed)[:1, :1].repeat(40, 0).repeat(56, 1)), 2)[..., [0, 1, 2, 6]]
        pixels[..., 3] = 0
        Image.fromarray(pixels).save(tmp_path / "high" / f"{seed}.png")
        Image.fromarray(pixels // 2).resize((28, 20), Image.Resampling.NEAREST).save(tmp_path / "low" / f"{seed}.png")
    data = DataSettings(name="pairs", root=str(tmp_path), resize="low", validation_share=0.25)
    opened = {channels: open_data(data, channels) for channels in (1, 3, 4)}
    for channels, each in opened.items():
        assert each.validation.names == opened[3].validation.names
        low, normal = each.training.whole(0)
        assert low.shape == normal.shape == (channels, 40, 56)
    low, of_three = (opened[channels].training.whole(0)[0] for channels in (4, 3))
    np.testing.assert_array_equal(low[:3], of_three)
    assert not low[3].any()


def test_the_camera_sees_colours_and_the_pair_is_grey(scene: Scene) -> None:
    image = OpenedImage("a.png", (40, 56), scene(0))
    colours, greys = (CameraPairs(["a"], [image], CameraSettings(), (), channels) for channels in (3, 1))
    for low_or_normal, wanted in zip(greys.whole(0), colours.whole(0), strict=True):
        np.testing.assert_array_equal(to_pixels(low_or_normal)[..., 0], Image.fromarray(to_pixels(wanted)).convert("L"))
    crops = [pairs.crop(0, 20, np.random.default_rng(0)) for pairs in (greys, colours)]
    assert [crop.shape for crop in crops[0]] == [(20, 20, 1)] * 2
    np.testing.assert_array_equal(crops[0][0], grey(crops[1][0]))
    assert greys.through(CameraSettings(seed=1)).whole(0)[0].shape[0] == 1


def test_a_scene_is_one_in_any_channels() -> None:
    pixels = four()
    wanted = perceptual_hash(pixels[..., :3])
    np.testing.assert_array_equal(perceptual_hash(pixels), wanted)
    np.testing.assert_array_equal(perceptual_hash(grey(pixels)), wanted)


def test_archives_are_read_in_as_many_channels(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        for seed in range(8):
            for side, pixels in (("low", four(seed) // 2), ("normal", four(seed))):
                path = tmp_path / "a.png"
                Image.fromarray(pixels).save(path)
                tar.add(path, f"{seed}.{side}.png")
    data = DataSettings(name="shards", root=str(tmp_path), validation_share=0.25)
    for channels in (1, 4):
        training = open_data(data, channels).training
        wanted = four(int(training.names[0]))
        _, normal = training.whole(0)
        np.testing.assert_array_equal(normal, to_tensor(wanted if channels == 4 else grey(wanted[..., :3])))


def test_pictures_show_the_first_three_of_four_and_grey_as_grey() -> None:
    pixels = four()
    np.testing.assert_array_equal(to_pixels(to_tensor(pixels)), pixels[..., :3])
    np.testing.assert_array_equal(to_pixels(to_tensor(pixels[..., 3:])), pixels[..., [3, 3, 3]])
