"""What training leaves for the studies: a sweep's results file, CSV with one row for each finished run, and metrics."""

import csv
import json
import statistics
from pathlib import Path
from typing import Any

from enhance.files import Lock, replacing

SCORES_FILE = "scores.json"  # a run's row, in its folder


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a results file; none where there is no file."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def append_row(file: Path, row: dict[str, Any]) -> None:
    """Add a row; a key that the file has no column for makes one. The file is at every moment whole, and several
    processes may add to it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with Lock(file.with_name(f".{file.name}.lock")):
        rows: list[dict[str, Any]] = [*read_rows(file), row]
        columns = list(dict.fromkeys(key for each in rows for key in each))
        with replacing(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The lines of a run folder's metrics.jsonl: a step each, and what was measured at it."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def median_speed(metrics: list[dict[str, float]]) -> float:
    """Training images per second. A finished run has measured it: it looks after its last step at the latest."""
    return statistics.median(line["system/images_per_second"] for line in metrics if "system/images_per_second" in line)
