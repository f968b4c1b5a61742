"""Image files that are damaged, lie about themselves, or are made to fill the memory: each is read, or refused by name,
on the way into training and into the enhancer, without a crash, a hang, or more memory than an image of its size."""

import os
import random
import signal
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
import torch
from PIL import Image, ImageCms

from enhance.data.images import read_image
from enhance.data.photo import read_photo, write_photo
from enhance.device import peak_memory_gib
from enhance.errors import DataError
from tests.drills.small_run import Outcome
from tests.small_data import draw_scene

_SECONDS = 20  # that one file may take
_GIB = 1.0  # that all files may take at once, on top of what the process has
_CPU = torch.device("cpu")
_SIDE = 50_000  # of a bomb, in pixels


def mutated(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """`tries` files, one after another in a process that is begun anew where it dies."""
    files = write_files(work / "images", tries, rng)
    verdicts = work / "verdicts.txt"
    verdicts.touch()
    crashes = 0
    while len(done := verdicts.read_text().splitlines()) < tries:
        child = os.fork()
        if not child:
            _judge(files[len(done) :], verdicts, work / "out")
        _, status = os.waitpid(child, 0)
        if status and len(verdicts.read_text().splitlines()) < tries:
            crashes += 1
            with verdicts.open("a") as file:
                file.write(f"crash {os.waitstatus_to_exitcode(status)}: {files[len(done)]}\n")
    counts = Counter(line.split()[0] for line in verdicts.read_text().splitlines())
    good = counts["read"] + counts["refused"]
    remark = f"{counts['read']} read, {counts['refused']} refused by name"
    return Outcome("mutated image files", tries, good, tries - good, remark)


def _judge(files: list[Path], verdicts: Path, out: Path) -> None:
    """In the forked process: write a line for each file, and end."""
    out.mkdir(exist_ok=True)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process: no Python code runs while a decoder hangs
    before = peak_memory_gib(_CPU)
    code = 0
    try:
        with verdicts.open("a", buffering=1) as log:
            for path in files:
                signal.alarm(_SECONDS)
                verdict = _read(path, out)
                grown = peak_memory_gib(_CPU) - before
                log.write(f"{verdict if grown < _GIB else f'took {grown:.1f} GiB'} {path}\n")
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        os._exit(code)


def _read(path: Path, out: Path) -> str:
    try:
        pixels = read_image(path)
        photo = read_photo(path)
        assert pixels.dtype == np.uint8
        assert pixels.shape == photo.pixels.shape
        assert pixels.shape[2] == 3
        target = out / f"out{path.suffix}"
        write_photo(target, photo, photo.tensor(), 90)
        read_image(target)
        return "read"
    except DataError as error:
        return "refused" if str(error).startswith(f"{path}: ") else f"unnamed {error}"


def write_files(folder: Path, count: int, rng: random.Random) -> list[Path]:
    """Two bombs, and mutations of whole files of many kinds."""
    folder.mkdir()
    whole = _whole_files()
    bombs = [png_bomb(), whole["a.bmp"][:18] + struct.pack("<ii", _SIDE, _SIDE) + whole["a.bmp"][26:]]
    written = []
    for number in range(count):
        name, content = rng.choice(sorted(whole.items()))
        if number < len(bombs):
            name, content = ("bomb.png", "bomb.bmp")[number], bombs[number]
        else:
            name, content = rng.choice(_MUTATIONS)(name, content, rng)
        path = folder / f"{number}-{name}"
        path.write_bytes(content)
        written.append(path)
    return written


Mutation = Callable[[str, bytes, random.Random], tuple[str, bytes]]


def _flip(name: str, content: bytes, rng: random.Random) -> tuple[str, bytes]:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 3, 30))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return name, bytes(changed)


def _flip_head(name: str, content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Where sizes, EXIF and colour profile stand."""
    end = min(len(content), 700)
    return name, _flip(name, content[:end], rng)[1] + content[end:]


def _cut(name: str, content: bytes, rng: random.Random) -> tuple[str, bytes]:
    return name, content[: rng.randrange(len(content))]


def _blank(name: str, content: bytes, rng: random.Random) -> tuple[str, bytes]:
    start = rng.randrange(len(content))
    length = min(rng.randrange(1, 2000), len(content) - start)
    return name, content[:start] + bytes(length) + content[start + length :]


def _rename(name: str, content: bytes, rng: random.Random) -> tuple[str, bytes]:
    return f"renamed{rng.choice(('.png', '.jpg', '.tif', '.bmp', '.webp'))}", content


def _empty(name: str, content: bytes, rng: random.Random) -> tuple[str, bytes]:
    return name, b""


def _noise(name: str, content: bytes, rng: random.Random) -> tuple[str, bytes]:
    return name, rng.randbytes(len(content))


_MUTATIONS: list[Mutation] = [_flip, _flip, _flip_head, _flip_head, _cut, _blank, _rename, _empty, _noise]


def _whole_files() -> dict[str, bytes]:
    picture = Image.fromarray(draw_scene(0))
    turned = picture.rotate(180)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0132] = 6, "a maker", "2026:01:01 00:00:00"
    about = {"exif": exif.tobytes(), "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    deep = np.asarray(picture).astype(np.uint16) * 257

    def saved(image: Image.Image, kind: str, **more: object) -> bytes:
        file = BytesIO()
        image.save(file, kind, **more)
        return file.getvalue()

    tiff = BytesIO()
    tifffile.imwrite(tiff, deep, photometric="rgb", compression="zlib")
    animation = {"save_all": True, "append_images": [turned], "duration": 100}
    return {
        "a.png": saved(picture, "PNG", **about),
        "alpha.png": saved(picture.convert("RGBA"), "PNG"),
        "palette.png": saved(picture.quantize(16), "PNG"),
        "grey16.png": saved(Image.fromarray(deep[..., 0]), "PNG"),
        "animated.png": saved(picture, "PNG", **animation),
        "a.jpg": saved(picture, "JPEG", **about),
        "progressive.jpg": saved(picture, "JPEG", progressive=True, **about),
        "cmyk.jpg": saved(picture.convert("CMYK"), "JPEG"),
        "a.tif": saved(picture, "TIFF", **about),
        "lzw.tif": saved(picture, "TIFF", compression="tiff_lzw"),
        "deep.tif": tiff.getvalue(),
        "a.webp": saved(picture, "WEBP", **about),
        "animated.webp": saved(picture, "WEBP", **animation),
        "a.bmp": saved(picture, "BMP"),
        "a.ppm": saved(picture, "PPM"),
        "a.gif.png": saved(picture.quantize(16), "GIF", save_all=True, append_images=[turned.quantize(16)]),
    }


def png_bomb() -> bytes:
    """A whole PNG file of 50,000 x 50,000 black pixels, a third of a megabyte."""
    packer, rows = zlib.compressobj(9), bytes(1 + _SIDE // 8)
    packed = b"".join(packer.compress(rows * 100) for _ in range(_SIDE // 100)) + packer.flush()

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", _SIDE, _SIDE, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
