"""The folder of a comparison: table.md, table.csv and figures."""

import math
from pathlib import Path

import pandas as pd

from enhance.evaluation.tables import markdown
from enhance.studies import comparison
from enhance.studies.comparison import Curve, curves, differences
from enhance.studies.figures import draw_all


def table(lines: dict[str, Curve], key: str, digits: int = 2) -> list[list[str]]:
    """A line for each curve, a column for each value of `key`, after a head: mean ± half of the 95 % interval."""

    def text(cell: pd.Series) -> str:
        interval = "" if math.isnan(cell["half"]) else f" ± {cell['half']:.{digits}f}"
        return f"{cell['mean']:.{digits}f}{interval}"

    values = comparison.ordered(value for curve in lines.values() for value in curve.index)
    head = ["norm", *(f"{'batch' if key == 'batch_size' else key} {value}" for value in values)]
    rows = [
        [label, *(text(curve.loc[value]) if value in curve.index else "" for value in values)]
        for label, curve in lines.items()
    ]
    return [head, *rows]


def write(runs: pd.DataFrame, key: str, reference: str, folder: Path) -> list[Path]:
    """Write tables and figures of the runs against the setting `key` into `folder`; returns the files. Raises
    `DataError` where a run lacks the setting.

    Args:
        reference: row, or norm, that the table of differences is from; it is left out where no run has it.
    """
    comparison.check_key(runs, key)
    psnr = table(comparison.with_running(runs, key), key)
    parts = [
        f"PSNR, dB\n\n{markdown(psnr)}",
        f"SSIM\n\n{markdown(table(curves(runs, 'ssim', key), key, digits=4))}",
        f"PSNR with GT-mean, dB\n\n{markdown(table(curves(runs, 'psnr_gt_mean', key), key))}",
    ]
    validated, by_camera = comparison.on_validation(runs), comparison.on_cameras(runs)
    others = by_camera[by_camera["camera"] != comparison.TRAINED_ON]
    panels = comparison.by_statistics(runs, key)
    statistics = {f"{norm}, {name}": curve for norm, lines in panels.items() for name, curve in lines.items()}
    same_seed = f"minus that of `{reference}` with the same seed"
    for title, lines, columns in (
        (f"PSNR {same_seed}", differences(runs, reference, key), key),
        (f"PSNR with GT-mean {same_seed}", differences(runs, reference, key, "psnr_gt_mean"), key),
        ("PSNR on the validation images", curves(validated, "psnr_validation", key), key),
        (f"PSNR on them {same_seed}", differences(validated, reference, key, "psnr_validation"), key),
        ("PSNR of batch norms, by where their statistics come from", statistics, key),
        ("PSNR on training images minus that on new ones", comparison.gap(runs, key), key),
        ("PSNR on other cameras", curves(by_camera, "psnr", "camera"), "camera"),
        (f"PSNR on other cameras {same_seed}", differences(others, reference, "camera"), "camera"),
    ):
        if lines:
            parts.append(f"{title}, dB\n\n{markdown(table(lines, columns))}")
    count = f"{len(runs)} runs, {runs['seed'].nunique()} seeds"
    interval = "mean ± half of the 95 % interval (Student's t) where a cell has several"
    parts.append(f"{count}; {interval}.{_between_seeds(runs, key)}\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text("\n".join(parts), encoding="utf-8")
    pd.DataFrame(psnr).to_csv(folder / "table.csv", header=False, index=False, lineterminator="\n")
    return [folder / "table.md", folder / "table.csv", *draw_all(runs, key, folder)]


def _between_seeds(runs: pd.DataFrame, key: str) -> str:
    """How much seeds alone differ, over all cells: what three seeds of one cell can hardly tell."""
    cells = pd.concat(curves(runs, "psnr", key).values())
    degrees = cells["count"] - 1
    if not degrees.any():
        return ""
    pooled = math.sqrt((degrees * cells["std"] ** 2).sum() / degrees.sum())
    deviation = f"a standard deviation of {pooled:.2f} dB, pooled over all cells"
    return f"\nPSNR of one cell differs between seeds with {deviation}."
