"""`python train.py -m` as a user runs it: every combination, once; failures told; and the study's table from it."""

import csv
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from tests.processes import ROOT, Ended

TINY = ("model.width=8", "model.depth=2", "data.crop=32", "validation.recalibrate_images=3")
EXPERIMENTS = {  # what of each is swept here; the length and the size are TINY
    "small_batch": ("norm=bn,in", "batch_size=1,2"),
    "same_learning_rate": ("norm=bn", "batch_size=1,2"),
    "with_context": ("norm=bn,hin", "batch_size=2"),
    "with_defaults": ("norm=bn,gn", "batch_size=2"),
    "learning_curve": ("norm=bn,none", "schedule.epochs=null"),
    "frozen_statistics": ("schedule.freeze_after=0.5,1",),
    "learning_rate": ("norm=none", "optimizer.lr=1e-4,1e-1"),
    "saturation": ("norm=gn", "model.activation=tanh,sigmoid"),
    "first_weights": ("norm=none", "model.init=kaiming,xavier,torch", "model.init_scale=0.1"),
    "few_photographs": ("norm=bn", "data.training_images=2,3"),
    "recipe": ("norm=bn,gn", "objective.ssim=0"),
}
ON_PHOTOGRAPHS = {"small_batch_photos", "another_camera", "any_photo"}  # have tests of their own
SINGLE = {"lol_v1", "lol_v2"}  # recipes: one run each


def test_every_experiment_is_tried() -> None:
    there = {path.stem for path in (ROOT / "enhance" / "configs" / "experiment").iterdir()}
    assert there == set(EXPERIMENTS) | ON_PHOTOGRAPHS | SINGLE


@pytest.fixture
def sweep(run_script: Callable[..., Ended], tmp_path: Path, pairs_root: Path) -> Callable[..., Ended]:
    """Two steps a run on small pairs, half of them to test on."""
    names = sorted(path.stem for path in (pairs_root / "our485" / "low").iterdir())
    parts = ["training" if n > 4 else "validation" if n == 0 else "test" for n in range(len(names))]
    split = "".join(f"{name},{part}\n" for name, part in zip(names, parts, strict=True))
    (tmp_path / "split.csv").write_text(f"name,part\n{split}")

    def run(*words: str) -> Ended:
        places = (f"data.root={pairs_root}", f"data.split={tmp_path / 'split.csv'}", f"runs={tmp_path / 'runs'}")
        length = ("schedule.steps=2", "schedule.epochs=null")
        batch = () if any(word.startswith("batch_size=") for word in words) else ("batch_size=2",)
        return run_script("train.py", "-m", *places, *length, *batch, *TINY, f"results={tmp_path / 'runs.csv'}", *words)

    return run


