"""The same images through several runs, side by side: input, every output with its PSNR, target.

python scripts/compare_pictures.py runs/ONE runs/OTHER --out pictures.jpg
"""

import argparse
from pathlib import Path

import numpy as np

from enhance.data.output import check_picture, write_picture
from enhance.device import choose_device
from enhance.errors import DataError, told_to_the_user
from enhance.evaluation.choose import choose_pairs
from enhance.evaluation.side_by_side import differ_most, draw, outputs
from enhance.run import checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders (their best.pt) or checkpoint files")
    parser.add_argument("--out", type=Path, required=True, help="the picture, for example pictures.jpg")
    parser.add_argument("--names", nargs="+", help="images to show (default: those that differ most between the runs)")
    parser.add_argument("--count", type=int, default=4, help="how many to show without --names (default: 4)")
    parser.add_argument("--statistics", action="store_true", help="batch norms by each choice of their statistics")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    args = parser.parse_args()
    check_picture(args.out)
    if args.count < 1:
        raise DataError(f"--count {args.count} is too small: at least 1")
    device = choose_device(args.device)
    files = [checkpoint.locate(run, "") for run in args.runs]
    networks = [output for file in files for output in outputs(file, args.statistics, device)]
    source = choose_pairs(checkpoint.load(files[0]).settings, None).source
    if args.names:
        unknown = [name for name in args.names if name not in source.names]
        if unknown:
            raise DataError(f"--names {unknown[0]}: no image of this name; the first run's are {source.names[0]} ...")
        indices = [source.names.index(name) for name in args.names]
    else:
        indices = differ_most(source, networks, args.count, device)
    write_picture(args.out, np.asarray(draw(source, indices, networks, device)))
    print(f"{args.out}: {len(indices)} images, {len(networks)} outputs each")


if __name__ == "__main__":
    with told_to_the_user():
        main()
