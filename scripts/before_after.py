"""Put photographs and their enhanced versions side by side in one picture: BEFORE and AFTER hold the same names.

python scripts/enhance_photos.py runs/RUN photos/ bright/
python scripts/before_after.py photos/ bright/ sheet.jpg --names night.jpg street.jpg
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from enhance.data.images import list_images, read_image, shortened
from enhance.data.output import check_picture, write_picture
from enhance.errors import DataError, SettingsError, told_to_the_user

GAP = 8  # pixels of white between pictures
MOST_WIDE = 10000
MOST_PIXELS = 2 * Image.MAX_IMAGE_PIXELS  # of a file that can be read again


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", metavar="BEFORE", type=Path, help="folder of the photographs")
    parser.add_argument("after", metavar="AFTER", type=Path, help="folder of the enhanced ones")
    parser.add_argument("out", metavar="OUT", type=Path, help="the picture, for example sheet.jpg")
    parser.add_argument("--names", nargs="+", help="file names to show (default: all that AFTER holds)")
    parser.add_argument("--width", type=int, default=400, help="of each photograph in the picture, in pixels")
    return parser.parse_args()


def sheet(pairs: list[list[Path]], width: int) -> np.ndarray:
    """A row a pair, its images side by side at one width: uint8 (H, W, 3).

    Raises:
        SettingsError: it would have too many pixels.
    """
    rows = []
    left = MOST_PIXELS
    for pair in pairs:
        pictures = [Image.fromarray(read_image(file)) for file in pair]
        height = max(1, round(width * pictures[0].height / pictures[0].width))
        left -= len(pair) * (width + GAP) * (height + GAP)
        if left < 0:
            raise SettingsError(
                f"--width {width}: {len(pairs)} photographs make a picture of more than {MOST_PIXELS / 1e6:.0f} "
                "megapixels; give a smaller --width, or fewer --names"
            )
        cells = [np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS)) for picture in pictures]
        rows.append(np.hstack([np.pad(cell, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for cell in cells]))
    return np.concatenate(rows)[:-GAP, :-GAP]


def main() -> None:
    arguments = parse_arguments()
    if not 1 <= arguments.width <= MOST_WIDE:
        raise SettingsError(f"--width {arguments.width} is out of range: it is between 1 and {MOST_WIDE}")
    check_picture(arguments.out)
    names = arguments.names or [path.name for path in list_images(arguments.after)]
    pairs = [[arguments.before / name, arguments.after / name] for name in names]
    missing = [str(file) for pair in pairs for file in pair if not file.is_file()]
    if missing:
        raise DataError(f"no such photograph: {shortened(missing)}")
    folder = arguments.out.absolute().parent
    photographs = [file for pair in pairs for file in pair]
    if arguments.out.exists() and any(
        arguments.out.samefile(file) or folder.samefile(file.parent) for file in photographs
    ):
        raise DataError(f"{arguments.out}: already there, in a folder of the photographs; give another OUT")
    write_picture(arguments.out, sheet(pairs, arguments.width))
    print(f"{arguments.out}: {len(names)} photographs, before and after")


if __name__ == "__main__":
    with told_to_the_user():
        main()
