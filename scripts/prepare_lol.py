"""Unpack LOLdataset.zip (LOL v1: 485 training and 15 test pairs), check it, and resize it where asked.

data=lol_v1 data.root=OUT trains on it; where to get the archive stands in data/README.md."""

import argparse
import shutil
import stat
import zlib
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

import numpy as np
from PIL import Image
from tqdm import tqdm

from enhance.data.images import new_folder, read_image, write_image
from enhance.data.matching import match_pairs
from enhance.errors import DataError, exit_on_user_error

COUNTS = {"our485": 485, "eval15": 15}
SIDES = ("low", "high")
LARGEST = 16 * 2**20  # bytes; the images of LOL v1 are 600x400 px


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", metavar="LOLdataset.zip", type=Path, help="or the folder that it was extracted to")
    parser.add_argument("out", metavar="OUT", type=Path, help="a new folder")
    parser.add_argument("--size", type=int, help="resize to SIZE x SIZE, bilinear (default: as they are, 600x400)")
    return parser.parse_args()


def unpack(archive: Path, folder: Path) -> None:
    """Write the archive's pairs into `folder`; raise DataError where it is damaged, unsafe or not LOL v1."""
    try:
        with ZipFile(archive) as file:
            images: dict[tuple[str, str], list[str]] = {(split, side): [] for split in COUNTS for side in SIDES}
            for entry in file.infolist():
                path = PurePosixPath(entry.filename.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(entry.external_attr >> 16):
                    raise DataError(f"{archive}: the entry {entry.filename} leaves the folder; nothing was unpacked")
                if path.parts[-3:-1] in images and path.suffix == ".png" and "__MACOSX" not in path.parts:
                    if entry.file_size > LARGEST:
                        raise DataError(f"{archive}: {entry.filename} is too large for an image of LOL v1, a bomb?")
                    images[path.parts[-3:-1]].append(entry.filename)
            found = {f"{split}/{side}": len(names) for (split, side), names in images.items()}
            check_counts(archive, found)
            for (split, side), names in images.items():
                (folder / split / side).mkdir(parents=True)
                for name in names:
                    (folder / split / side / PurePosixPath(name).name).write_bytes(file.read(name))
    except (BadZipFile, zlib.error, EOFError, RuntimeError, FileNotFoundError, IsADirectoryError) as error:
        raise DataError(f"{archive}: cannot be unpacked ({error}); download it again") from error


def check_counts(source: Path, found: dict[str, int]) -> None:
    """Raise DataError where the numbers of images, by folder, are not those of LOL v1."""
    if any(count != COUNTS[part.partition("/")[0]] for part, count in found.items()):
        raise DataError(f"{source}: not LOL v1: should hold 485 + 485 and 15 + 15 PNG images, holds {found}")


def copy(source: Path, folder: Path) -> None:
    """Copy the pairs of an archive that was extracted by hand; raise DataError where they are not LOL v1."""
    images = {
        f"{split}/{side}": [
            path for place in sorted(source.rglob(f"{split}/{side}"))[:1] for path in sorted(place.glob("*.png"))
        ]
        for split in COUNTS
        for side in SIDES
    }
    found = {part: len(paths) for part, paths in images.items()}
    check_counts(source, found)
    for part, paths in images.items():
        (folder / part).mkdir(parents=True)
        for path in paths:
            shutil.copyfile(path, folder / part / path.name)


def main() -> None:
    arguments = parse_arguments()
    if (size := arguments.size) is not None and size < 16:
        raise DataError(f"--size {size} is too small: at least 16")
    if not arguments.archive.exists():
        raise DataError(f"{arguments.archive}: no such file; data/README.md says where to get it")
    with new_folder(arguments.out) as folder:
        (copy if arguments.archive.is_dir() else unpack)(arguments.archive, folder)
        pairs = [pair for split in COUNTS for pair in match_pairs(*(folder / split / side for side in SIDES))]
        for pair in tqdm(pairs, "checking" if size is None else "resizing", unit="pair", disable=None):
            low, high = read_image(pair.low), read_image(pair.normal)
            if low.shape != high.shape:
                sizes = " and ".join(f"{image.shape[1]}x{image.shape[0]}" for image in (low, high))
                where = pair.low.relative_to(folder)
                raise DataError(f"{arguments.archive}: {where} and its partner differ in size, {sizes}")
            for path, image in ((pair.low, low), (pair.normal, high)):
                if size is not None:
                    write_image(
                        path, np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
                    )
    print(f"{arguments.out}: {len(pairs)} pairs")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