def rows(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "runs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs(sweep: Callable[..., Ended], tmp_path: Path, experiment: str) -> None:
    ended = sweep(f"experiment={experiment}", "seed=0", *EXPERIMENTS[experiment])
    assert ended.code == 0, ended.out + ended.err
    found = rows(tmp_path)
    assert len(found) >= 2
    assert all(row["scored_on"] == "test" and float(row["psnr"]) > 0 for row in found)


@pytest.mark.parametrize("experiment", sorted(SINGLE))
def test_every_recipe_runs_on_pairs_that_make_pairs_wrote(
    run_script: Callable[..., Ended], tmp_path: Path, pairs_root: Path, experiment: str
) -> None:
    """In the data set's own layout; two steps of the recipe's model, which is large, on small crops."""
    root = tmp_path / "made"
    made = run_script("scripts/make_pairs.py", pairs_root / "our485" / "high", root, "--val-share", "0.25")
    assert made.code == 0, made.err
    if experiment == "lol_v2":
        for old, new in (("our485", "Train"), ("eval15", "Test")):
            (root / old).rename(root / new)
            for side, name in (("low", "Low"), ("high", "Normal")):
                (root / new / side).rename(root / new / name)
    short = ("schedule.steps=2", "data.crop=32", "batch_size=2", "data.validation_share=0.3")
    ended = run_script("train.py", f"experiment={experiment}", f"data.root={root}", f"runs={tmp_path / 'runs'}", *short)
    assert ended.code == 0, ended.err
    scored = run_script("evaluate.py", f"runs={tmp_path / 'runs'}")
    assert (scored.code, "test: 2 images" in scored.out) == (0, True), scored.err


@pytest.fixture
def sweep_photographs(run_script: Callable[..., Ended], tmp_path: Path, pairs_root: Path) -> Callable[..., Ended]:
    """Two steps a run on small photographs through the camera."""
    places = (f"data.root={pairs_root / 'our485' / 'high'}", f"runs={tmp_path / 'runs'}")
    length = ("schedule.steps=2", "schedule.epochs=null", "batch_size=2", "seed=0", "norm=bn,gn")
    return partial(run_script, "train.py", "-m", *places, f"results={tmp_path / 'runs.csv'}", *length, *TINY)


def test_the_experiment_on_photographs_runs(sweep_photographs: Callable[..., Ended], tmp_path: Path) -> None:
    ended = sweep_photographs("experiment=small_batch_photos")
    assert ended.code == 0, ended.out + ended.err
    assert [row["scored_on"] for row in rows(tmp_path)] == ["validation"] * 2


def test_other_cameras_are_scored_and_drawn(
    sweep_photographs: Callable[..., Ended], run_script: Callable[..., Ended], tmp_path: Path
) -> None:
    ended = sweep_photographs("experiment=another_camera", "data.other_cameras.darker.exposure_max_ev=-5")
    assert ended.code == 0, ended.out + ended.err
    bn, gn = rows(tmp_path)
    for camera in ("darker", "noisier", "warmer", "all_three"):
        assert float(bn[f"psnr_on_{camera}"]) != float(bn["psnr"])
        assert float(bn[f"psnr_adapted_on_{camera}"]) != float(bn[f"psnr_on_{camera}"])
        assert float(gn[f"psnr_on_{camera}"]) > 0
        assert gn[f"psnr_adapted_on_{camera}"] == ""
    compared = run_script("scripts/study_report.py", tmp_path / "runs.csv", "--out", tmp_path / "out")
    assert compared.code == 0, compared.err
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| norm | camera trained on | camera darker | camera noisier | camera warmer | camera all_three |" in table
    assert "| bn, adapted |  | " in table
    gain = float(bn["psnr_adapted_on_darker"]) - float(bn["psnr_on_darker"])
    assert f"| bn, adapted | {gain:.2f} | " in table
    assert (tmp_path / "out" / "other_cameras.png").stat().st_size > 0


def test_other_cameras_are_checked(sweep_photographs: Callable[..., Ended], tmp_path: Path) -> None:
    ended = sweep_photographs("experiment=another_camera", "data.other_cameras.warmer.red_gain=0")
    assert ended.code == 2
    assert "data.other_cameras.warmer.red_gain=0.0 is too small: it is more than 0" in ended.err
    assert not (tmp_path / "runs.csv").exists()


def test_the_table_of_the_study_is_drawn(
    sweep: Callable[..., Ended], run_script: Callable[..., Ended], tmp_path: Path
) -> None:
    sweep("experiment=small_batch", "norm=bn,in", "batch_size=1,2", "seed=0")
    found = rows(tmp_path)
    assert [(row["norm"], row["batch_size"]) for row in found] == [("bn", "1"), ("in", "1"), ("bn", "2"), ("in", "2")]
    assert all((row["psnr_own"] != "") == (row["norm"] == "bn") for row in found)
    assert {row["lr"] for row in found if row["batch_size"] == "2"} == {"0.0005"}  # 1e-3 * sqrt(2 / 8)
    compared = run_script("scripts/study_report.py", tmp_path / "runs.csv", "--out", tmp_path / "out")
    assert compared.code == 0, compared.err
    assert f"{float(found[1]['psnr']):.2f}" in compared.out
    from_folders = run_script("scripts/study_report.py", tmp_path / "runs" / "small_batch", "--out", tmp_path / "again")
    assert from_folders.code == 0, from_folders.err
    table = (tmp_path / "out" / "table.md").read_text()
    on_validation = table.partition("PSNR on the validation images, dB\n\n")[2]
    first, second = (float(row["psnr_validation"]) for row in found if row["norm"] == "in")
    assert f"| in | {first:.2f} | {second:.2f} |\n" in on_validation.partition("\n\n")[0] + "\n"
    for name in ("table.md", "table.csv"):
        assert (tmp_path / "again" / name).read_text() == (tmp_path / "out" / name).read_text()
    figures = {
        "psnr_against_batch_size.png",
        "gt_mean_against_batch_size.png",
        "validation_against_batch_size.png",
        "split_of_the_loss.png",
        "training_and_new_images.png",
        "psnr_against_memory.png",
        "psnr_against_time.png",
    }
    for folder in ("out", "again"):
        assert {file.name for file in (tmp_path / folder).glob("*.png")} == figures


def test_ordinary_runs_are_compared(run_script: Callable[..., Ended], tmp_path: Path, pairs_root: Path) -> None:
    places = ("data=lol_v1", f"data.root={pairs_root}", f"runs={tmp_path / 'runs'}")
    for width in (8, 16):
        words = ("schedule.steps=2", "validation.every=1", "batch_size=2", *TINY, f"model.width={width}")
        assert run_script("train.py", *places, *words).code == 0
    out = tmp_path / "out"
    compared = run_script("scripts/study_report.py", tmp_path / "runs", "--against", "model.width", "--out", out)
    assert compared.code == 0, compared.err
    assert "| norm | model.width 8 | model.width 16 |" in compared.out
    assert {file.name for file in out.glob("*.png")} == {
        "psnr_against_width.png",
        "gt_mean_against_width.png",
        "learning_curves.png",
    }


def test_finished_runs_are_skipped_and_stopped_ones_go_on(sweep: Callable[..., Ended], tmp_path: Path) -> None:
    assert sweep("data=lol_v1", "seed=0,1").code == 0
    first = rows(tmp_path)
    again = sweep("data=lol_v1", "seed=0,1")
    assert again.code == 0
    assert again.out.count("done before") == 2
    assert rows(tmp_path) == first
    # A run that was stopped while it was scored has its folder and no row.
    lines = (tmp_path / "runs.csv").read_text().splitlines(keepends=True)
    (tmp_path / "runs.csv").write_text("".join(lines[:2]))
    # One that was stopped before its first checkpoint has a folder without any.
    (stopped,) = (tmp_path / "runs" / "sweep").glob("seed-1_*")
    shutil.rmtree(stopped / "checkpoints")
    assert sweep("data=lol_v1", "seed=0,1").out.count("done before") == 1
    assert [row["psnr"] for row in rows(tmp_path)] == [row["psnr"] for row in first]


def test_only_what_makes_a_result_tells_runs_apart(sweep: Callable[..., Ended], tmp_path: Path) -> None:
    """Other workers or threads, or another place of the same images, are the same run; another split, or a setting that
    no name shows, is another one."""
    common = ("experiment=small_batch", "norm=none", "seed=0")
    assert sweep(*common).code == 0
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / "pairs", moved)
    for words in (("data.workers=1", "threads=1"), (f"data.root={moved}", "data.cache_gib=1")):
        assert "done before: batch_size=2,norm=none,seed=0" in sweep(*common, *words).out
    split = tmp_path / "other.csv"
    split.write_text((tmp_path / "split.csv").read_text().replace("5,training", "5,test"))
    for words in ((f"data.split={split}",), ("schedule.warmup=0.5",)):
        again = sweep(*common, *words)
        assert (again.code, "done before" in again.out) == (0, False), again.err
    found = rows(tmp_path)
    assert [row["run"] for row in found] == ["batch_size=2,norm=none,seed=0"] * 3
    assert len({row["id"] for row in found}) == 3


