"""The folder of a comparison: what its tables say, which of them are there, and that files hold the same."""

import csv
from pathlib import Path

import pandas as pd
import pytest

from enhance.errors import DataError
from enhance.studies.study_tables import table, write


def runs_of(*runs: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame({"batch_size": "8", "seed": "0", "ssim": 0.5, "psnr_gt_mean": 22.0} | run for run in runs)


def parts(folder: Path) -> dict[str, list[str]]:
    """The rows of each table of table.md, by its title; of the last line, by itself."""
    found: dict[str, list[str]] = {}
    title = ""
    for line in (folder / "table.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| "):
            found.setdefault(title, []).append(line)
        elif line:
            title = line
            found[title] = []
    return found


def test_a_cell_is_a_mean_with_its_interval_where_there_are_several() -> None:
    def curve(**cells: tuple[float, float]) -> pd.DataFrame:
        return pd.DataFrame.from_dict(cells, orient="index", columns=["mean", "half"])

    nan = float("nan")
    lines = {"bn": curve(**{"16": (20.125, 0.5), "2": (18.0, nan)}), "gn": curve(**{"4": (21.0, nan)})}
    assert table(lines, "batch_size") == [
        ["norm", "batch 2", "batch 4", "batch 16"],
        ["bn", "18.00", "", "20.12 ± 0.50"],
        ["gn", "", "21.00", ""],
    ]
    assert table(lines, "model.width", digits=1)[:2] == [
        ["norm", "model.width 2", "model.width 4", "model.width 16"],
        ["bn", "18.0", "", "20.1 ± 0.5"],
    ]


def test_tables_of_all_that_the_runs_have(tmp_path: Path) -> None:
    of_bn = {"psnr_running": 17.0, "psnr_crops": 18.0, "psnr_own": 16.0, "psnr_train": 20.5}
    runs = runs_of(
        {"norm": "bn", "psnr": 19.0, "psnr_validation": 18.5, "psnr_on_darker": 15.0, **of_bn},
        {"norm": "gn", "psnr": 20.0, "psnr_validation": 20.25, "psnr_on_darker": 17.0, "psnr_train": 20.0},
    )
    files = write(runs, "batch_size", "bn", tmp_path / "out")
    found = parts(tmp_path / "out")
    assert found["PSNR, dB"] == [
        "| norm | batch 8 |",
        "| --- | ---: |",
        "| bn, running statistics | 17.00 |",
        "| bn, recalibrated | 19.00 |",
        "| gn | 20.00 |",
    ]
    values = {title: rows[2:] for title, rows in found.items()}
    assert values["SSIM"] == ["| bn | 0.5000 |", "| gn | 0.5000 |"]
    assert values["PSNR with GT-mean, dB"] == ["| bn | 22.00 |", "| gn | 22.00 |"]
    assert values["PSNR minus that of `bn` with the same seed, dB"] == ["| gn | 1.00 |"]
    assert values["PSNR on the validation images, dB"] == ["| bn | 18.50 |", "| gn | 20.25 |"]
    assert values["PSNR on them minus that of `bn` with the same seed, dB"] == ["| gn | 1.75 |"]
    assert values["PSNR on training images minus that on new ones, dB"] == ["| bn | 1.50 |", "| gn | 0.00 |"]
    assert values["PSNR on other cameras, dB"] == [
        "| bn | 19.00 | 15.00 |",
        "| bn, each image's own | 16.00 |  |",
        "| gn | 20.00 | 17.00 |",
    ]
    assert values["PSNR on other cameras minus that of `bn` with the same seed, dB"] == ["| gn | 2.00 |"]
    assert values["PSNR of batch norms, by where their statistics come from, dB"] == [
        "| bn, running statistics | 17.00 |",
        "| bn, recalibrated on crops | 18.00 |",
        "| bn, recalibrated on whole images | 19.00 |",
        "| bn, each image's own | 16.00 |",
    ]
    assert next(reversed(found)).startswith("2 runs, 1 seeds; ")
    assert {file.name for file in files} == {file.name for file in (tmp_path / "out").iterdir()}
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as file:
        assert [" | ".join(row) for row in csv.reader(file)] == [
            row.strip("| ") for row in found["PSNR, dB"] if "---" not in row
        ]


def test_what_the_runs_lack_is_left_out(tmp_path: Path) -> None:
    write(runs_of({"norm": "gn", "psnr": 20.0}), "batch_size", "bn", tmp_path)
    *titles, last = parts(tmp_path)
    assert titles == ["PSNR, dB", "SSIM", "PSNR with GT-mean, dB"]
    assert last.startswith("1 runs, 1 seeds; ")


def test_how_much_seeds_alone_differ_is_pooled_over_cells(tmp_path: Path) -> None:
    runs = runs_of(
        *({"norm": "gn", "psnr": 20.0 + seed, "seed": str(seed)} for seed in range(3)),  # variance 1 of 2 degrees
        *({"norm": "bn", "psnr": 20.0 + 4 * seed, "seed": str(seed)} for seed in range(2)),  # 8 of 1
        {"norm": "in", "psnr": 30.0},
    )
    write(runs, "batch_size", "bn", tmp_path)
    told = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "6 runs, 3 seeds; " in told
    assert "PSNR of one cell differs between seeds with a standard deviation of 1.83 dB" in told  # sqrt(10 / 3)


def test_a_setting_that_a_run_lacks_is_told_before_anything_is_written(tmp_path: Path) -> None:
    runs = runs_of({"norm": "gn", "psnr": 20.0, "model.width": "8"}, {"norm": "bn", "psnr": 20.0})
    with pytest.raises(DataError, match=r"--against model.width: not every run has it"):
        write(runs, "model.width", "bn", tmp_path / "out")
    assert not (tmp_path / "out").exists()
