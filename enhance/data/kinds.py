"""The kinds of image files that are read: those of Pillow; HEIC by pillow-heif and camera raw by rawpy, where they are
installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from enhance.errors import DataError, extra

_PILLOW = tuple(
    ".png .jpg .jpeg .jpe .jfif .bmp .tif .tiff .webp .gif .avif .jp2 .j2k .tga .ppm .pgm .pbm .pnm".split()  # noqa: SIM905
)
_HEIC = (".heic", ".heif", ".hif")
# Pillow takes many of them for a TIFF, of the small picture that they hold besides.
_RAW = tuple(
    ".dng .3fr .arw .cr2 .cr3 .crw .dcr .erf .fff .iiq .k25 .kdc .mef .mos .mrw .nef .nrw "  # noqa: SIM905
    ".orf .pef .raf .rw2 .rwl .sr2 .srf .srw .x3f".split()
)

try:
    from pillow_heif import register_heif_opener

    register_heif_opener()
    _HAS_HEIC = True
except ImportError:
    _HAS_HEIC = False
_HAS_RAW = find_spec("rawpy") is not None  # imported late: it takes a fifth of a second

_PICTURES = _PILLOW + _HEIC * _HAS_HEIC
SUFFIXES = _PICTURES + _RAW * _HAS_RAW
READ = " ".join(_PICTURES) + " and camera raw such as .dng" * _HAS_RAW


def is_raw(path: Path | str) -> bool:
    """Whether a file is a camera's raw one, by its name."""
    return Path(path).suffix.lower() in _RAW


def missing(path: Path | str) -> str | None:
    """How to get what reads such a file, by its name, where that is not installed."""
    suffix = Path(path).suffix.lower()
    if (suffix in _HEIC and not _HAS_HEIC) or (suffix in _RAW and not _HAS_RAW):
        return f"{extra('photos')} for {suffix}"
    return None


def result_suffix(path: Path) -> str:
    """Of what is made of an image: its own, but for camera raw, which holds no picture but what a sensor saw."""
    return ".png" if is_raw(path) else path.suffix


def develop(path: Path | str, stored: BinaryIO | None = None) -> np.ndarray:
    """A camera's raw file as sRGB, uint16 (H, W, 3), turned upright: demosaiced, with the camera's white balance,
    and as bright as it was exposed. Raises `DataError` as `images.read_image`.

    Args:
        stored: the file itself, where it lies within another; `path` then is for messages.
    """
    with _opened(path, stored) as raw:
        gamma = (2.4, 12.92)  # of sRGB
        return raw.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=16, gamma=gamma)


def stored_size(path: Path) -> tuple[int, int]:
    """Width and height by the head of an image file, before it is turned. Raises what reads it."""
    if is_raw(path):
        with _opened(path) as raw:
            return raw.sizes.width, raw.sizes.height
    with Image.open(path) as file:
        return file.size


@contextmanager
def _opened(path: Path | str, stored: BinaryIO | None = None) -> Iterator[Any]:
    if cure := missing(path):
        raise DataError(f"{path}: camera raw cannot be read here; {cure}")
    import rawpy

    try:
        with rawpy.imread(str(path) if stored is None else stored) as raw:
            yield raw
    except (rawpy.LibRawError, ValueError) as error:
        if stored is None and not Path(path).exists():
            raise DataError(f"{path}: no such image file; bring it back, or give another") from error
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else error
        raise DataError(f"{path}: cannot be developed ({reason}); replace or remove it") from error
