"""Norms compared over what a sweep varied: means over seeds, and their differences.

Runs are a frame as `enhance.studies.runs.read_runs` makes it.
"""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy.stats import t

from enhance.errors import DataError
from enhance.studies.runs import settings_of

# A row for each value of a setting: mean and std over seeds, their count, and half of the 95 % interval of the mean.
Curve: TypeAlias = pd.DataFrame

STATISTICS = {  # of a batch norm's score, by where its statistics come from
    "psnr_running": "running statistics",
    "psnr_crops": "recalibrated on crops",
    "psnr": "recalibrated on whole images",
    "psnr_own": "each image's own",
}
TRAINED_ON = "trained on"  # in the place of another camera's name
_ON_CAMERAS = {"psnr": "", "psnr_own": ", each image's own", "psnr_adapted": ", adapted"}


def check_key(runs: pd.DataFrame, key: str) -> None:
    """Raises `DataError` unless every run has the setting; names those that differ between the runs."""
    settings = settings_of(runs)
    if key not in settings or runs[key].isna().any():
        others = sorted({*settings} - {"norm", "seed"})
        raise DataError(f"--against {key}: not every run has it; what differs between these runs: {', '.join(others)}")


def ordered(values: Iterable[str]) -> list[str]:
    """Each value once: ascending where they are numbers, else in the order given."""
    once = list(dict.fromkeys(values))
    return sorted(once, key=float) if are_numbers(once) else once


def are_numbers(values: Iterable[str]) -> bool:
    """Whether all of them are numbers above 0, as a logarithmic axis needs them."""
    try:
        return all(float(value) > 0 for value in values)
    except ValueError:
        return False


def labels(runs: pd.DataFrame, key: str) -> list[str]:
    """What each run's curve against `key` is called: the norm, and every setting that differs but for the seed."""
    named = {"norm", "seed", key} | ({"batch_size"} if runs["batch_size"].nunique() == 1 else set())
    others = runs[sorted({*settings_of(runs)} - named)].to_dict("records")
    return [
        " ".join([norm, *(f"{name}={value}" for name, value in other.items() if pd.notna(value))])
        for norm, other in zip(runs["norm"], others, strict=True)
    ]


def with_score(runs: pd.DataFrame, score: str) -> pd.DataFrame:
    """The runs that have this score."""
    return runs.dropna(subset=score) if score in runs else runs[:0].assign(**{score: np.nan})


def curves(runs: pd.DataFrame, score: str, key: str) -> dict[str, Curve]:
    """The mean over seeds of a score against a setting, for each norm and whatever else differs between all the runs,
    so that the curves of every score are called alike."""
    if score not in runs:
        return {}
    has, found = runs[score].notna().to_numpy(), {}
    for label, group in runs[has].groupby(np.array(labels(runs, key), object)[has]):
        curve = group.groupby(key, sort=False)[score].agg(["mean", "std", "count"])
        curve["half"] = t.ppf(0.975, curve["count"] - 1) * curve["std"] / np.sqrt(curve["count"])
        found[str(label)] = curve.loc[ordered(curve.index)]
    return found


def differences(runs: pd.DataFrame, reference: str, key: str, score: str = "psnr") -> dict[str, Curve]:
    """A score minus that of the curve `reference`, or where no curve is called so, of the runs with that norm which
    differ in nothing else. Runs are paired by their seeds, which share the order of the images and the crops."""
    runs = with_score(runs, score)
    names, paired_by = labels(runs, key), [key, "seed"]
    if reference not in names:
        names, paired_by = list(runs["norm"]), [name for name in settings_of(runs) if name != "norm"]
    runs = runs.assign(psnr=runs[score])
    is_reference = np.array([name == reference for name in names], bool)
    base = runs.loc[is_reference, [*paired_by, "psnr"]].drop_duplicates(paired_by, keep="last")
    pairs = runs[~is_reference].merge(base, on=paired_by, suffixes=("", "_reference"))
    return curves(pairs.assign(psnr=pairs["psnr"] - pairs["psnr_reference"]), "psnr", key)


def gap(runs: pd.DataFrame, key: str) -> dict[str, Curve]:
    """PSNR of training images minus that of new ones, of the runs where both are known."""
    both = with_score(runs, "psnr_train")
    return curves(both.assign(psnr=both["psnr_train"] - both["psnr"]), "psnr", key)


def on_validation(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with `psnr_validation`, but for those whose `psnr` is of the validation images itself."""
    validated = with_score(runs, "psnr_validation")
    return validated[validated["psnr_validation"] != validated["psnr"]]


def by_statistics(runs: pd.DataFrame, key: str) -> dict[str, dict[str, Curve]]:
    """PSNR of each batch norm by each of the `STATISTICS` that its runs were scored with."""
    scored = with_score(runs, "psnr_own")
    panels: dict[str, dict[str, Curve]] = {}
    for score, name in STATISTICS.items():
        for label, curve in curves(scored, score, key).items():
            panels.setdefault(label, {})[name] = curve
    return panels


def with_running(runs: pd.DataFrame, key: str) -> dict[str, Curve]:
    """PSNR of each norm, and of batch norms by running statistics before it."""
    by_running, both = curves(runs, "psnr_running", key), {}
    for label, curve in curves(runs, "psnr", key).items():
        if label in by_running:
            both[f"{label}, running statistics"] = by_running[label]
            label += ", recalibrated"
        both[label] = curve
    return both


def on_cameras(runs: pd.DataFrame) -> pd.DataFrame:
    """The PSNR on the photographs of each camera, adapted (AdaBN) or not: a row for each camera, named by the setting
    `camera`, and for each choice of statistics of a batch norm, named behind the norm; none without other cameras."""
    runs = runs[runs.filter(regex="^psnr.*_on_").notna().any(axis=1)]
    rows = [
        runs[settings_of(runs)].assign(norm=runs["norm"] + _ON_CAMERAS[score], camera=camera or TRAINED_ON, psnr=values)
        for column, values in runs.items()
        for score, _, camera in [column.partition("_on_")]
        if score in _ON_CAMERAS
    ]
    return with_score(pd.concat(rows), "psnr")
