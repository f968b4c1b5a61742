"""The folder of a comparison: table.md, table.csv and figures."""

import csv
import math
from pathlib import Path

from enhance.studies.cameras import on_cameras
from enhance.studies.comparison import check_key, curves, differences, markdown, table, with_running
from enhance.studies.figures import draw_all
from enhance.studies.runs import Run


def _between_seeds(runs: list[Run], key: str) -> str:
    """How much seeds alone differ, over all cells: what three seeds of one cell can hardly tell."""
    cells = [mean for curve in curves(runs, "psnr", key).values() for mean in curve.values() if mean.seeds > 1]
    if not cells:
        return ""
    degrees = sum(mean.seeds - 1 for mean in cells)
    pooled = math.sqrt(sum((mean.seeds - 1) * mean.deviation**2 for mean in cells) / degrees)
    return (
        f"\nPSNR of one cell differs between seeds with a standard deviation of {pooled:.2f} dB, pooled over all cells."
    )


def write(runs: list[Run], key: str, reference: str, folder: Path) -> list[Path]:
    """Write tables and figures of the runs against the setting `key` into `folder`; returns the files.

    Args:
        reference: row, or norm, that the table of differences is from; it is left out where no run has it.

    Raises:
        DataError: a run lacks the setting.
    """
    check_key(runs, key)
    psnr = table(with_running(runs, key), key)
    parts = [
        f"PSNR, dB\n\n{markdown(psnr)}",
        f"SSIM\n\n{markdown(table(curves(runs, 'ssim', key), key, digits=4))}",
        f"PSNR with GT-mean, dB\n\n{markdown(table(curves(runs, 'psnr_gt_mean', key), key))}",
    ]
    if from_reference := differences(runs, reference, key):
        title = f"PSNR minus that of `{reference}` with the same seed, dB"
        parts.append(f"{title}\n\n{markdown(table(from_reference, key))}")
    if cameras := on_cameras(runs):
        parts.append(f"PSNR on other cameras, dB\n\n{markdown(table(cameras, 'camera'))}")
    seeds = len({run.seed for run in runs})
    parts.append(
        f"{len(runs)} runs, {seeds} seeds; mean ± half of the 95 % interval (Student's t) where a cell has several."
        f"{_between_seeds(runs, key)}\n"
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text("\n".join(parts), encoding="utf-8")
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(psnr)
    return [folder / "table.md", folder / "table.csv", *draw_all(runs, key, folder)]
