"""Norms compared over what a sweep varied: means over seeds, their differences, and tables of both."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t

from enhance.errors import DataError
from enhance.studies.runs import Run


@dataclass(frozen=True)
class Mean:
    """Mean over seeds."""

    value: float
    deviation: float  # standard deviation between seeds; nan with one
    seeds: int

    @property
    def half_width(self) -> float:
        """Of the 95 % interval by Student's t; nan with one seed."""
        return float(t.ppf(0.975, self.seeds - 1)) * self.deviation / math.sqrt(self.seeds)

    def told(self, digits: int) -> str:
        interval = "" if math.isnan(self.half_width) else f" ± {self.half_width:.{digits}f}"
        return f"{self.value:.{digits}f}{interval}"


Curve = dict[str, Mean]  # by the values of a setting

STATISTICS = {  # of a batch norm's score, by where its statistics come from
    "psnr_running": "running statistics",
    "psnr_crops": "recalibrated on crops",
    "psnr": "recalibrated on whole images",
    "psnr_own": "each image's own",
}


def mean_of(values: list[float]) -> Mean:
    """Raises `statistics.StatisticsError` without values."""
    count = len(values)
    return Mean(fmean(values), stdev(values) if count > 1 else math.nan, count)


def check_key(runs: Iterable[Run], key: str) -> None:
    """Raises `DataError` unless every run has the setting; names those that differ between the runs."""
    if not all(key in run.settings for run in runs):
        others = sorted({each for run in runs for each in run.settings} - {"norm", "seed"})
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


def label_of(run: Run, key: str, runs: Iterable[Run]) -> str:
    """What a run's curve against `key` is called: the norm, and every setting that differs but for the seed."""
    same_batch = len({each.settings["batch_size"] for each in runs}) == 1
    named = {"norm", "seed", key} | ({"batch_size"} if same_batch else set())
    return " ".join([run.norm, *(f"{name}={run.settings[name]}" for name in sorted(run.settings) if name not in named)])


def curves(runs: list[Run], score: str, key: str) -> dict[str, Curve]:
    """The mean over seeds of a score against a setting, for each norm and whatever else differs."""
    values: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        if score in run.scores:
            sizes = values.setdefault(label_of(run, key, runs), {})
            sizes.setdefault(run.settings[key], []).append(run.scores[score])
    return {
        label: {value: mean_of(values[label][value]) for value in ordered(values[label])} for label in sorted(values)
    }


def differences(runs: list[Run], reference: str, key: str, score: str = "psnr") -> dict[str, Curve]:
    """A score minus that of the curve `reference`, or where no curve is called so, of the runs with that norm which
    differ in nothing else. Runs are paired by their seeds, which share the order of the images and the crops."""

    def but_norm(run: Run) -> frozenset[tuple[str, str]]:
        return frozenset((name, value) for name, value in run.settings.items() if name != "norm")

    runs = [run for run in runs if score in run.scores]
    names = [label_of(run, key, runs) for run in runs]
    halves: list[object] = [(run.settings[key], run.seed) for run in runs]
    if reference not in names:
        names, halves = [run.norm for run in runs], [but_norm(run) for run in runs]
    named = list(zip(runs, names, halves, strict=True))
    base = {half: run.scores[score] for run, name, half in named if name == reference}
    paired = [
        Run(run.settings, {"difference": run.scores[score] - base[half]}, [])
        for run, name, half in named
        if name != reference and half in base
    ]
    return curves(paired, "difference", key)


def gap(runs: list[Run], key: str) -> dict[str, Curve]:
    """PSNR of training images minus that of new ones, of the runs where both are known."""
    both = [
        Run(run.settings, {"gap": run.scores["psnr_train"] - run.scores["psnr"]}, [])
        for run in runs
        if "psnr_train" in run.scores
    ]
    return curves(both, "gap", key)


def on_validation(runs: list[Run]) -> list[Run]:
    """The runs with `psnr_validation`, but for those whose `psnr` is of the validation images itself."""
    return [run for run in runs if run.scores.get("psnr_validation", run.scores["psnr"]) != run.scores["psnr"]]


def by_statistics(runs: list[Run], key: str) -> dict[str, dict[str, Curve]]:
    """PSNR of each batch norm by each of the `STATISTICS` that its runs were scored with."""
    scored = [run for run in runs if "psnr_own" in run.scores]
    found: dict[str, dict[str, Curve]] = {}
    for score, name in STATISTICS.items():
        for label, curve in curves(scored, score, key).items():
            found.setdefault(label, {})[name] = curve
    return found


def with_running(runs: list[Run], key: str) -> dict[str, Curve]:
    """PSNR of each norm, and of batch norms by running statistics before it."""
    by_running = curves(runs, "psnr_running", key)
    found: dict[str, Curve] = {}
    for label, curve in curves(runs, "psnr", key).items():
        if label in by_running:
            found[f"{label}, running statistics"] = by_running[label]
            label += ", recalibrated"
        found[label] = curve
    return found


def table(found: dict[str, Curve], key: str, digits: int = 2) -> list[list[str]]:
    """A line for each curve, a column for each value of `key`, after a head."""
    values = ordered(value for curve in found.values() for value in curve)
    head = [f"{'batch' if key == 'batch_size' else key} {value}" for value in values]
    lines = [
        [label, *(curve[value].told(digits) if value in curve else "" for value in values)]
        for label, curve in found.items()
    ]
    return [["norm", *head], *lines]


def markdown(lines: list[list[str]]) -> str:
    rule = ["---", *("---:" for _ in lines[0][1:])]
    return "".join(f"| {' | '.join(line)} |\n" for line in (lines[0], rule, *lines[1:]))
