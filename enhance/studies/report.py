"""The folder of a comparison: table.md, table.csv and figures."""

import csv
import math
from pathlib import Path

from enhance.studies.cameras import TRAINED_ON, on_cameras
from enhance.studies.comparison import (
    by_statistics,
    check_key,
    curves,
    differences,
    gap,
    markdown,
    on_validation,
    table,
    with_running,
)
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
    validated = on_validation(runs)
    by_camera = on_cameras(runs)
    others = [run for run in by_camera if run.settings["camera"] != TRAINED_ON]
    panels = by_statistics(runs, key)
    statistics = {f"{norm}, {name}": curve for norm, lines in panels.items() for name, curve in lines.items()}
    same_seed = f"minus that of `{reference}` with the same seed"
    for title, found, columns in (
        (f"PSNR {same_seed}", differences(runs, reference, key), key),
        (f"PSNR with GT-mean {same_seed}", differences(runs, reference, key, "psnr_gt_mean"), key),
        ("PSNR on the validation images", curves(validated, "psnr_validation", key), key),
        (f"PSNR on them {same_seed}", differences(validated, reference, key, "psnr_validation"), key),
        ("PSNR of batch norms, by where their statistics come from", statistics, key),
        ("PSNR on training images minus that on new ones", gap(runs, key), key),
        ("PSNR on other cameras", curves(by_camera, "psnr", "camera"), "camera"),
        (f"PSNR on other cameras {same_seed}", differences(others, reference, "camera"), "camera"),
    ):
        if found:
            parts.append(f"{title}, dB\n\n{markdown(table(found, columns))}")
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
