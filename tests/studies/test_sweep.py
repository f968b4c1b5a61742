"""One job of a sweep: trained, scored and written once, gone on with where it was stopped, told where it failed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from enhance.data.open import with_content
from enhance.errors import SettingsError
from enhance.run import checkpoint
from enhance.run.checkpoint import LAST
from enhance.run.results import SCORES_FILE, append_row, read_metrics, read_rows
from enhance.settings.identity import identity
from enhance.settings.schema import Settings
from enhance.studies.sweep import SweepCallback, folder_name, results_file, run_job
from enhance.training.trainer import train

MakeSettings = Callable[..., Settings]
SWEPT = "seed=0"


def place_of(settings: Settings) -> tuple[str, Path]:
    """Identity and folder of the job `SWEPT`."""
    settings.data = with_content(settings.data)
    run_id = identity(settings)
    return run_id, Path(settings.runs) / settings.sweep / folder_name(SWEPT, run_id)


@pytest.mark.parametrize(
    ("swept", "name"),
    [
        ("batch_size=8,norm=bn", "batch_size-8_norm-bn_0123456789ab"),
        ("optimizer.lr=1e-4", "optimizer.lr-1e-4_0123456789ab"),
        ("name='a/b: c'", "name-_a_b_c__0123456789ab"),  # a folder of its own, on Windows as well
        ("", "0123456789ab"),
        ("+data.other=1", "+data.other-1_0123456789ab"),
        ("..=x", "-x_0123456789ab"),  # hidden folders are no runs
        ("name=" + 300 * "a", "name-" + 115 * "a" + "_0123456789ab"),
    ],
)
def test_a_folder_is_called_by_what_is_swept(swept: str, name: str) -> None:
    assert folder_name(swept, "0123456789ab") == name


def test_results_lie_in_the_sweep_or_where_they_are_wanted() -> None:
    assert results_file("runs", "sweep", None) == Path("runs", "sweep", "runs.csv")
    assert results_file("runs", "sweep", "docs/all.csv") == Path("docs/all.csv")


@pytest.mark.parametrize(
    ("words", "of_batch_norms"),
    [(("norm=in",), False), (("norm=bn",), True), (("norm=bn", "schedule.freeze_after=0.5"), False)],
)
def test_a_run_is_a_row(make_settings: MakeSettings, words: tuple[str, ...], of_batch_norms: bool) -> None:
    settings = make_settings(*words, "accumulate=2", "data.crop=24")
    run_id, folder = place_of(settings)
    run_job(settings, SWEPT)
    (row,) = read_rows(folder.parent / "runs.csv")
    wanted = {
        "run": SWEPT,
        "id": run_id,
        "norm": settings.norm.name,
        "batch_size": "2",
        "seed": "0",
        "model": "unet_tiny",
        "data": "lol_v1",
        "crop": "24",
        "steps": "2",
        "images_seen": "8",  # in two batches of 2 a step
        "scored_on": "validation",
        "device": "cpu",
    }
    assert {key: row[key] for key in wanted} == wanted
    assert json.loads((folder / SCORES_FILE).read_text()).keys() == row.keys()
    validated = [line["validation/psnr"] for line in read_metrics(folder) if "validation/psnr" in line]
    assert float(row["psnr_validation"]) == pytest.approx(validated[-1], abs=1e-4)
    assert row["psnr"] == row["psnr_validation"]  # the same network on the same images
    assert ("psnr_running" in row) == of_batch_norms
    if of_batch_norms:
        assert row["psnr_running"] != row["psnr"]
    assert float(row["kept_mib"]) > 0


def test_a_run_that_was_stopped_goes_on_with_its_steps(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings("schedule.steps=4", "validation.every=2", "threads=1")
    _, folder = place_of(settings)
    shorter = make_settings("validation.every=2")
    train(shorter, folder)
    kept = checkpoint.load(folder / LAST)
    kept.settings.schedule.steps = 4
    checkpoint.save(kept, folder / LAST)
    (tmp_path / "pairs").rename(tmp_path / "moved")
    settings.data.root = str(tmp_path / "moved")

    run_job(settings, SWEPT)
    assert [line["step"] for line in read_metrics(folder) if "train/loss" in line] == [2, 4]
    (row,) = read_rows(folder.parent / "runs.csv")
    assert (row["steps"], row["threads"]) == ("4", "1")


def test_a_run_that_has_a_row_is_not_begun(make_settings: MakeSettings, capsys: pytest.CaptureFixture[str]) -> None:
    settings = make_settings()
    run_id, folder = place_of(settings)
    append_row(folder.parent / "runs.csv", {"run": SWEPT, "id": run_id})
    run_job(settings, SWEPT)
    assert capsys.readouterr().out == "done before: seed=0\n"
    assert not folder.exists()


def test_a_run_that_another_process_has_is_left_to_it(
    make_settings: MakeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings()
    _, folder = place_of(settings)
    folder.parent.mkdir(parents=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        run_job(settings, SWEPT)
    assert capsys.readouterr().out == "another process is at it: seed=0\n"
    assert not folder.exists()


def test_what_a_user_can_mend_is_told_in_a_line_and_tried_again(
    make_settings: MakeSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = place_of(make_settings("data.crop=41"))
    failure = folder.with_name(f"{folder.name}.failed.txt")
    run_job(make_settings("data.crop=41"), SWEPT)
    (told,) = failure.read_text().splitlines()
    assert told.startswith("data.crop=41 is larger than 3 of 3 training images")
    assert capsys.readouterr().out == f"run seed=0\nfailed: {told}\n"
    assert not (folder.parent / "runs.csv").exists()

    with pytest.raises(SystemExit) as ended:
        SweepCallback().on_multirun_end(sweep_of(tmp_path / "runs"))
    assert ended.value.code == 1
    assert capsys.readouterr().out.splitlines() == [
        f"failed: {folder.name}: {told} ({failure})",
        f"results: {folder.parent / 'runs.csv'}",
    ]

    # A folder that nothing was written into, as a machine that went down leaves it.
    folder.mkdir()
    run_job(make_settings("data.crop=41"), SWEPT)
    assert failure.exists()
    assert not folder.exists()


def test_another_failure_keeps_its_traceback_and_a_mended_one_is_forgotten(
    make_settings: MakeSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    results.mkdir()  # where a file is to be written
    settings = make_settings(f"results={results}")
    _, folder = place_of(settings)
    failure = folder.with_name(f"{folder.name}.failed.txt")
    run_job(settings, SWEPT)
    told = failure.read_text()
    assert told.startswith("Traceback (most recent call last):\n")
    assert capsys.readouterr().out.splitlines()[-1] == f"failed: {told.splitlines()[-1]}"

    results.rmdir()
    run_job(settings, SWEPT)
    assert not failure.exists()
    assert len(read_rows(results)) == 1
    SweepCallback().on_multirun_end(sweep_of(tmp_path / "runs"))  # ends well


@pytest.mark.parametrize(
    ("words", "torchrun", "told"),
    [(("resume=auto",), False, "resume= and -m do not go together"), ((), True, "torchrun and -m do not go together")],
)
def test_what_does_not_go_with_a_sweep_is_told(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], torchrun: bool, told: str
) -> None:
    if torchrun:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    settings = make_settings(*words)
    with pytest.raises(SettingsError, match=told):
        run_job(settings, SWEPT)
    assert not Path(settings.runs).exists()


def sweep_of(runs: Path) -> DictConfig:
    return OmegaConf.create({"runs": str(runs), "sweep": "sweep", "results": None})


def test_jobs_are_told_what_is_swept() -> None:
    """By the keys that are to be left out of their names."""
    words = ["batch_size=8", "norm=bn,gn", "seed=range(3)", "data=lol_v1", "data.root=here", "experiment=recipe"]
    overrides = {"task": words, "hydra": ["hydra.mode=MULTIRUN"]}
    config = OmegaConf.create({"hydra": {"overrides": overrides, "sweeper": {"params": {"model.width": "8,16"}}}})
    SweepCallback().on_multirun_start(config)
    first, added = config.hydra.overrides.hydra
    assert first == "hydra.mode=MULTIRUN"
    key, _, unnamed = added.partition("=")
    assert key == "hydra.job.config.override_dirname.exclude_keys"
    left_out = set(unnamed.strip("[]").split(","))
    assert left_out >= {"batch_size", "data", "data.root", "experiment", "runs", "name", "threads", "device"}
    assert not left_out & {"norm", "seed", "model.width"}
