"""Every kind of file becomes the RGB that a viewer shows; damaged files and folders are named."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from enhance.data.images import list_images, read_image, to_tensor, write_image
from enhance.errors import DataError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def write_png_of_16_bits(path: Path, pixels: np.ndarray) -> None:
    """RGB with 16 bits a channel, which Pillow cannot write: uint16 (H, W, 3)."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_grey_of_8_and_16_bits(tmp_path: Path) -> None:
    values = np.array([[0, 60, 128, 255]], dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "8.png")
    Image.fromarray(values.astype(np.uint16) * 257 + np.array([[0, 100, -100, 0]], np.int16).astype(np.uint16)).save(
        tmp_path / "16.png"
    )
    wanted = np.repeat(values[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read_image(tmp_path / "8.png"), wanted)
    np.testing.assert_array_equal(read_image(tmp_path / "16.png"), wanted)


def test_colour_of_16_bits(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 1 << 16, (5, 7, 3), dtype=np.uint16)
    write_png_of_16_bits(tmp_path / "deep.png", pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), (pixels >> 8).astype(np.uint8))


def test_transparency_is_dropped_and_the_colours_stay(tmp_path: Path) -> None:
    rgba = np.array([[[200, 100, 50, 0], [10, 20, 30, 128]]], dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), rgba[..., :3])
    grey = np.array([[[200, 0], [10, 128]]], dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_image(tmp_path / "la.png"), np.repeat(grey[..., :1], 3, axis=2))


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).convert("P")
    image.putpalette([*RED, *GREEN, *BLUE])
    image.save(tmp_path / "palette.png", transparency=b"\x00\xff\x80")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), [[RED, GREEN, BLUE]])


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (40, 120, 200)).convert("CMYK").save(tmp_path / "print.jpg", quality=100)
    assert np.abs(read_image(tmp_path / "print.jpg").astype(int) - (40, 120, 200)).max() <= 3


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 16), BLUE)
    image.paste(RED, (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn a quarter clockwise to show it
    image.save(tmp_path / "upright.jpg", exif=exif, quality=100)
    pixels = read_image(tmp_path / "upright.jpg")
    assert pixels.shape == (32, 16, 3)
    assert pixels[4, 8, 0] > 200  # the left half is now the upper half
    assert pixels[28, 8, 2] > 200


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_and_undecodable_files_are_named(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(DataError, match=f"cut{suffix}: cannot be decoded"):
        read_image(cut)
    text = tmp_path / f"text{suffix}"
    text.write_text("no image")
    with pytest.raises(DataError, match=f"text{suffix}: not an image file"):
        read_image(text)
    with pytest.raises(DataError, match="missing"):
        read_image(tmp_path / f"missing{suffix}")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    write_image(tmp_path / "array.png", pixels)
    write_image(tmp_path / "tensor.png", to_tensor(pixels))
    np.testing.assert_array_equal(read_image(tmp_path / "array.png"), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "tensor.png"), pixels)
    write_image(tmp_path / "bright.png", torch.tensor([-0.5, 0.5 / 255 + 1e-4, 2.0]).view(3, 1, 1))
    assert read_image(tmp_path / "bright.png").tolist() == [[[0, 1, 255]]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["array.png", "bright.png", "tensor.png"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_image(tmp_path / "kept.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(Exception):  # noqa: B017, PT011  any fault will do
        write_image(tmp_path / "kept.png", np.zeros((4, 4, 7), np.uint8))
    with pytest.raises(DataError, match="no format"):
        write_image(tmp_path / "kept.xyz", np.zeros((4, 4, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["kept.png"]
    assert read_image(tmp_path / "kept.png").shape == (4, 4, 3)


def test_an_image_for_which_there_is_no_room_is_not_left_cut_off(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    write_image(tmp_path / "a.jpg", pixels)
    size = (tmp_path / "a.jpg").stat().st_size
    resource = pytest.importorskip("resource", reason="a limit of the size of files is POSIX's")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1000, limits[1]))  # the last buffer does not fit
    try:
        with pytest.raises(OSError, match="too large"):
            write_image(tmp_path / "b.jpg", pixels)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_as_many_pixels_as_a_large_camera_takes_are_no_attack(tmp_path: Path) -> None:
    Image.new("1", (12000, 9000)).save(tmp_path / "a.png")
    code = "import sys; from enhance.data.images import decoding\nwith decoding(sys.argv[1]) as file: print(file.size)"
    command = [sys.executable, "-c", code, tmp_path / "a.png"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("(12000, 9000)\n", "")


def test_list_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"looked for .*\.png.*found nothing"):
        list_images(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"found notes\.txt, sub/"):
        list_images(tmp_path)
    for name in ("b.PNG", "a.jpg", "._a.jpg"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG"]


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"two\nlines.png"])  # Latin-1, where names are UTF-8
def test_names_that_cannot_be_printed_are_named(tmp_path: Path, name: bytes) -> None:
    Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(b"")
    with pytest.raises(DataError, match="cannot be printed; rename it") as caught:
        list_images(tmp_path)
    str(caught.value).encode()
