"""Figures of a comparison: scores against what a sweep varied, a line or a row of points for each norm."""

from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from enhance.studies import comparison
from enhance.studies.comparison import Curve, curves

_MARKERS = "osD^vP*X<>"
_STYLES = {  # a norm looks the same in every figure of the study
    norm: (f"C{number}", _MARKERS[number])
    for number, norm in enumerate(("bn", "bn_ghost", "brn", "gn", "hin", "in", "ln", "none"))
}
_SPREAD = 0.16  # of the points at one value over the axis, so that their intervals do not hide each other


def draw_all(runs: pd.DataFrame, key: str, folder: Path) -> list[Path]:
    """Write the figures that the runs allow into `folder`; returns the files."""
    short = key.split(".")[-1]
    psnr, on_training = curves(runs, "psnr", key), curves(runs, "psnr_train", key)
    both = {label: {"training images": curve, "new images": psnr[label]} for label, curve in on_training.items()}
    validated = curves(comparison.on_validation(runs), "psnr_validation", key)
    by_camera = curves(comparison.on_cameras(runs), "psnr", "camera")
    figures = {
        f"psnr_against_{short}.png": _against(psnr, key, "PSNR, dB"),
        f"gt_mean_against_{short}.png": _against(curves(runs, "psnr_gt_mean", key), key, "PSNR with GT-mean, dB"),
        f"validation_against_{short}.png": _against(validated, key, "PSNR on the validation images, dB"),
        "split_of_the_loss.png": _panels(comparison.by_statistics(runs, key), key),
        "training_and_new_images.png": _panels(both, key),
        "learning_curves.png": _learning_curves(runs),
        "other_cameras.png": _against(by_camera, "camera", "PSNR, dB"),
    }
    if key == "batch_size":
        memory = "MiB kept for backward in a training step, float32"
        figures["psnr_against_memory.png"] = _against_cost(psnr, curves(runs, "kept_mib", key), memory)
        speed = curves(runs, "images_per_second", key)
        figures["psnr_against_time.png"] = _against_cost(psnr, speed, "training images per second")
    drawn = {folder / name: figure for name, figure in figures.items() if figure is not None}
    for file, figure in drawn.items():
        figure.savefig(file, dpi=130)
    return list(drawn)


def _against(lines: dict[str, Curve], key: str, title: str) -> Figure | None:
    """A score against a setting."""
    if not lines:
        return None
    figure, axes = _single(key, title)
    _draw(axes, lines, key)
    axes.legend(ncols=2, fontsize=8)
    return figure


def _learning_curves(runs: pd.DataFrame) -> Figure | None:
    """Validation PSNR against images seen, the mean over seeds; None without run folders that validated on the way."""
    points = runs.filter(like="psnr_at_").dropna(thresh=2)
    if points.empty:
        return None
    figure, axes = _single("training images seen", "validation PSNR, dB")
    for label, curve in points.groupby(comparison.labels(runs.loc[points.index], "")).mean().iterrows():
        curve = curve.dropna().rename(lambda column: int(column.removeprefix("psnr_at_"))).sort_index()
        axes.plot(curve.index, curve, marker=".", label=label)
    axes.legend(fontsize=8)
    return figure


def _against_cost(scores: dict[str, Curve], costs: dict[str, Curve], title: str) -> Figure | None:
    """A score against what a step costs, a line for each norm through its batch sizes."""
    if not costs:
        return None
    figure, axes = _single(f"{title} (numbers: batch size)", "PSNR, dB")
    for (label, curve), (colour, marker) in zip(costs.items(), _styles(costs), strict=True):
        psnr = scores[label].loc[curve.index, "mean"]
        axes.plot(curve["mean"], psnr, color=colour, marker=marker, label=label)
        for size, *point in zip(curve.index, curve["mean"], psnr, strict=True):
            axes.annotate(size, tuple(point), textcoords="offset points", xytext=(4, 3), fontsize=7)
    axes.set_xscale("log")
    axes.legend(ncols=2, fontsize=8)
    return figure


def _single(x: str, y: str) -> tuple[Figure, Axes]:
    """A figure of one panel, and what its axes are."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes


def _styles(names: Collection[str]) -> list[tuple[str, str]]:
    """Colour and marker of each name: the norm's own where all of them are norms of the study."""
    if _STYLES.keys() >= set(names):
        return [_STYLES[name] for name in names]
    return [(f"C{number}", _MARKERS[number % len(_MARKERS)]) for number in range(len(names))]


def _panels(panels: dict[str, dict[str, Curve]], key: str) -> Figure | None:
    """A panel for each label."""
    if not panels:
        return None
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.4 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, (label, lines) in zip(grid, panels.items(), strict=False):
        _draw(axes, lines, key)
        axes.set_ylabel("PSNR, dB")
        axes.grid(alpha=0.3)
        axes.set_title(label, fontsize=9)
        axes.label_outer()
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    grid[0].legend(fontsize=8)
    return figure


def _draw(axes: Axes, lines: dict[str, Curve], key: str) -> None:
    """Each line with its intervals: over a logarithmic axis where the values are numbers, else points side by side."""
    values = comparison.ordered(value for curve in lines.values() for value in curve.index)
    numeric = comparison.are_numbers(values)
    if numeric:
        axes.set_xscale("log")
        places = {value: float(value) for value in values}
        # A part of the way to the next value, and no more where that is far.
        gap = min([2.0, *(places[b] / places[a] for a, b in pairwise(values))])
    else:
        places = {value: float(number) for number, value in enumerate(values)}
    line = "-" if numeric else ""
    for number, ((label, curve), (colour, marker)) in enumerate(zip(lines.items(), _styles(lines), strict=True)):
        aside = _SPREAD * (2 * number / max(1, len(lines) - 1) - 1)
        x = [places[value] * gap**aside if numeric else places[value] + 2 * aside for value in curve.index]
        style = f"{colour}{marker}{line}"
        axes.errorbar(x, curve["mean"], curve["half"].fillna(0), fmt=style, ms=5, lw=1, capsize=2, label=label)
    axes.set_xticks([places[value] for value in values], values, minor=False)
    axes.minorticks_off()
    axes.set_xlabel("batch size" if key == "batch_size" else key)
