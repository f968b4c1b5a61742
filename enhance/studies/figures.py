"""Figures of a comparison: scores against what a sweep varied, a line or a row of points for each norm."""

from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from enhance.studies.cameras import on_cameras
from enhance.studies.comparison import (
    Curve,
    are_numbers,
    by_statistics,
    curves,
    label_of,
    mean_of,
    on_validation,
    ordered,
)
from enhance.studies.runs import Run

_MARKERS = "osD^vP*X<>"
_STYLES = {  # a norm looks the same in every figure of the study
    norm: (f"C{number}", _MARKERS[number])
    for number, norm in enumerate(("bn", "bn_ghost", "brn", "gn", "hin", "in", "ln", "none"))
}
_SPREAD = 0.16  # of the points at one value over the axis, so that their intervals do not hide each other


def draw_all(runs: list[Run], key: str, folder: Path) -> list[Path]:
    """Write the figures that the runs allow into `folder`; returns the files."""
    short = key.split(".")[-1]
    figures = {
        f"psnr_against_{short}.png": against(runs, key, "psnr", "PSNR, dB"),
        f"gt_mean_against_{short}.png": against(runs, key, "psnr_gt_mean", "PSNR with GT-mean, dB"),
        f"validation_against_{short}.png": against(
            on_validation(runs), key, "psnr_validation", "PSNR on the validation images, dB"
        ),
        "split_of_the_loss.png": split_of_the_loss(runs, key),
        "training_and_new_images.png": training_and_new_images(runs, key),
        "learning_curves.png": learning_curves(runs),
        "other_cameras.png": against(on_cameras(runs), "camera", "psnr", "PSNR, dB"),
    }
    if key == "batch_size":
        figures["psnr_against_memory.png"] = against_cost(
            runs, "kept_mib", "MiB kept for backward in a training step, float32"
        )
        figures["psnr_against_time.png"] = against_cost(runs, "images_per_second", "training images per second")
    drawn = {folder / name: figure for name, figure in figures.items() if figure is not None}
    for file, figure in drawn.items():
        figure.savefig(file, dpi=130)
    return list(drawn)


def against(runs: list[Run], key: str, score: str, title: str) -> Figure | None:
    """A score against a setting; None where no run has it."""
    found = curves(runs, score, key)
    if not found:
        return None
    figure = Figure(figsize=(8, 5), layout="constrained")
    _panel(figure.subplots(), found, key)
    figure.axes[0].set_ylabel(title)
    figure.axes[0].legend(ncols=2, fontsize=8)
    return figure


def split_of_the_loss(runs: list[Run], key: str) -> Figure | None:
    """For each batch norm, its PSNR by each kind of statistics; None without batch norms."""
    return _panels(by_statistics(runs, key), key)


def training_and_new_images(runs: list[Run], key: str) -> Figure | None:
    """For each norm, its PSNR on training images and on new ones; None where only one is known."""
    on_new, on_training = curves(runs, "psnr", key), curves(runs, "psnr_train", key)
    return _panels(
        {label: {"training images": on_training[label], "new images": on_new[label]} for label in on_training}, key
    )


def learning_curves(runs: list[Run]) -> Figure | None:
    """Validation PSNR against images seen, the mean over seeds; None without run folders that validated on the way."""
    points: dict[str, dict[int, list[float]]] = {}
    for run in runs:
        if len(run.curve) > 1:
            by_images = points.setdefault(label_of(run, "", runs), {})
            for images, psnr in run.curve:
                by_images.setdefault(images, []).append(psnr)
    if not points:
        return None
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for label, by_images in sorted(points.items()):
        axes.plot(list(by_images), [mean_of(values).value for values in by_images.values()], marker=".", label=label)
    axes.set(xlabel="training images seen", ylabel="validation PSNR, dB")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def against_cost(runs: list[Run], cost: str, title: str) -> Figure | None:
    """PSNR against what a step costs, a line for each norm through its batch sizes; None where the cost is unknown."""
    costs, scores = curves(runs, cost, "batch_size"), curves(runs, "psnr", "batch_size")
    if not costs:
        return None
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for (label, curve), (colour, marker) in zip(costs.items(), _styles(costs), strict=True):
        points = [(each.value, scores[label][size].value) for size, each in curve.items()]
        axes.plot(*zip(*points, strict=True), color=colour, marker=marker, label=label)
        for size, point in zip(curve, points, strict=True):
            axes.annotate(size, point, textcoords="offset points", xytext=(4, 3), fontsize=7)
    axes.set_xscale("log")
    axes.set(xlabel=f"{title} (numbers: batch size)", ylabel="PSNR, dB")
    axes.grid(alpha=0.3)
    axes.legend(ncols=2, fontsize=8)
    return figure


def _styles(labels: Collection[str]) -> list[tuple[str, str]]:
    """Colour and marker of each label: the norm's own where all of them are norms of the study."""
    if _STYLES.keys() >= set(labels):
        return [_STYLES[label] for label in labels]
    return [(f"C{number}", _MARKERS[number % len(_MARKERS)]) for number in range(len(labels))]


def _panels(found: dict[str, dict[str, Curve]], key: str) -> Figure | None:
    """A panel for each label; None without labels."""
    if not found:
        return None
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    for axes, (label, lines) in zip(panels, found.items(), strict=False):
        _panel(axes, lines, key)
        axes.set_title(label, fontsize=9)
        axes.label_outer()
    for axes in list(panels)[len(found) :]:
        axes.set_visible(False)
    figure.axes[0].legend(fontsize=8)
    return figure


def _panel(axes: Axes, lines: dict[str, Curve], key: str) -> None:
    values = ordered(value for curve in lines.values() for value in curve)
    numeric = are_numbers(values)
    if numeric:
        axes.set_xscale("log")
        places = {value: float(value) for value in values}
        # A part of the way to the next value, and no more where that is far.
        gap = min([2.0, *(places[b] / places[a] for a, b in pairwise(values))])
    else:
        places = {value: float(number) for number, value in enumerate(values)}
    for number, ((label, curve), (colour, marker)) in enumerate(zip(lines.items(), _styles(lines), strict=True)):
        aside = _SPREAD * (2 * number / max(1, len(lines) - 1) - 1)
        x = [places[value] * gap**aside if numeric else places[value] + 2 * aside for value in curve]
        half_widths = [0.0 if mean.seeds < 2 else mean.half_width for mean in curve.values()]
        axes.errorbar(
            x,
            [mean.value for mean in curve.values()],
            half_widths,
            color=colour,
            marker=marker,
            markersize=5,
            linestyle="-" if numeric else "none",
            linewidth=1,
            capsize=2,
            label=label,
        )
    axes.set_xticks([places[value] for value in values], values, minor=False)
    axes.minorticks_off()
    axes.set(xlabel="batch size" if key == "batch_size" else key, ylabel="PSNR, dB")
    axes.grid(alpha=0.3)
