"""What a command writes: folders, whole or not at all, and pictures."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from enhance.data.images import contents, image_format, write_image
from enhance.errors import DataError


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` when the block ends, and goes away when it raises.

    Raises:
        DataError: `out` is there and not an empty folder, or cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: a file, where a new folder should go; give another OUT")
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out}: not empty (found {contents(out)}); give a new folder as OUT")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
            folder = Path(temporary) / out.name  # the temporary folder itself is private to its owner
            folder.mkdir()
            yield folder
            folder.rename(out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error})") from error


def write_picture(out: Path, picture: np.ndarray) -> None:
    """Write uint8 (H, W, 3).

    Raises:
        DataError: `out` cannot be written, or its format does not hold so large a picture.
    """
    try:
        write_image(out, picture)
    except (OSError, ValueError) as error:
        size = f"{picture.shape[1]}x{picture.shape[0]} px"
        raise DataError(f"{out}: {size} cannot be written ({error}); give another place, or show less") from error


def check_picture(out: Path) -> None:
    """Before the work for it begins: a picture can be written to `out`.

    Raises:
        DataError: its folder is not there, or its suffix names no format.
    """
    if out.is_dir():
        raise DataError(f"{out}: a folder, where the picture should go; give the name of a file")
    if not out.absolute().parent.is_dir():
        raise DataError(f"{out}: its folder is not there; make it, or give another place")
    image_format(out)
