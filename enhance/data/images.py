"""Image files and folders of them: read any kind as RGB, grey or four channels, write whole or not at all, list."""

import errno
import io
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from enhance.data.kinds import READ, SUFFIXES, develop, is_raw, missing
from enhance.errors import DataError, UserError
from enhance.files import replacing, writing

# Pillow refuses from 179 megapixels on, and warns of an attack from half as many on, which cameras reach.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_image(path: Path | str, stored: BinaryIO | None = None, channels: int = 3) -> np.ndarray:
    """Decode an image file as sRGB, turned as its EXIF orientation says.

    Grey becomes three equal channels; an alpha channel is dropped, so that the colours are those that the file
    stores; 16-bit grey and camera raw are rounded to 8 bits, 16-bit colour keeps its high byte (Pillow's own way).

    Args:
        stored: the file itself, where it lies within another; `path` then is for messages.
        channels: 3; of 1, colours become `grey`; 4 are those that the file stores, an alpha channel as the fourth.

    Returns:
        uint8 (H, W, channels).

    Raises:
        DataError: the file is missing, cannot be decoded, is cut off, or has not the four channels that are asked for.
    """
    if is_raw(path):
        check_channels(path, None, channels)
        pixels = np.rint(develop(path, stored) / np.float32(257)).astype(np.uint8)
    else:
        with decoding(path, stored) as file:
            check_channels(path, file, channels)
            image = ImageOps.exif_transpose(file)
            pixels = np.array(image if channels == 4 else to_rgb(image))
    return grey(pixels) if channels == 1 else pixels


def grey(pixels: np.ndarray) -> np.ndarray:
    """uint8 or uint16 (H, W, 3) as (H, W, 1): 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded as Pillow does."""
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).astype(pixels.dtype)[..., None]


def check_channels(path: Path | str, file: Image.Image | None, channels: int) -> None:
    """Raise `DataError` where four channels are asked for, and the file, opened and not yet loaded, has others; None is
    camera raw."""
    if channels != 4:
        return
    mode = "RGB" if file is None else file.mode
    if mode == "RGB" and isinstance(file, TiffImageFile) and file.tag_v2.get(ExifTags.Base.SamplesPerPixel) == 4:
        file._mode = "RGBX"  # it does not say what the fourth channel is, which Pillow would then drop
    elif mode != "RGBA":
        cure = "give PNG, TIFF or WebP files of RGB and alpha, or train with model.channels=3"
        raise DataError(f"{path}: its channels are {mode}, and model.channels=4 takes RGB and a fourth; {cure}")


@contextmanager
def decoding(path: Path | str, stored: BinaryIO | None = None) -> Iterator[Image.Image]:
    """Within, the opened file; what goes wrong with it is a `DataError` that names it."""
    try:
        with Image.open(path if stored is None else stored) as file:
            yield file
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such image file; bring it back, or give another") from error
    except UnidentifiedImageError as error:
        cure = missing(path) or "replace or remove it"
        raise DataError(f"{path}: not an image file that Pillow can decode; {cure}") from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise DataError(f"{path}: more than {most:.0f} megapixels are refused, for safety; make it smaller") from error
    except Exception as error:  # Pillow raises many kinds, for as many kinds of damage
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):  # no fault of the image
            raise UserError(f"{path}: cannot be opened ({error.strerror}): raise the limit (ulimit -n 4096)") from error
        raise DataError(f"{path}: cannot be decoded ({error}); replace or remove it") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode but floating point as 8-bit RGB, as `read_image` says."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range")
    if image.mode.startswith("I"):  # 16-bit grey, which convert() would clip at 255
        image = Image.fromarray(np.rint(np.clip(np.asarray(image), 0, 65535) / 257).astype(np.uint8))
    if image.mode == "P":  # by way of RGBA, which knows every kind of transparency
        image = image.convert("RGBA")
    return image.convert("RGB")


def image_format(path: Path) -> str:
    """Pillow's name of the format that the suffix stands for; a `DataError` where it is none that can be written."""
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None or kind not in Image.SAVE:
        cure = (None if is_raw(path) else missing(path)) or "use for example .png"
        raise DataError(f"{path}: no format to write for the suffix '{path.suffix}'; {cure}")
    return kind


def write_image(path: Path, image: Tensor | np.ndarray) -> None:
    """Write an image, JPEG at quality 95; `path` holds, at every moment, either the old file or the new one, whole.

    Args:
        image: float (3, H, W) in [0, 1], rounded to 8 bits, or uint8 (H, W, 3).

    Raises:
        DataError: the suffix names no format that can be written.
        OSError: the file cannot be written.
    """
    kind = image_format(path)
    picture = Image.fromarray(to_pixels(image) if isinstance(image, Tensor) else image)
    encoded = io.BytesIO()  # Pillow itself would not report a full disk: it leaves a JPEG cut off
    picture.save(encoded, kind, **({"quality": 95} if kind == "JPEG" else {}))
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.getbuffer())