def test_names_hold_what_is_swept_and_may_be_long(sweep: Callable[..., Ended], tmp_path: Path) -> None:
    one, two = (letter * 300 for letter in "ab")
    ended = sweep("data=lol_v1", "norm=none", f"model.name={one},{two}")
    assert ended.code == 0, ended.out + ended.err
    assert [row["run"] for row in rows(tmp_path)] == [f"model.name={each}" for each in (one, two)]


def test_an_unknown_key_is_not_swept(sweep: Callable[..., Ended], tmp_path: Path) -> None:
    ended = sweep("data=lol_v1", "+batchsize=1,2")
    assert (ended.code, ended.err) == (2, "error: batchsize is no setting: did you mean batch_size?\n")
    assert not (tmp_path / "runs" / "sweep").exists()


def test_a_sweep_stays_in_the_folder_of_runs(sweep: Callable[..., Ended], tmp_path: Path) -> None:
    ended = sweep("data=lol_v1", "sweep=..", "seed=0,1")
    assert (ended.code, ended.err.startswith("error: sweep=.. is no name for a folder")) == (2, True)
    assert not list(tmp_path.glob("seed-*"))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("runs={file}", "runs={file}: {file} cannot be made"),
        ("runs={file}/runs", "runs={file}/runs: {file}/runs cannot be made"),
        ("results={file}/runs.csv", "results={file}/runs.csv: {file} cannot be made"),
        ("results={folder}", "results={folder} is a folder: give a file"),
        ("results=", "results= is a folder: give a file"),
        (f"sweep={300 * 'a'}", "sweep=aaa"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_the_first_run(
    run_script: Callable[..., Ended], tmp_path: Path, pairs_root: Path, word: str, told: str
) -> None:
    (tmp_path / "file").write_text("")
    places = {"file": tmp_path / "file", "folder": pairs_root}
    small = ("data=lol_v1", f"data.root={pairs_root}", "batch_size=2", "schedule.steps=2", *TINY)
    runs = () if word.startswith("runs=") else (f"runs={tmp_path / 'runs'}",)
    ended = run_script("train.py", "-m", *runs, *small, "seed=0,1", word.format(**places))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {told.format(**places)}")
    assert len(ended.err.splitlines()) == 1


def test_a_key_cannot_be_deleted(sweep: Callable[..., Ended]) -> None:
    ended = sweep("data=lol_v1", "~objective.vgg")
    assert (ended.code, ended.err) == (
        2,
        "error: ~objective.vgg: a setting cannot be deleted; give it a value, for example null\n",
    )


def test_a_failed_run_is_listed_and_the_others_go_on(sweep: Callable[..., Ended], tmp_path: Path) -> None:
    ended = sweep("data=lol_v1", "norm=gn", "norm.num_groups=3,4")
    assert ended.code == 1
    assert "failed: " in ended.out
    assert "norm.num_groups=3 does not divide" in ended.out
    assert [row["run"] for row in rows(tmp_path)] == [next(row["run"] for row in rows(tmp_path) if "=4" in row["run"])]
    mended = sweep("data=lol_v1", "norm=gn", "norm.num_groups=4")
    assert mended.code == 1  # the other one is still failed


def test_evaluate_scores_the_test_part(
    sweep: Callable[..., Ended], run_script: Callable[..., Ended], tmp_path: Path
) -> None:
    assert sweep("data=lol_v1").code == 0
    (row,) = rows(tmp_path)
    (run,) = (tmp_path / "runs" / "sweep").glob("[!.]*")
    ended = run_script("evaluate.py", f"checkpoint={run / 'checkpoints' / 'last.pt'}")
    assert ended.code == 0, ended.err
    assert "lol_v1, test: " in ended.out
    assert f"{float(row['psnr']):.2f}" in ended.out


def test_resume_is_for_one_run(sweep: Callable[..., Ended]) -> None:
    ended = sweep("data=lol_v1", "resume=somewhere")
    assert ended.code == 2
    assert "resume= and -m" in ended.err


@pytest.mark.parametrize("launcher", [("joblib", "hydra.launcher.n_jobs=2"), ("submitit_local",)])
def test_processes_share_a_sweep(sweep: Callable[..., Ended], tmp_path: Path, launcher: tuple[str, ...]) -> None:
    ended = sweep("data=lol_v1", "seed=0,1", f"hydra/launcher={launcher[0]}", *launcher[1:], "threads=1")
    assert ended.code == 0, ended.out + ended.err
    assert sorted(row["seed"] for row in rows(tmp_path)) == ["0", "1"]


def test_what_is_no_run_is_told(run_script: Callable[..., Ended], tmp_path: Path) -> None:
    ended = run_script("scripts/study_report.py", tmp_path)
    assert ended.code == 2
    assert str(tmp_path) in ended.err


def test_where_the_tables_cannot_be_written_is_told(run_script: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        ended = run_script("scripts/study_report.py", ROOT / "docs" / "study" / "runs.csv", "--out", out)
        assert (ended.code, ended.err.startswith(f"error: {out}: cannot be written (")) == (2, True), ended.err


def test_any_photo_learns_from_photographs(run_script: Callable[..., Ended], tmp_path: Path, pairs_root: Path) -> None:
    """Its camera, and its model, which evaluate.py scores as any other."""
    photographs = tmp_path / "photographs"
    shutil.copytree(pairs_root / "our485" / "high", photographs)
    Image.new("RGB", (96, 96), (5, 5, 9)).save(photographs / "night.png")
    places = (f"data.root={photographs}", f"runs={tmp_path / 'runs'}")
    short = ("schedule.steps=2", "data.crop=32", "batch_size=2", "data.validation_share=0.3", "model.width=8")
    ended = run_script("train.py", "experiment=any_photo", *places, *short)
    assert ended.code == 0, ended.err
    assert "1 of 9 photographs are darker than data.darkest=0.3: night.png" in ended.out, ended.out
    ended = run_script("evaluate.py", f"runs={tmp_path / 'runs'}")
    assert ended.code == 0, ended.err
