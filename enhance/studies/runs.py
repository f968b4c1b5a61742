"""Finished runs as the studies read them: rows of a sweep's results file, or run folders."""

import csv
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import yaml
from scipy.stats import t

from enhance.errors import DataError

_AXES = ("norm", "batch_size", "seed")


@dataclass(frozen=True)
class Run:
    """One finished run."""

    norm: str
    batch_size: int  # images per optimizer step
    seed: int
    setting: str  # what else differs between the runs; those that differ here are not averaged
    scores: dict[str, float]  # such as psnr in dB; the columns of docs/study.md


@dataclass(frozen=True)
class Mean:
    """Mean over seeds."""

    value: float
    half_width: float  # of the 95 % interval by Student's t; nan with one seed
    seeds: int

    def __str__(self) -> str:
        interval = "" if math.isnan(self.half_width) else f" ± {self.half_width:.2f}"
        return f"{self.value:.2f}{interval}"


def read_runs(paths: Iterable[Path]) -> list[Run]:
    """The runs of results files (.csv), of run folders, and of folders of them.

    Raises:
        DataError: a path that is none of these, or holds no finished run.
    """
    runs: list[Run] = []
    folders: list[Path] = []
    for path in paths:
        if path.suffix == ".csv":
            found: list[Any] = _from_csv(path)
            runs += found
        else:
            reports = sorted(path.glob("*/validation/report.json"))
            found = [path] if (path / "config.yaml").is_file() else [report.parents[1] for report in reports]
            folders += found
        if not found:
            raise DataError(f"{path}: no finished run here; give a sweep's runs.csv, run folders, or a folder of them")
    return runs + _from_folders(folders)


def mean_of(values: list[float]) -> Mean:
    """Raises `statistics.StatisticsError` without values."""
    count = len(values)
    half_width = t.ppf(0.975, count - 1) * stdev(values) / math.sqrt(count) if count > 1 else math.nan
    return Mean(fmean(values), float(half_width), count)


def _from_csv(path: Path) -> list[Run]:
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        words = [[word for word in row["run"].split(",") if word.partition("=")[0] not in _AXES] for row in rows]
        shared = set.intersection(*map(set, words)) if words else set()
        settings = [" ".join(word for word in each if word not in shared) for each in words]
        return [_from_row(*both) for both in zip(rows, settings, strict=True)]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a sweep's runs.csv") from error
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: not a results file of a sweep ({error})") from error


def _from_row(row: dict[str, str], setting: str) -> Run:
    scores = {key: float(value) for key, value in row.items() if value and key.startswith(_SCORES)}
    return Run(row["norm"], int(row["batch_size"]), int(row["seed"]), setting, scores)


_SCORES = ("psnr", "ssim", "inference_ms", "kept_mib", "images_per_second")


def _from_folders(folders: list[Path]) -> list[Run]:
    settings = [_flat(yaml.safe_load((folder / "config.yaml").read_text())) for folder in folders]
    keys = sorted({key for each in settings for key in each if key not in _NOT_SETTINGS})
    # A value of None is an option that a norm lacks, or a setting that an older version had not.
    differing = [key for key in keys if len({str(each[key]) for each in settings if each.get(key) is not None}) > 1]
    return [_from_folder(*both, differing) for both in zip(folders, settings, strict=True)]


_NOT_SETTINGS = {"norm.name", "batch_size", "accumulate", "seed", "name", "runs", "threads", "device", "sweep"} | {
    "norm.eps",  # and momentum: each norm has its own
    "norm.momentum",
    "results",
    "resume",
}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _from_folder(folder: Path, settings: dict[str, Any], differing: list[str]) -> Run:
    report = folder / "validation" / "report.json"
    if not report.is_file():
        raise DataError(f"{folder}: this run is not finished; go on with it: python train.py resume={folder}")
    mean = json.loads(report.read_text())["mean"]
    scores = {key: mean[key] for key in ("psnr", "ssim", "psnr_gt_mean")}
    setting = " ".join(f"{key}={settings[key]}" for key in differing if settings.get(key) is not None)
    batch_size = settings["batch_size"] * settings["accumulate"]
    return Run(settings["norm.name"], batch_size, settings["seed"], setting, scores)
