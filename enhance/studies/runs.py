"""Finished runs as the studies read them: rows of a sweep's results file, or run folders."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from enhance.errors import DataError
from enhance.run.results import SCORES_FILE, median_speed, read_metrics, read_rows

_SCORES = ("psnr", "ssim", "inference_ms", "kept_mib", "images_per_second")  # first words of the columns read
_ALWAYS = ("norm", "batch_size", "seed")
_NOT_SETTINGS = {  # of config.yaml: what makes no other result, and what follows from the norm
    "norm.name",
    "norm.eps",
    "norm.momentum",
    "accumulate",
    "name",
    "runs",
    "threads",
    "device",
    "sweep",
    "results",
    "resume",
}


@dataclass(frozen=True)
class Run:
    """One finished run."""

    settings: dict[str, str]  # norm, batch_size (images per optimizer step), seed, and what else differs between runs
    scores: dict[str, float]  # such as psnr in dB: the columns of docs/study.md
    curve: list[tuple[int, float]]  # images seen, and validation PSNR in dB; of run folders alone

    @property
    def norm(self) -> str:
        return self.settings["norm"]

    @property
    def seed(self) -> str:
        return self.settings["seed"]


def read_runs(paths: Iterable[Path]) -> list[Run]:
    """The runs of results files (.csv), of run folders, and of folders of them.

    Raises:
        DataError: a path that is none of these, or holds no finished run.
    """
    runs: list[Run] = []
    for path in paths:
        found = _from_csv(path) if path.suffix == ".csv" else [_from_folder(folder) for folder in _folders(path)]
        if not found:
            raise DataError(f"{path}: no finished run here; give a sweep's runs.csv, run folders, or a folder of them")
        runs += found
    keys = {key for run in runs for key in run.settings}
    # A setting that a run lacks is an option of another norm, or of a newer version.
    shared = {key for key in keys if len({run.settings[key] for run in runs if key in run.settings}) == 1}
    if any(path.suffix == ".csv" for path in paths):  # which names a setting only where it was swept
        shared = {key for key in shared if all(key in run.settings for run in runs)}
    return [Run(_without(run.settings, shared - set(_ALWAYS)), run.scores, run.curve) for run in runs]


def _without(settings: dict[str, str], keys: set[str]) -> dict[str, str]:
    return {key: value for key, value in settings.items() if key not in keys}


def _from_csv(path: Path) -> list[Run]:
    try:
        path.open().close()
        return [_from_row(row, []) for row in read_rows(path)]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a sweep's runs.csv") from error
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: not a results file of a sweep ({error})") from error


def _from_row(row: dict[str, str], curve: list[tuple[int, float]]) -> Run:
    swept = dict(word.split("=", 1) for word in row["run"].split(","))
    scores = {key: float(value) for key, value in row.items() if value and key.startswith(_SCORES)}
    return Run(swept | {key: row[key] for key in _ALWAYS}, scores, curve)


def _folders(path: Path) -> list[Path]:
    if (path / "config.yaml").is_file():
        return [path]
    return [report.parents[1] for report in sorted(path.glob("*/validation/report.json"))]


def _from_folder(folder: Path) -> Run:
    report = folder / "validation" / "report.json"
    if not report.is_file():
        raise DataError(f"{folder}: this run is not finished; go on with it: python train.py resume={folder}")
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        batch_size = config["batch_size"] * config["accumulate"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"{folder}/config.yaml: no configuration that train.py wrote; leave this run out") from error
    metrics = read_metrics(folder)
    curve = [(line["step"] * batch_size, line["validation/psnr"]) for line in metrics if "validation/psnr" in line]
    if (folder / SCORES_FILE).is_file():  # of a sweep
        row = {key: str(value) for key, value in json.loads((folder / SCORES_FILE).read_text(encoding="utf-8")).items()}
        return _from_row(row, curve)
    mean = json.loads(report.read_text(encoding="utf-8"))["mean"]
    scores = {key: mean[key] for key in ("psnr", "ssim", "psnr_gt_mean")}
    scores["images_per_second"] = median_speed(metrics)
    settings = {
        key: str(value) for key, value in _flat(config).items() if key not in _NOT_SETTINGS and value is not None
    }
    return Run(settings | {"norm": config["norm"]["name"], "batch_size": str(batch_size)}, scores, curve)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
