"""Every kind of image file that people have is read alike, in folders too; camera raw is developed, not its preview."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from enhance.data import kinds
from enhance.data.images import list_images, read_image
from enhance.data.open import open_data
from enhance.data.photo import read_photo, write_photo
from enhance.errors import DataError
from enhance.inference.photos import pair_with_targets
from enhance.settings.schema import DataSettings

FORMATS = {"jfif": "JPEG", "jpe": "JPEG", "jp2": "JPEG2000", "avif": "AVIF", "gif": "GIF", "ppm": "PPM", "tga": "TGA"}

XYZ_TO_RGB = (32406, -15372, -4986, -9689, 18758, 415, 557, -2040, 10570)  # by 10000: linear sRGB, IEC 61966-2-1


def smooth() -> np.ndarray:
    """A picture that lossy kinds keep, uint8 (40, 56, 3)."""
    y, x = np.mgrid[:40, :56]
    return np.stack((x * 4, y * 6, 255 - x * 4), 2).astype(np.uint8)


def write_raw(path: Path, value: int, about_it: bool = True) -> None:
    """A DNG of 64x96 px (Adobe, "Digital Negative Specification", 1.4): a grey card in a light of which the sensor sees
    half as much red as green, below a small preview that is blue all over. Without `about_it` the file says no camera,
    no colours and no white balance."""
    sensor = np.full((64, 96), value, np.uint16)
    sensor[::2, ::2] //= 2  # red
    preview = np.full((24, 32, 3), (0, 0, 255), np.uint8)
    about = [  # tag, type, count, value
        (50706, 1, 4, bytes((1, 4, 0, 0)), True),  # DNGVersion
        (50708, 2, 0, "a camera", True),  # UniqueCameraModel
        (50721, 10, 9, [each for value in XYZ_TO_RGB for each in (value, 10000)], True),  # ColorMatrix1
        (50728, 5, 3, (1, 2, 1, 1, 1, 1), True),  # AsShotNeutral
        (50778, 3, 1, 21, True),  # CalibrationIlluminant1: D65
    ]  # fmt: skip
    mosaic = [
        (33421, 3, 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, 1, 4, bytes((0, 1, 1, 2)), True),  # CFAPattern: red, green; green, blue
        (50714, 3, 1, 0, True),  # BlackLevel
        (50717, 3, 1, 65535, True),  # WhiteLevel
    ]
    with tifffile.TiffWriter(path) as file:
        file.write(preview, photometric="rgb", subifds=1, subfiletype=1, extratags=about * about_it, metadata=None)
        file.write(sensor, photometric="cfa", subfiletype=0, extratags=mosaic, metadata=None)


@pytest.mark.parametrize("suffix", FORMATS)
def test_pillows_kinds_are_read_in_folders_too(tmp_path: Path, suffix: str) -> None:
    scene = smooth()
    for name in ("a", "b", "c"):
        Image.fromarray(scene).save(tmp_path / f"{name}.{suffix.upper()}", FORMATS[suffix])
    assert len(list_images(tmp_path)) == 3
    opened = open_data(DataSettings(name="photos", root=str(tmp_path))).whole
    assert opened is not None
    assert np.abs(opened.whole(0)[1].permute(1, 2, 0).numpy() * 255 - scene).mean() < 8  # GIF has 256 colours


def test_grey_pgm_is_read(tmp_path: Path) -> None:
    Image.fromarray(smooth()[..., 0]).save(tmp_path / "a.pgm")
    assert np.array_equal(read_image(list_images(tmp_path)[0])[..., 2], smooth()[..., 0])


def test_heic_is_read_and_written(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # a telephone held upright
    Image.fromarray(smooth()).save(tmp_path / "IMG_1.HEIC", quality=95, exif=exif.tobytes())
    (path,) = list_images(tmp_path)
    photo = read_photo(path)
    for pixels in (photo.pixels, read_image(path)):
        assert np.abs(pixels.astype(int) - np.rot90(smooth(), -1)).mean() < 4
    ((_, target),) = pair_with_targets(tmp_path, tmp_path / "out", overwrite=False)
    write_photo(target, photo, photo.tensor(), 95)
    assert np.abs(read_image(target).astype(int) - photo.pixels).mean() < 4


def test_raw_is_developed_with_the_cameras_white_balance_and_16_bits(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    write_raw(tmp_path / "shot.dng", 6554)  # a tenth of white
    with Image.open(tmp_path / "shot.dng") as preview:
        assert preview.size == (32, 24)
    (path,) = list_images(tmp_path)
    photo = read_photo(path)
    assert (photo.pixels.dtype, photo.pixels.shape) == (np.uint16, (64, 96, 3))
    encoded = 1.055 * 0.1 ** (1 / 2.4) - 0.055  # sRGB, IEC 61966-2-1
    assert np.abs(photo.pixels[8:-8, 8:-8] / 65535 - encoded).max() < 0.01
    assert np.abs(read_image(path)[8:-8, 8:-8] / 255 - encoded).max() < 0.01
    ((_, target),) = pair_with_targets(tmp_path, tmp_path / "out", overwrite=False)
    write_photo(target, photo, photo.tensor(), 95)
    assert (target.name, read_photo(target).pixels.dtype) == ("shot.png", np.uint16)


def test_raw_that_says_nothing_of_its_camera_is_developed(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    write_raw(tmp_path / "shot.dng", 6554, about_it=False)
    photo = read_photo(tmp_path / "shot.dng")
    assert (photo.pixels.dtype, photo.pixels.shape, photo.exif) == (np.uint16, (64, 96, 3), b"")
    assert np.ptp(photo.pixels[8:-8, 8:-8].reshape(-1, 3).mean(0)) < 300  # grey, and not the preview's blue


def test_raw_trains_and_counts_by_its_own_size(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    for name in ("a", "b"):
        write_raw(tmp_path / f"{name}.DNG", 6554)
    whole = open_data(DataSettings(name="photos", root=str(tmp_path))).whole
    assert whole is not None
    assert whole.sizes == [(64, 96)] * 2
    assert kinds.stored_size(tmp_path / "a.DNG") == (96, 64)


def test_results_of_raw_take_no_others_place(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    write_raw(tmp_path / "a.dng", 6554)
    Image.fromarray(smooth()).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.dng and a\.png would both become"):
        pair_with_targets(tmp_path, tmp_path / "out", overwrite=False)
    with pytest.raises(DataError, match=r"no format to write for the suffix '\.dng'"):
        pair_with_targets(tmp_path / "a.dng", tmp_path / "out.dng", overwrite=False)


def test_damaged_raw_is_named(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    for name in ("cut.dng", "gone.dng"):
        write_raw(tmp_path / name, 6554)
    whole = (tmp_path / "cut.dng").read_bytes()
    (tmp_path / "cut.dng").write_bytes(whole[:60])
    (tmp_path / "gone.dng").unlink()
    with pytest.raises(DataError, match=r"cut\.dng: cannot be developed"):
        read_image(tmp_path / "cut.dng")
    with pytest.raises(DataError, match=r"gone\.dng: no such image file"):
        read_image(tmp_path / "gone.dng")


@pytest.mark.parametrize(("suffix", "flag"), [(".heic", "_HAS_HEIC"), (".nef", "_HAS_RAW")])
def test_without_its_package_a_kind_is_passed_over_with_the_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, suffix: str, flag: str
) -> None:
    monkeypatch.setattr(kinds, flag, False)
    monkeypatch.setattr("enhance.data.images.SUFFIXES", (".png",))
    for name in ("a.png", f"b{suffix}", f"c{suffix}"):
        Image.fromarray(smooth()).save(tmp_path / name, "PNG")
    assert [path.name for path in list_images(tmp_path)] == ["a.png"]
    cure = f"pip install -e '.[photos]' for {suffix}"
    assert capsys.readouterr().out.endswith(f"not images that are read: 2 {suffix}; {cure}\n")
    (tmp_path / f"b{suffix}").write_bytes(b"of no kind")
    with pytest.raises(DataError) as refused:
        read_image(tmp_path / f"b{suffix}")
    assert str(refused.value).endswith(cure)
