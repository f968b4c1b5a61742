"""What a photograph's file says besides the colours comes through."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms, ImageOps

from enhance.data.photo import Photo, read_photo, write_photo
from enhance.errors import DataError

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def random(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def copied(source: Path, target: Path, quality: int = 95) -> Photo:
    """Read, written unchanged, and read again."""
    photo = read_photo(source)
    write_photo(target, photo, photo.tensor(), quality)
    return read_photo(target)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_exif_profile_and_resolution_are_kept(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    exif[ExifTags.Base.Orientation] = 6
    source = tmp_path / f"a{suffix}"
    Image.fromarray(random(20, 30, 3)).save(source, exif=exif, icc_profile=PROFILE, dpi=(300, 300))
    copy = copied(source, tmp_path / f"b{suffix}")
    assert copy.pixels.shape == (30, 20, 3)  # turned
    assert copy.profile == PROFILE
    with Image.open(tmp_path / f"b{suffix}") as file:
        assert file.getexif()[ExifTags.Base.Make] == "a camera"
        assert ExifTags.Base.Orientation not in file.getexif() or file.getexif()[ExifTags.Base.Orientation] == 1
        if suffix != ".webp":  # which holds no resolution
            assert file.info["dpi"][0] == pytest.approx(300, abs=0.1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    pixels = random(20, 30, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(pixels).save(tmp_path / "a.tif", exif=exif)
    with Image.open(tmp_path / "a.png") as file:
        expected = np.asarray(ImageOps.exif_transpose(file))
    tag = (ExifTags.Base.Orientation, "H", 1, orientation, True)
    deep = pixels.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb", extratags=[tag])
    for name, most in (("a.png", 1), ("a.tif", 1), ("deep.tif", 257)):
        assert np.array_equal(read_photo(tmp_path / name).pixels // most, expected), name


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bits_are_kept(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = random(21, 30, channels, dtype=np.uint16)
    options = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    make = (ExifTags.Base.Make, "s", 0, "a camera", True)
    place = tmp_path / "a.tif"
    tifffile.imwrite(place, pixels, photometric="rgb", iccprofile=PROFILE, extratags=[make], **options)
    copied(tmp_path / "a.tif", tmp_path / f"b{suffix}")
    copy = copied(tmp_path / f"b{suffix}", tmp_path / f"c{suffix}")
    assert np.array_equal(copy.pixels, pixels[..., :3])
    assert copy.profile == PROFILE
    assert channels == 3 or np.array_equal(copy.alpha, pixels[..., 3])
    with Image.open(tmp_path / f"c{suffix}") as file:  # another reader takes it
        assert file.getexif()[ExifTags.Base.Make] == "a camera"
        assert np.array_equal(np.asarray(file.convert("RGB")), (pixels[..., :3] >> 8).astype(np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_what_camera_and_place_were(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    camera = {ExifTags.Base.DateTimeOriginal: "2020:01:02 03:04:05", ExifTags.Base.ISOSpeedRatings: 6400}
    place = {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSLatitude: (48.0, 12.0, 3.5)}
    exif.get_ifd(ExifTags.Base.ExifOffset).update(camera)
    exif.get_ifd(ExifTags.Base.GPSInfo).update(place)
    Image.fromarray(random(20, 31, 3)).save(tmp_path / "a.png", exif=exif, icc_profile=PROFILE, dpi=(300, 200))
    photo = read_photo(tmp_path / "a.png")
    photo.pixels = random(20, 31, 3, dtype=np.uint16)
    write_photo(tmp_path / f"b{suffix}", photo, photo.tensor(), 95)
    copy = copied(tmp_path / f"b{suffix}", tmp_path / f"c{suffix}")
    assert np.array_equal(copy.pixels, photo.pixels)
    assert copy.profile == PROFILE
    with Image.open(tmp_path / f"c{suffix}") as file:
        assert dict(file.getexif().get_ifd(ExifTags.Base.ExifOffset)) == camera
        assert dict(file.getexif().get_ifd(ExifTags.Base.GPSInfo)) == place
        assert file.info["dpi"] == pytest.approx((300, 200), abs=0.1)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_directory_within_that_of_the_camera_is_kept(tmp_path: Path, suffix: str, dtype: type) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    exif.get_ifd(ExifTags.Base.ExifOffset)[ExifTags.IFD.Interop] = {1: "R98"}
    Image.fromarray(random(20, 31, 3)).save(tmp_path / "a.png", exif=exif.tobytes())
    photo = read_photo(tmp_path / "a.png")
    photo.pixels = random(20, 31, 3, dtype=dtype)
    write_photo(tmp_path / f"b{suffix}", photo, photo.tensor(), 95)
    copied(tmp_path / f"b{suffix}", tmp_path / f"c{suffix}")
    with Image.open(tmp_path / f"c{suffix}") as file:
        assert file.getexif().get_ifd(ExifTags.IFD.Interop) == {1: "R98"}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_a_bigtiff_says_is_kept(tmp_path: Path, suffix: str, dtype: type) -> None:
    make = (ExifTags.Base.Make, "s", 0, "a camera", True)
    pixels = random(20, 31, 3, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", bigtiff=True, extratags=[make])
    copied(tmp_path / "a.tif", tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as file:
        assert file.getexif()[ExifTags.Base.Make] == "a camera"


@pytest.mark.parametrize("compression", ["lzw", "zstd", "deflate", "none"])
def test_sixteen_bits_are_read_however_they_are_packed(tmp_path: Path, compression: str) -> None:
    pixels = random(20, 30, 3, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", compression=compression, predictor=False)
    assert np.array_equal(read_photo(tmp_path / "a.tif").pixels, pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_stays_grey(tmp_path: Path, suffix: str, dtype: type) -> None:
    pixels = random(20, 30, dtype=dtype)
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}")
    copy = copied(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}")
    assert copy.grey
    assert np.array_equal(copy.pixels[..., 0], pixels)
    assert Image.open(tmp_path / f"b{suffix}").mode in ("L", "I;16")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_kept(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(random(20, 30, 4)).convert(mode)
    options = {"transparency": 3} if mode == "P" else {}
    picture.save(tmp_path / "a.png", **options)
    before = read_photo(tmp_path / "a.png")
    after = copied(tmp_path / "a.png", tmp_path / "b.png")
    assert before.alpha is not None
    assert np.array_equal(after.alpha, before.alpha)
    assert np.array_equal(after.pixels, before.pixels)
    assert copied(tmp_path / "a.png", tmp_path / "b.jpg").alpha is None  # JPEG holds none


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".ppm", ".jpg", ".mpo", ".pcx"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_every_format_takes_what_it_can_of_alpha(tmp_path: Path, suffix: str, mode: str) -> None:
    Image.fromarray(random(20, 30, 4)).convert(mode).save(tmp_path / "a.png")
    copy = copied(tmp_path / "a.png", tmp_path / f"b{suffix}", quality=100)
    assert copy.pixels.shape == (20, 30, 3)


def test_what_a_format_does_not_hold_is_told(tmp_path: Path) -> None:
    Image.new("RGB", (17000, 1)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"b\.webp: WEBP does not hold this image"):
        copied(tmp_path / "a.png", tmp_path / "new" / "b.webp")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_file_for_which_there_is_no_room_is_not_left_cut_off(tmp_path: Path, suffix: str, dtype: type) -> None:
    target = tmp_path / f"a{suffix}"
    photo = Photo(random(200, 300, 3, dtype=dtype))
    write_photo(target, photo, photo.tensor(), 95)
    size = target.stat().st_size
    target.write_text("mine")
    resource = pytest.importorskip("resource", reason="a limit of the size of files is POSIX's")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1000, limits[1]))  # the last buffer does not fit
    try:
        with pytest.raises(OSError, match="too large"):
            write_photo(target, photo, photo.tensor(), 95)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.read_text() == "mine"


def test_sixteen_bits_into_a_format_of_eight(tmp_path: Path) -> None:
    pixels = random(20, 30, 4, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    copy = copied(tmp_path / "a.tif", tmp_path / "b.webp", quality=100)
    assert copy.pixels.dtype == np.uint8
    assert copy.alpha is not None


def test_inks_become_colours_without_the_profile_of_inks(tmp_path: Path) -> None:
    Image.fromarray(random(20, 30, 3)).convert("CMYK").save(tmp_path / "a.jpg", icc_profile=PROFILE)
    copy = copied(tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert copy.profile is None
    assert Image.open(tmp_path / "b.jpg").mode == "RGB"


def test_quality_is_the_size_of_the_file(tmp_path: Path) -> None:
    Image.fromarray(random(64, 64, 3)).save(tmp_path / "a.png")
    for quality in (30, 95):
        copied(tmp_path / "a.png", tmp_path / f"{quality}.jpg", quality)
    assert (tmp_path / "30.jpg").stat().st_size < 0.6 * (tmp_path / "95.jpg").stat().st_size


def test_a_cut_file_of_sixteen_bits_is_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random(60, 60, 3, dtype=np.uint16), photometric="rgb")
    copied(tmp_path / "a.tif", tmp_path / "a.png")
    for name in ("a.png", "a.tif"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=rf"{name}: "):
            read_photo(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_of_grey_with_alpha_are_read_back(tmp_path: Path, suffix: str) -> None:
    pixels = random(20, 31, 2, dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    copy = copied(tmp_path / "a.png", tmp_path / f"b{suffix}")
    assert np.array_equal(copy.pixels[..., 0], pixels[..., 0])
    assert copy.alpha is not None
    assert np.array_equal(copy.alpha, pixels[..., 1])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_resolution_that_no_format_holds_is_told(tmp_path: Path, suffix: str) -> None:
    photo = Photo(random(20, 31, 3, dtype=np.uint16), more={"dpi": (float("nan"), float("nan"))})
    with pytest.raises(DataError, match=r"b\.(png|tif): (PNG|TIFF) does not hold this image"):
        write_photo(tmp_path / f"b{suffix}", photo, photo.tensor(), quality=95)
    assert list(tmp_path.iterdir()) == []
