"""Norm against batch size: table and figures from the runs of a sweep."""

import csv
from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from enhance.studies.runs import Mean, Run, mean_of

SPLIT = {  # of a batch norm's score, by where its statistics come from
    "psnr_running": "running statistics",
    "psnr_crops": "recalibrated on crops",
    "psnr": "recalibrated on whole images",
    "psnr_own": "each image's own",
}
Curve = dict[int, Mean]  # by batch size


def curves(runs: Iterable[Run], score: str) -> dict[str, Curve]:
    """The mean over seeds of a score against batch size, for each norm and setting that have it."""
    values: dict[str, dict[int, list[float]]] = {}
    for run in runs:
        if score in run.scores:
            label = f"{run.norm} {run.setting}".strip()
            values.setdefault(label, {}).setdefault(run.batch_size, []).append(run.scores[score])
    return {label: {size: mean_of(each) for size, each in sorted(sizes.items())} for label, sizes in values.items()}


def table(runs: list[Run], score: str) -> list[list[str]]:
    """A line for each norm, a column for each batch size, after a head; of batch norms also by running statistics."""
    sizes = sorted({run.batch_size for run in runs})
    lines = [["norm", *(f"batch {size}" for size in sizes)]]
    by_running = curves(runs, "psnr_running") if score == "psnr" else {}
    for label, curve in sorted(curves(runs, score).items()):
        if label in by_running:
            lines.append([f"{label}, running statistics", *_cells(by_running[label], sizes)])
            label += ", recalibrated"
        lines.append([label, *_cells(curve, sizes)])
    return lines


def _cells(curve: Curve, sizes: list[int]) -> list[str]:
    return [str(curve[size]) if size in curve else "" for size in sizes]


def markdown(lines: list[list[str]]) -> str:
    rule = ["---", *("---:" for _ in lines[0][1:])]
    return "".join(f"| {' | '.join(line)} |\n" for line in (lines[0], rule, *lines[1:]))


def write(runs: list[Run], folder: Path) -> list[Path]:
    """Write table.md, table.csv and the figures that the runs' scores allow into `folder`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = len({run.seed for run in runs})
    note = f"{len(runs)} runs, {seeds} seeds; mean ± half of the 95 % interval (Student's t) where a cell has seeds."
    parts = [f"{title}\n\n{markdown(table(runs, score))}" for score, title in (("psnr", "PSNR, dB"), ("ssim", "SSIM"))]
    (folder / "table.md").write_text("\n".join([*parts, note, ""]))
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(table(runs, "psnr"))
    figures = {
        "psnr_against_batch.png": against_batch(runs),
        "split_of_the_loss.png": split_of_the_loss(runs),
        "psnr_against_memory.png": against_cost(runs, "kept_mib", "MiB kept for backward in a step, float32"),
        "psnr_against_time.png": against_cost(runs, "images_per_second", "training images per second"),
    }
    for name, figure in figures.items():
        if figure is not None:
            figure.savefig(folder / name, dpi=130)
    return [folder / "table.md", folder / "table.csv", *(folder / name for name in figures if figures[name])]


def against_batch(runs: list[Run]) -> Figure:
    """PSNR against batch size, a line for each norm."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for label, curve in sorted(curves(runs, "psnr").items()):
        _draw(axes, label, curve)
    _batch_axis(axes, runs, "PSNR, dB")
    axes.legend(ncols=2, fontsize=8)
    return figure


def split_of_the_loss(runs: list[Run]) -> Figure | None:
    """For each batch norm, its PSNR by each kind of statistics; None without batch norms."""
    labels = sorted(curves(runs, "psnr_running"))
    if not labels:
        return None
    figure = Figure(figsize=(4 * len(labels), 4), layout="constrained")
    panels = figure.subplots(1, len(labels), sharey=True, squeeze=False)[0]
    for label, axes in zip(labels, panels, strict=True):
        for score, name in SPLIT.items():
            _draw(axes, name, curves(runs, score)[label])
        axes.set_title(label, fontsize=9)
        _batch_axis(axes, runs, "PSNR, dB" if axes is panels[0] else "")
    panels[0].legend(fontsize=8)
    return figure


def against_cost(runs: list[Run], cost: str, title: str) -> Figure | None:
    """PSNR against what a step costs, a line for each norm through its batch sizes; None where the cost is unknown."""
    costs, scores = curves(runs, cost), curves(runs, "psnr")
    if not costs:
        return None
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for label, curve in sorted(costs.items()):
        points = [(each.value, scores[label][size].value) for size, each in curve.items()]
        axes.plot(*zip(*points, strict=True), marker="o", label=label)
        for size, point in zip(curve, points, strict=True):
            axes.annotate(f"{size}", point, textcoords="offset points", xytext=(4, 3), fontsize=7)
    axes.set_xscale("log")
    axes.set(xlabel=f"{title} (numbers: batch size)", ylabel="PSNR, dB")
    axes.grid(alpha=0.3)
    axes.legend(ncols=2, fontsize=8)
    return figure


def _draw(axes: Axes, label: str, curve: Curve) -> None:
    means = list(curve.values())
    half_widths = [0.0 if mean.seeds < 2 else mean.half_width for mean in means]
    axes.errorbar(list(curve), [mean.value for mean in means], half_widths, marker="o", capsize=3, label=label)


def _batch_axis(axes: Axes, runs: list[Run], ylabel: str) -> None:
    sizes = sorted({run.batch_size for run in runs})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set(xlabel="batch size", ylabel=ylabel)
    axes.grid(alpha=0.3)
