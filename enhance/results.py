"""What a sweep leaves for the studies: a results file, CSV with one row for each finished run."""

import csv
import os
from pathlib import Path
from typing import Any

from filelock import FileLock

SCORES_FILE = "scores.json"  # a run's row, in its folder


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a results file; none where there is no file."""
    if not file.is_file():
        return []
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def append_row(file: Path, row: dict[str, Any]) -> None:
    """Add a row; a key that the file has no column for makes one. The file is at every moment whole, and several
    processes may add to it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f".{file.name}.lock")):
        rows: list[dict[str, Any]] = [*read_rows(file), row]
        columns = list(dict.fromkeys(key for each in rows for key in each))
        temporary = file.with_name(f"{file.name}.tmp")
        with temporary.open("w", newline="") as lines:
            writer = csv.DictWriter(lines, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, file)
