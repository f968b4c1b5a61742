"""Runs that the studies read: their settings, as far as they differ, and their scores, wherever they were written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from enhance.errors import DataError
from enhance.run.results import append_row, read_metrics
from enhance.settings.schema import Settings
from enhance.studies.runs import read_runs, settings_of
from enhance.studies.sweep import run_job
from enhance.training.trainer import train
from tests.studies.conftest import small_settings

MakeSettings = Callable[..., Settings]
AXES = {"norm": "gn", "batch_size": "8", "seed": "0"}


def rows(runs: pd.DataFrame) -> list[dict[str, object]]:
    """What each run has."""
    return [{key: value for key, value in row.items() if pd.notna(value)} for row in runs.to_dict("records")]


def results(file: Path, *runs: str, **scores: object) -> Path:
    """A results file of what was swept."""
    for run in runs:
        swept = dict(word.split("=") for word in run.split(",") if word)
        append_row(file, {"run": run} | {key: swept.get(key, value) for key, value in AXES.items()} | scores)
    return file


def test_a_results_file_has_what_was_swept_and_the_scores(tmp_path: Path) -> None:
    file = results(tmp_path / "runs.csv", "norm=bn,optimizer.lr=1e-3", psnr="20.5000", psnr_own="19.25", steps=2)
    results(file, "norm=gn,optimizer.lr=1e-2", psnr="21.0000", ssim=0.5, device="cpu")
    runs = read_runs([file])
    assert rows(runs) == [
        AXES | {"norm": "bn", "optimizer.lr": "1e-3", "psnr": 20.5, "psnr_own": 19.25},
        AXES | {"optimizer.lr": "1e-2", "psnr": 21.0, "ssim": 0.5},
    ]
    assert set(settings_of(runs)) == {"norm", "batch_size", "seed", "optimizer.lr"}


@pytest.mark.parametrize("value", ["none", "null", "NA", "01", "1e-3"])
def test_a_value_is_read_as_it_was_written(tmp_path: Path, value: str) -> None:
    file = results(tmp_path / "runs.csv", f"norm={value},model.init={value}", "norm=gn,model.init=torch")
    first, _ = rows(read_runs([file]))
    assert (first["norm"], first["model.init"]) == (value, value)


def test_what_all_runs_have_alike_is_left_out(tmp_path: Path) -> None:
    alike = "model.width=8,objective.ssim=0"
    file = results(tmp_path / "runs.csv", f"{alike},norm=bn", f"{alike},norm=gn,norm.num_groups=4")
    first, second = rows(read_runs([file]))
    assert first == AXES | {"norm": "bn"}  # the norm, the batch size and the seed always stay
    assert second == AXES | {"norm.num_groups": "4"}
    other = results(tmp_path / "other.csv", "norm=gn")  # has a width that is not known to be 8
    assert set(settings_of(read_runs([file, other]))) == {*AXES, "model.width", "objective.ssim", "norm.num_groups"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, of other widths and in other places; beside them, what is none."""
    place = tmp_path_factory.mktemp("trained")
    make_settings = small_settings(place)
    for words in (("model.width=4", "name=one"), ("model.width=8", "name=other", "threads=1", "seed=1")):
        train(make_settings("norm=in", "accumulate=2", "validation.every=1", *words))
    (place / "runs" / "notes").mkdir()
    (place / "runs" / "notes" / "a.txt").write_text("no run")
    return place / "runs"


@pytest.fixture
def run_folders(trained: Path, tmp_path: Path) -> Path:
    """A copy of them, to change."""
    return shutil.copytree(trained, tmp_path / "runs")


def test_run_folders_have_the_settings_that_make_another_result(run_folders: Path) -> None:
    runs = read_runs([run_folders])
    folders = [path.parents[1] for path in sorted(run_folders.glob("*/validation/report.json"))]
    assert set(settings_of(runs)) == {*AXES, "model.width"}
    assert [row["batch_size"] for row in rows(runs)] == ["4", "4"]  # in a step
    assert {row["model.width"]: row["seed"] for row in rows(runs)} == {"4": "0", "8": "1"}
    for folder, row in zip(folders, rows(runs), strict=True):
        mean = json.loads((folder / "validation" / "report.json").read_text())["mean"]
        assert [row[key] for key in ("psnr", "ssim", "psnr_gt_mean")] == [
            mean[key] for key in ("psnr", "ssim", "psnr_gt_mean")
        ]
        curve = [line["validation/psnr"] for line in read_metrics(folder) if "validation/psnr" in line]
        assert [row["psnr_at_4"], row["psnr_at_8"]] == curve
        assert curve[-1] == pytest.approx(mean["psnr"])
        assert row["images_per_second"] > 0
    assert rows(read_runs(reversed(folders))) == rows(runs)[::-1]


def test_a_run_that_is_not_finished_is_told_and_among_others_left_out(run_folders: Path) -> None:
    first, second = sorted(path.parent for path in run_folders.glob("*/config.yaml"))
    (first / "validation" / "report.json").unlink()
    assert len(read_runs([run_folders])) == 1
    with pytest.raises(DataError, match=f"{first.name}: this run is not finished; go on with it: .* resume="):
        read_runs([second, first])


@pytest.mark.parametrize("file", ["config.yaml", "metrics.jsonl", "scores.json", "validation/report.json"])
@pytest.mark.parametrize("damage", ["", "- 1\n", "{}", "[1]"])
def test_a_damaged_run_is_named(run_folders: Path, file: str, damage: str) -> None:
    first, _ = sorted(path.parent for path in run_folders.glob("*/config.yaml"))
    (first / file).write_text(damage)
    with pytest.raises(DataError) as refused:
        read_runs([run_folders])
    assert str(refused.value) == f"{first / file}: not what train.py wrote there; leave this run out"


def test_a_run_whose_numbers_are_gone_is_named(run_folders: Path) -> None:
    first, _ = sorted(path.parent for path in run_folders.glob("*/config.yaml"))
    (first / "metrics.jsonl").unlink()
    with pytest.raises(DataError, match=r"metrics.jsonl: not what train.py wrote there"):
        read_runs([first])


def test_a_run_of_a_sweep_reads_alike_from_its_folder(make_settings: MakeSettings) -> None:
    for width in (4, 8):
        run_job(make_settings("norm=bn", f"model.width={width}"), f"model.width={width}")
    sweep = Path(make_settings().runs) / "sweep"
    from_file, from_folders = read_runs([sweep / "runs.csv"]), read_runs([sweep])
    assert set(from_folders) - set(from_file) == {"psnr_at_4"}
    by_width = from_folders.sort_values("model.width", ignore_index=True)
    pd.testing.assert_frame_equal(by_width[list(from_file)], from_file)


def test_what_is_no_results_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_runs([tmp_path / "none.csv"])
    (tmp_path / "other.csv").write_text("name,part\na,training\n")
    with pytest.raises(DataError, match="not a results file"):
        read_runs([tmp_path / "other.csv"])


@pytest.mark.parametrize("name", ["empty.csv", "folder", "nowhere"])
def test_where_there_is_no_run_the_place_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.csv").write_text("run,norm,batch_size,seed,psnr\n")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=f"{name}: no finished run here; give a sweep's runs.csv"):
        read_runs([tmp_path / name])
