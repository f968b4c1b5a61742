"""Finished runs as the studies read them: rows of a sweep's results file, or run folders."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from enhance.errors import DataError, command_line
from enhance.run.results import SCORES_FILE, median_speed, read_metrics
from enhance.settings.identity import NOT_IDENTITY

_SCORES = ("psnr", "ssim", "inference_ms", "kept_mib", "images_per_second")  # first words of the columns of scores
_CURVE = "validation/psnr"  # of a line of metrics.jsonl
_ALWAYS = ("norm", "batch_size", "seed")
# Keys of config.yaml that are no column: what makes no other result, and what follows from the norm or the images.
_NO_COLUMN = {*NOT_IDENTITY, "norm.name", "norm.eps", "norm.momentum", "accumulate", "data.content"}


def settings_of(runs: pd.DataFrame) -> list[str]:
    """The columns that are settings; all others are scores."""
    return [column for column in runs if not column.startswith(_SCORES)]


def read_runs(paths: Iterable[Path]) -> pd.DataFrame:
    """The runs of results files (.csv), of run folders, and of folders of them: a row for each run.

    Settings are strings: norm, batch_size (images per optimizer step), seed, and what else differs between the runs.
    Scores are numbers, such as psnr in dB: the columns of docs/study.md; of run folders also psnr_at_N, the validation
    PSNR after N training images. What a run lacks is missing.

    Raises:
        DataError: a path that is none of these, or holds no finished run; a run whose files are damaged.
    """
    paths, rows = list(paths), []
    for path in paths:
        new = _from_csv(path) if path.suffix == ".csv" else [_from_folder(folder) for folder in _folders(path)]
        if not new:
            raise DataError(f"{path}: no finished run here; give a sweep's runs.csv, run folders, or a folder of them")
        rows += new
    runs = pd.DataFrame(rows)
    # A setting that a run lacks is an option of another norm, or of a newer version.
    shared = [key for key in settings_of(runs) if key not in _ALWAYS and runs[key].nunique() == 1]
    if any(path.suffix == ".csv" for path in paths):  # which names a setting only where it was swept
        shared = [key for key in shared if runs[key].notna().all()]
    return runs.drop(columns=shared)


def _from_csv(path: Path) -> list[dict[str, Any]]:
    try:
        return [_from_row(row) for row in pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a sweep's runs.csv") from error
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: not a results file of a sweep ({error})") from error


def _from_row(row: dict[str, str]) -> dict[str, Any]:
    swept = dict(override.split("=", 1) for override in row["run"].split(",") if override)
    scores = {key: float(value) for key, value in row.items() if value and key.startswith(_SCORES)}
    return swept | {key: row[key] for key in _ALWAYS} | scores


def _folders(path: Path) -> list[Path]:
    if (path / "config.yaml").is_file():
        return [path]
    return [report.parents[1] for report in sorted(path.glob("*/validation/report.json"))]


def _from_folder(folder: Path) -> dict[str, Any]:
    report = folder / "validation" / "report.json"
    if not report.is_file():
        cure = f"go on with it: {command_line('train')} resume={folder}"
        raise DataError(f"{folder}: this run is not finished; {cure}")
    with _as_written(folder / "config.yaml"):
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        batch_size = config["batch_size"] * config["accumulate"]
        norm = config["norm"]["name"]
    with _as_written(folder / "metrics.jsonl"):
        metrics = read_metrics(folder)
        speed = median_speed(metrics)
        curve = {f"psnr_at_{line['step'] * batch_size}": line[_CURVE] for line in metrics if _CURVE in line}
    if (folder / SCORES_FILE).is_file():  # of a sweep
        with _as_written(folder / SCORES_FILE):
            row = json.loads((folder / SCORES_FILE).read_text(encoding="utf-8"))
            return _from_row({key: str(value) for key, value in row.items()}) | curve
    with _as_written(report):
        mean = json.loads(report.read_text(encoding="utf-8"))["mean"]
        scores = {key: mean[key] for key in ("psnr", "ssim", "psnr_gt_mean")}
    flat = pd.json_normalize(config).iloc[0].dropna()
    settings = {key: str(value) for key, value in flat.items() if key not in _NO_COLUMN}
    return settings | {"norm": norm, "batch_size": str(batch_size)} | scores | {"images_per_second": speed} | curve


@contextmanager
def _as_written(file: Path) -> Iterator[None]:
    """Within, a file of a run that does not hold what training wrote into it is a `DataError` that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise DataError(f"{file}: not what train.py wrote there; leave this run out") from error