def write_picture(out: Path, picture: np.ndarray) -> None:
    """`write_image` of uint8 (H, W, 3), whose errors are all a `DataError`."""
    try:
        write_image(out, picture)
    except (OSError, ValueError) as error:  # the latter where the format does not hold so large a picture
        size = f"{picture.shape[1]}x{picture.shape[0]} px"
        raise DataError(f"{out}: {size} cannot be written ({error}); give another place, or show less") from error


def check_picture(out: Path) -> None:
    """Raise a `DataError`, before the work for it begins, where no picture can be written to `out`."""
    if out.is_dir():
        raise DataError(f"{out}: a folder, where the picture should go; give the name of a file")
    if not out.absolute().parent.is_dir():
        raise DataError(f"{out}: its folder is not there; make it, or give another place")
    image_format(out)


def to_pixels(image: Tensor) -> np.ndarray:
    """What is `visible` of (C, H, W), clamped to [0, 1], as uint8 (H, W, 3): of three the inverse of `to_tensor`."""
    pixels = (visible(image).detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(pixels)


def to_tensor(image: np.ndarray) -> Tensor:
    """uint8 (H, W, C) as float32 (C, H, W) in [0, 1]."""
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32, order="C")).div_(255)


def visible(image: Tensor) -> Tensor:
    """(..., C, H, W) as red, green and blue: one channel three times, of four the first three."""
    return image[..., :3, :, :].expand(*image.shape[:-3], 3, -1, -1)


def list_images(folder: Path, within: bool = False) -> list[Path]:
    """The image files directly in `folder`, sorted by name; hidden files are skipped, and what else is there is told.
    Raises `DataError` where the folder is missing or holds no image, which says what was looked for and found, or a
    name cannot be printed.

    Args:
        within: where none lies in it directly, those of the folders in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; it should hold images ({READ})")
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    images = sorted(filter(_is_image, files))  # once, for each looks at the disk
    if within and not images:
        below = (path for path in folder.rglob("*") if path.is_file())
        files = [path for path in below if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
        images = sorted(filter(_is_image, files))
    if images and (others := Counter(sorted(map(_kind, set(files).difference(images))))):
        kinds = ", ".join(f"{count} {kind}{'s' * (kind == 'folder' and count > 1)}" for kind, count in others.items())
        tell("; ".join([f"passed over in {folder}, not images that are read: {kinds}", *_cures(files)]))
    if not images:
        cure = "".join(f"; {cure}" for cure in _cures(files))
        raise DataError(f"{folder}: no images here (looked for {READ}; found {contents(folder)}){cure}")
    for path in images:
        if not path.name.isprintable():  # of another encoding, or with a line break: no report could name it
            raise DataError(f"{folder}: the file name {path.name!r} cannot be printed; rename it")
    return images


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _cures(files: list[Path]) -> list[str]:
    """How to get what would read more of the files."""
    return sorted({cure for path in files if (cure := missing(path)) is not None})


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else path.suffix.lower() or "without suffix"


_waiting: list[str] | None = None  # lines that are told later


@cache
def tell(line: str) -> None:
    """Print a line once a process, however often data are opened."""
    if _waiting is None:
        print(line, flush=True)
    else:
        _waiting.append(line)


@contextmanager
def telling_later() -> Iterator[None]:
    """Lines of `tell` come when the block ends, behind what is printed within."""
    global _waiting
    lines = _waiting = []
    try:
        yield
    finally:
        _waiting = None
        for line in lines:
            print(line, flush=True)


def _names(paths: Iterable[Path]) -> list[str]:
    return sorted(path.name + "/" * path.is_dir() for path in paths)


def contents(folder: Path) -> str:
    """What a folder holds, in a few words for a message: its first five names and how many more."""
    return shortened(_names(folder.iterdir())) or "nothing"


def shortened(names: list[str]) -> str:
    """Up to five names for a message, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` when the block ends, and goes away when it raises; a `DataError` where
    `out` is there and not an empty folder, or cannot be written."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: a file, where a new folder should go; give another OUT")
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out}: not empty (found {contents(out)}); give a new folder as OUT")
    with writing(out, "give another OUT", DataError):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
            folder = Path(temporary) / out.name  # the temporary folder itself is private to its owner
            folder.mkdir()
            yield folder
            folder.rename(out)
