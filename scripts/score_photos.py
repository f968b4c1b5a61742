"""Score photographs that have no reference, by NIQE and BRISQUE: lower is better.

python scripts/score_photos.py PHOTO_OR_FOLDER [PHOTO_OR_FOLDER ...]
"""

import argparse
from pathlib import Path
from statistics import fmean

from enhance.data.images import list_images, read_image, to_tensor
from enhance.errors import DataError, exit_on_user_error
from enhance.evaluation.natural_scenes import NO_REFERENCE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", metavar="PHOTO_OR_FOLDER", nargs="+", type=Path)
    arguments = parser.parse_args()
    sets = [list_images(each) if each.is_dir() else [each] for each in arguments.photos]
    failures = []
    width = max(len(str(path)) for paths in sets for path in paths)
    print(f"{'':{width}}" + "".join(f"{name:>10}" for name in NO_REFERENCE))
    for place, paths in zip(arguments.photos, sets, strict=True):
        rows = []
        for path in paths:
            try:
                image = to_tensor(read_image(path))[None]
            except DataError as error:
                failures.append(str(error))
                continue
            rows.append([score(image) for score in NO_REFERENCE.values()])
            print(line(str(path), rows[-1], width), flush=True)
        if place.is_dir() and rows:
            columns = [[value for value in column if value is not None] for column in zip(*rows, strict=True)]
            print(line(f"mean of {place}", [fmean(column) if column else None for column in columns], width))
    if failures:
        raise DataError("\n".join(failures))


def line(name: str, values: list[float | None], width: int) -> str:
    """`-` where an image is too small or too flat for a score."""
    return f"{name:{width}}" + "".join(f"{'-' if value is None else f'{value:.2f}':>10}" for value in values)


if __name__ == "__main__":
    with exit_on_user_error():
        main()
