"""The same images side by side: through several runs (input, every output with its PSNR, target), or the photographs of
the same names in several folders, such as before and after.

python scripts/side_by_side.py runs/ONE runs/OTHER --out pictures.jpg
python scripts/side_by_side.py photos/ bright/ --out sheet.jpg --names night.jpg street.jpg
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from enhance.data.images import check_picture, list_images, read_image, shortened, write_picture
from enhance.device import choose_device
from enhance.errors import DataError, SettingsError, exit_on_user_error
from enhance.evaluation import drawing
from enhance.evaluation.choose import check_comparable, choose_pairs
from enhance.evaluation.contact_sheet import differ_most, networks_of, rows_of
from enhance.evaluation.drawing import Cell
from enhance.run import checkpoint

MOST_WIDE = 10000


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "columns", nargs="+", metavar="RUN_OR_FOLDER", help="run folders (their best.pt) or checkpoints; or photographs"
    )
    parser.add_argument("--out", type=Path, required=True, help="the picture, for example pictures.jpg")
    parser.add_argument(
        "--names",
        nargs="+",
        help="images to show (default: of runs, those that differ most between them; else all of the last folder)",
    )
    parser.add_argument("--width", type=int, help="of each image, in pixels (default: 240 of runs, else 400)")
    parser.add_argument("--count", type=int, default=4, help="of runs: how many to show without --names (default: 4)")
    parser.add_argument("--statistics", action="store_true", help="of runs: batch norms by each choice of statistics")
    parser.add_argument("--device", default="auto", help="of runs: auto, cpu, cuda, cuda:N or mps")
    args = parser.parse_args()
    if args.width is not None and not 1 <= args.width <= MOST_WIDE:
        raise SettingsError(f"--width {args.width} is out of range: it is between 1 and {MOST_WIDE}")
    if args.count < 1:
        raise DataError(f"--count {args.count} is too small: at least 1")
    check_picture(args.out)
    return args


def rows_of_runs(args: argparse.Namespace) -> tuple[Iterator[list[Cell]], str]:
    """The rows, and what they are."""
    device = choose_device(args.device)
    files = [checkpoint.locate(run, "") for run in args.columns]
    runs = [checkpoint.load(file).settings for file in files]
    check_comparable(runs)
    networks = [network for file in files for network in networks_of(file, args.statistics, device)]
    choice = choose_pairs(runs[0], None)
    source = choice.source
    if unknown := [name for name in args.names or () if name not in source.names]:
        raise DataError(f"--names {unknown[0]}: no image of this name; the first run's are {source.names[0]} ...")
    if args.names:
        indices = [source.names.index(name) for name in args.names]
    else:
        indices = differ_most(source, networks, args.count)
    content = f"{len(indices)} images, {len(networks)} outputs each, of {choice.split}: {choice.chosen}"
    return rows_of(source, indices, networks), content


def rows_of_photographs(args: argparse.Namespace, folders: list[Path]) -> tuple[Iterator[list[Cell]], str]:
    """The rows, and what they are."""
    names = args.names or [path.name for path in list_images(folders[-1])]
    rows = [[folder / name for folder in folders] for name in names]
    photographs = [file for row in rows for file in row]
    if missing := [str(file) for file in photographs if not file.is_file()]:
        raise DataError(f"no such photograph: {shortened(missing)}")
    home = args.out.absolute().parent
    if args.out.exists() and any(args.out.samefile(file) or home.samefile(file.parent) for file in photographs):
        raise DataError(f"{args.out}: already there, in a folder of the photographs; give another --out")
    cells = ([Cell(read_image(file)) for file in row] for row in rows)
    return cells, f"{len(names)} photographs of {len(folders)} folders"


def main() -> None:
    args = parse_arguments()
    folders = [Path(each) for each in args.columns]
    if any(not each.is_dir() or (each / "checkpoints").is_dir() for each in folders):
        rows, content = rows_of_runs(args)
        picture = drawing.rows(rows, args.width or drawing.CELL)
    else:
        rows, content = rows_of_photographs(args, folders)
        picture = drawing.rows(rows, args.width or 400, margin=0)
    write_picture(args.out, np.asarray(picture))
    print(f"{args.out}: {content}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
