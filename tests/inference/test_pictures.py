"""Pictures of every kind that people have come back as what they were."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from enhance.inference import Enhancer
from enhance.inference.pictures import each
from enhance.models.build import build_model
from enhance.run.checkpoint import BEST, Checkpoint, save
from enhance.settings.schema import ModelSettings, NormSettings, Settings
from tests.models.conftest import random_output


def halved(image: Tensor) -> Tensor:
    """Of a picture that is (3, H, W), float32 and in [0, 1]."""
    assert image.shape[0] == 3
    assert image.dtype == torch.float32
    assert 0 <= image.min() <= image.max() <= 1
    return image / 2


LAYOUTS = [(5, 4, 3), (3, 5, 4), (2, 5, 4, 3), (2, 3, 5, 4), (5, 4)]


@pytest.mark.parametrize("shape", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_arrays(shape: tuple[int, ...], dtype: type) -> None:
    white = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    picture = (np.random.default_rng(0).random(shape) * white).astype(dtype)
    expected = picture / 2
    for array in (picture, picture[::-1][::-1], torch.from_numpy(picture)):
        result = each(array, halved)
        assert type(result) is (Tensor if isinstance(array, Tensor) else np.ndarray)
        assert result.dtype == array.dtype
        assert result.shape == shape
        np.testing.assert_allclose(np.asarray(result).astype(float), expected, atol=0.51 if white > 1 else 1e-3)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_pil_images_come_back_upright(mode: str) -> None:
    picture = Image.new("RGB", (6, 4), (200, 100, 50)).convert(mode)
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by a quarter
    picture.info["exif"] = exif.tobytes()
    result = each(picture, halved)
    assert (result.mode, result.size) == ("RGB", (4, 6))
    (low, high), *_ = result.getextrema()
    assert low == high == pytest.approx(picture.convert("RGB").getpixel((0, 0))[0] / 2, abs=1)


@pytest.mark.parametrize(
    ("picture", "error", "told"),
    [
        ("dark.jpg", TypeError, "not str"),
        (np.zeros((4, 4, 3), np.int64), TypeError, "not int64"),
        (np.zeros((4, 4, 3), bool), TypeError, "not bool"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, "alpha"),
        (np.zeros((3,), np.uint8), ValueError, r"\(3,\)"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"\(0, 4, 3\)"),
        (np.full((4, 4, 3), 200.0), ValueError, "divide"),
        (np.full((4, 4, 3), np.nan), ValueError, "in \\[0, 1\\]"),
        (-torch.ones(3, 4, 4), ValueError, "in \\[0, 1\\]"),
    ],
)
def test_what_is_no_picture_is_told(picture: object, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        each(picture, halved)


@pytest.mark.parametrize(
    ("channels", "shapes"),
    [(1, [(5, 6), (5, 6, 1), (1, 5, 6), (2, 5, 6, 1), (2, 1, 5, 6)]), (4, [(5, 6, 4), (4, 5, 6), (2, 5, 6, 4)])],
)
def test_pictures_of_other_channels(channels: int, shapes: list[tuple[int, ...]]) -> None:
    def numbered(image: Tensor) -> Tensor:
        assert image.shape == (channels, 5, 6)
        return image / (1 + torch.arange(channels)).view(-1, 1, 1)

    for shape in shapes:
        picture = np.random.default_rng(0).random(shape)
        result = each(picture, numbered, channels)
        assert (result.shape, result.dtype) == (shape, picture.dtype)
        axis = shape.index(channels) if channels == 4 else 0
        for number in range(channels):
            np.testing.assert_allclose(result.take(number, axis), picture.take(number, axis) / (1 + number), atol=1e-6)

    wrong = np.zeros((5, 6, 3), np.uint8)
    with pytest.raises(ValueError, match=rf"\(5, 6, 3\): it is \(H, W, {channels}\), \({channels}, H, W\)"):
        each(wrong, numbered, channels)
    with pytest.raises(ValueError, match="mode RGBA") if channels == 4 else nullcontext():
        colours = Image.fromarray(wrong + np.uint8((0, 100, 0)))
        assert np.asarray(each(colours, numbered, channels)).tolist() == [[59] * 6] * 5  # 0.587 of 100
    if channels == 4:
        with pytest.raises(ValueError, match=r"\(5, 6\): it is"):
            each(wrong[..., 0], numbered, channels)
        picture = np.random.default_rng(0).integers(0, 256, (5, 6, 4), np.uint8)
        result = each(Image.fromarray(picture), numbered, channels)
        assert result.mode == "RGBA"
        np.testing.assert_allclose(np.asarray(result), picture / (1, 2, 3, 4), atol=0.51)


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("place", ["", BEST])
def test_a_run_is_loaded_by_its_folder_or_file(kind: type, place: str, tmp_path: Path) -> None:
    settings = Settings(model=ModelSettings(width=8, depth=1), norm=NormSettings())
    (tmp_path / BEST).parent.mkdir()
    model = random_output(build_model(settings.model, settings.norm))
    save(Checkpoint(settings, 1, model.state_dict(), {}), tmp_path / BEST)
    enhancer = Enhancer.load(kind(tmp_path / place), "cpu")
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    bright = enhancer.enhance(picture)
    assert (bright.shape, bright.dtype) == (picture.shape, picture.dtype)
    assert not np.array_equal(bright, picture)
    as_tensor = enhancer.enhance(torch.from_numpy(picture).permute(2, 0, 1) / 255)
    np.testing.assert_allclose(as_tensor.permute(1, 2, 0) * 255, bright, atol=0.51)
