"""Tables (Markdown and CSV) and figures of many runs: PSNR against batch size, or another setting that was swept, from
the results file of a sweep, from run folders, or from folders of them. Intervals are over seeds."""

import argparse
from pathlib import Path

from enhance.errors import exit_on_user_error
from enhance.evaluation.tables import markdown
from enhance.files import writing
from enhance.studies.comparison import with_running
from enhance.studies.runs import read_runs
from enhance.studies.study_tables import table, write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUNS", help="a runs.csv, a run folder, or a folder of them"
    )
    parser.add_argument("--against", default="batch_size", metavar="KEY", help="setting of columns and x axis")
    parser.add_argument(
        "--reference",
        default="bn",
        metavar="ROW",
        help="row of the table, or norm, to take differences from",
    )
    parser.add_argument("--out", type=Path, default=Path("comparison"), help="folder for tables and figures")
    args = parser.parse_args()
    runs = read_runs(args.runs)
    with writing(args.out, "give another --out"):
        files = write(runs, args.against, args.reference, args.out)
    print(markdown(table(with_running(runs, args.against), args.against)))
    for file in files:
        print(f"written: {file}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
