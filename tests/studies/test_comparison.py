"""What the tables say, from results files as sweeps write them."""

from pathlib import Path

import pandas as pd
import pytest

from enhance.errors import DataError
from enhance.evaluation.tables import markdown
from enhance.run.results import append_row
from enhance.studies.comparison import by_statistics, check_key, curves, differences, gap, with_running
from enhance.studies.runs import read_runs
from enhance.studies.study_tables import table


def results(file: Path, *rows: tuple[str, float]) -> pd.DataFrame:
    """A results file of rows of what was swept and its PSNR, read."""
    for run, psnr in rows:
        values = dict(word.split("=") for word in run.split(","))
        of_batch_norm = {"psnr_running": psnr - 1} if values["norm"] == "bn" else {}
        axes = {key: values[key] for key in ("norm", "seed")}
        batch_size = values.get("batch_size", "8")
        append_row(file, {"run": run} | axes | {"batch_size": batch_size, "psnr": psnr} | of_batch_norm)
    return read_runs([file])


def test_the_mean_and_its_interval(tmp_path: Path) -> None:
    rows = [(f"norm=gn,seed={seed}", 20.0 + seed) for seed in range(3)]
    runs = results(tmp_path / "runs.csv", *rows, ("norm=ln,seed=0", 20.0))
    _, *lines = table(curves(runs, "psnr", "batch_size"), "batch_size")
    assert lines == [["gn", "21.00 ± 2.48"], ["ln", "20.00"]]  # 4.303 * 1 / sqrt(3)


def test_seeds_are_averaged_and_batch_sizes_are_columns(tmp_path: Path) -> None:
    runs = results(
        tmp_path / "runs.csv",
        ("batch_size=16,norm=bn,seed=0", 20.0),
        ("batch_size=2,norm=bn,seed=0", 18.0),
        ("batch_size=2,norm=bn,seed=1", 19.0),
        ("batch_size=2,norm=gn,seed=0", 21.0),
    )
    assert markdown(table(with_running(runs, "batch_size"), "batch_size")).splitlines() == [
        "| norm | batch 2 | batch 16 |",
        "| --- | ---: | ---: |",
        "| bn, running statistics | 17.50 ± 6.35 | 19.00 |",
        "| bn, recalibrated | 18.50 ± 6.35 | 20.00 |",
        "| gn | 21.00 |  |",
    ]


def test_differences_pair_the_seeds(tmp_path: Path) -> None:
    runs = results(
        tmp_path / "runs.csv",
        ("norm=bn,seed=0", 18.0),
        ("norm=bn,seed=1", 21.0),
        ("norm=gn,seed=0", 19.0),
        ("norm=gn,seed=1", 22.0),
        ("norm=gn,seed=2", 30.0),  # has no other half
    )
    assert table(differences(runs, "bn", "batch_size"), "batch_size")[1:] == [["gn", "1.00 ± 0.00"]]
    assert differences(runs, "ln", "batch_size") == {}


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (  # from the row that is called bn
            {
                "norm=bn,seed=0": 18.0,
                "norm=gn,seed=0": 20.0,
                "norm=bn,objective=l1,seed=0": 17.5,
                "norm=gn,objective=l1,seed=0": 19.0,
            },
            {"gn": 2.0, "bn objective=l1": -0.5, "gn objective=l1": 1.0},
        ),
        (  # where no row is called so, from the runs with that norm
            {
                "model.width=8,norm=bn,seed=0": 18.0,
                "model.width=8,norm=gn,seed=0": 20.0,
                "model.width=16,norm=bn,seed=0": 19.0,
                "model.width=16,norm=gn,seed=0": 22.0,
            },
            {"gn model.width=8": 2.0, "gn model.width=16": 3.0},
        ),
    ],
)
def test_what_differences_are_from(tmp_path: Path, rows: dict[str, float], wanted: dict[str, float]) -> None:
    lines = differences(results(tmp_path / "runs.csv", *rows.items()), "bn", "batch_size")
    assert {label: curve.loc["8", "mean"] for label, curve in lines.items()} == wanted


def test_the_gap_and_the_statistics_are_of_the_runs_that_have_them() -> None:
    scored = {"psnr_running": 17.0, "psnr_crops": 18.0, "psnr": 19.0, "psnr_own": 16.0}
    runs = pd.DataFrame(
        {"norm": norm, "batch_size": "8", "seed": seed} | scores
        for norm, seed, scores in (
            ("bn", "0", scored | {"psnr_train": 20.5}),
            ("bn", "1", scored | {"psnr_train": 21.5}),
            ("gn", "0", {"psnr": 20.0}),
        )
    )
    assert {norm: curve.loc["8", "mean"] for norm, curve in gap(runs, "batch_size").items()} == {"bn": 2.0}
    panels = by_statistics(runs, "batch_size")
    assert {
        norm: {name: curve.loc["8", "mean"] for name, curve in lines.items()} for norm, lines in panels.items()
    } == {
        "bn": {
            "running statistics": 17.0,
            "recalibrated on crops": 18.0,
            "recalibrated on whole images": 19.0,
            "each image's own": 16.0,
        }
    }


def test_a_run_that_lacks_a_score_of_the_others_leaves_their_names(tmp_path: Path) -> None:
    runs = results(tmp_path / "runs.csv", ("norm=bn,batch_size=4,model.width=8,seed=0", 20.0))
    runs = pd.concat([runs, runs.assign(batch_size="8", psnr=21.0, psnr_running=None)])  # as of a run folder
    assert table(with_running(runs.assign(width="8"), "width"), "width")[1:] == [
        ["bn batch_size=4, running statistics", "19.00"],
        ["bn batch_size=4, recalibrated", "20.00"],
        ["bn batch_size=8", "21.00"],
    ]


def test_another_setting_may_be_the_columns(tmp_path: Path) -> None:
    runs = results(
        tmp_path / "runs.csv",
        ("norm=gn,optimizer.lr=1e-1,seed=0", 10.0),
        ("norm=gn,optimizer.lr=1e-3,seed=0", 20.0),
        ("norm=gn,optimizer.lr=3e-3,seed=0", 21.0),
    )
    curve = curves(runs, "psnr", "optimizer.lr")["gn"]
    assert list(curve.index) == ["1e-3", "3e-3", "1e-1"]
    with pytest.raises(DataError, match=r"--against model.width.*optimizer.lr"):
        check_key(runs, "model.width")


def test_what_two_files_do_not_share_parts_their_runs(tmp_path: Path) -> None:
    results(tmp_path / "one.csv", ("norm=gn,seed=0", 20.0))
    results(tmp_path / "two.csv", ("norm=gn,optimizer.lr_scaling=none,seed=0", 10.0))
    lines = curves(read_runs([tmp_path / "one.csv", tmp_path / "two.csv"]), "psnr", "batch_size")
    assert set(lines) == {"gn", "gn optimizer.lr_scaling=none"}
