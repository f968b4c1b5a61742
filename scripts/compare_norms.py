"""Compare norms: a table (Markdown and CSV) and figures of PSNR against batch size, from the results file of a sweep,
from run folders, or from folders of them. Intervals are over seeds."""

import argparse
from pathlib import Path

from enhance.errors import told_to_the_user
from enhance.studies.runs import read_runs
from enhance.studies.small_batch import markdown, table, write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUNS", help="a runs.csv, a run folder, or a folder of them"
    )
    parser.add_argument("--out", type=Path, default=Path("comparison"), help="folder for table and figures")
    args = parser.parse_args()
    runs = read_runs(args.runs)
    print(markdown(table(runs, "psnr")))
    for file in write(runs, args.out):
        print(f"written: {file}")


if __name__ == "__main__":
    with told_to_the_user():
        main()
