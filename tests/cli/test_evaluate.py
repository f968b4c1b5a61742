"""`python evaluate.py` from the command line to the files, and what it refuses."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from enhance.run.checkpoint import load, save
from enhance.settings.schema import CameraSettings, DataSettings
from tests.cli.conftest import WRITTEN, read_report
from tests.processes import ROOT


def test_by_default_the_newest_run_is_scored_on_its_own_held_out_images(evaluate, make_run) -> None:
    older, newer = make_run("older"), make_run("newer", norm="gn")
    os.utime(older / "checkpoints" / "best.pt", (1, 1))
    ended = evaluate()
    assert ended.code == 0, ended.err
    first = ended.out.splitlines()[0]
    assert f"{newer}/checkpoints/best.pt" in first
    assert "lol_v1, validation: 2 images" in first
    folder = newer / "evaluation-lol_v1-validation"
    assert {path.name for path in folder.iterdir()} == WRITTEN
    report = read_report(folder)
    assert len(report["scores"]) == 2
    assert report["statistics"] == []
    mean = next(line.split() for line in ended.out.splitlines() if line.startswith("mean of 2"))
    assert mean[3] == f"{report['mean']['psnr']:.2f}"
    assert mean[5] == f"{report['mean']['psnr_gt_mean']:.2f}"
    low, high = report["intervals"]["psnr"]
    assert low <= report["mean"]["psnr"] <= high
    assert f"bootstrap over 2 scenes: PSNR {low:.2f} to {high:.2f}" in ended.out
    assert Image.open(folder / "contact_sheet.png").format == "PNG"


def test_the_test_part_is_scored_where_the_data_have_one(evaluate, make_run, pairs_root, write_pairs) -> None:
    run = make_run()
    write_pairs(pairs_root / "eval15", range(20, 23))
    ended = evaluate(f"checkpoint={run}")
    assert "lol_v1, test: 3 images" in ended.out
    names = [score["name"] for score in read_report(run / "evaluation-lol_v1-test")["scores"]]
    assert names == ["20", "21", "22"]


@pytest.mark.parametrize("recalibrated", [True, False])
def test_batch_norm_is_scored_with_three_statistics(evaluate, make_run, recalibrated: bool) -> None:
    run = make_run(recalibrated=recalibrated)
    ended = evaluate()
    means = {
        entry["statistics"]: entry["mean"]["psnr"]
        for entry in read_report(run / "evaluation-lol_v1-validation")["statistics"]
    }
    assert list(means) == ["running statistics", "recalibrated", "each image's own"]
    saved = "recalibrated" if recalibrated else "running statistics"
    assert f"{saved} (as saved)" in ended.out
    for label, psnr in means.items():
        assert any(label in line and f"{psnr:.2f}" in line for line in ended.out.splitlines())
    assert means["each image's own"] != means["running statistics"]


def test_target_adapts_to_the_scored_images_and_train_changes_nothing(evaluate, make_run) -> None:
    run = make_run(recalibrated=False)
    psnr = {}
    for now in ("train", "target"):
        ended = evaluate(f"recalibrate={now}")
        assert ended.code == 0, ended.err
        entries = read_report(run / "evaluation-lol_v1-validation")["statistics"]
        psnr |= {entry["statistics"]: entry["mean"]["psnr"] for entry in entries}
    assert psnr["recalibrated now, on training images"] == psnr["recalibrated"]
    assert psnr["adapted to these dark images (AdaBN)"] not in (psnr["recalibrated"], psnr["running statistics"])


def test_recalibration_is_for_batch_norms(evaluate, make_run) -> None:
    make_run(norm="gn")
    assert_refused(evaluate("recalibrate=target"), "recalibrate=target", "norm=gn")
    assert_refused(evaluate("recalibrate=test"), "choose one of train, target")


@pytest.mark.parametrize("word", ["data.crop=3", "+data.crop=64", "data.root=DIR"])
def test_a_key_of_a_data_set_that_is_not_chosen_is_told(evaluate, word: str) -> None:
    assert_refused(evaluate(word), "data=NAME")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("+protocl=all", "protocl is no setting: did you mean protocol?"),
        ("seed=1", "seed is no setting of evaluate.py: it is one of train.py"),
        ("+run=RUN", "run is no setting: did you mean checkpoint?"),
        ("batchsize=1", "batchsize is no setting: --help lists them"),
        ("data=null", "data=null: leave it out, or choose one of demo, "),
    ],
)
def test_an_unknown_key_is_told_with_those_of_this_command(evaluate, make_run, word: str, told: str) -> None:
    make_run()
    assert_refused(evaluate(word), told)


def test_other_data_and_another_folder_can_be_given(evaluate, make_run, tmp_path: Path, write_pairs) -> None:
    run = make_run()
    write_pairs(tmp_path / "other" / "eval15", range(30, 32))
    ended = evaluate(f"checkpoint={run}", "data=lol_v1", f"data.root={tmp_path}/other", f"out={tmp_path}/out")
    assert ended.code == 0, ended.err
    assert "lol_v1, test: 2 images" in ended.out
    assert "warning" not in ended.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == WRITTEN


def test_images_smaller_than_a_training_crop_are_scored(evaluate, make_run, tmp_path: Path, write_pairs) -> None:
    make_run()
    write_pairs(tmp_path / "other" / "our485", range(30, 34))  # 56x40, and data.crop is 128 by default
    ended = evaluate("data=lol_v1", f"data.root={tmp_path}/other", f"out={tmp_path}/out")
    assert ended.code == 0, ended.err


def test_own_pairs_are_scored_whole_and_the_first_line_says_so(evaluate, make_run, tmp_path: Path, write_pairs) -> None:
    run = make_run()
    write_pairs(tmp_path / "own", range(30, 40))
    ended = evaluate("data=pairs", f"data.root={tmp_path}/own")
    assert ended.code == 0, ended.err
    assert "pairs, all: 10 images (10 of 10 pairs, for they are other data" in ended.out.splitlines()[0]
    assert len(read_report(run / "evaluation-pairs-all")["scores"]) == 10


def test_the_first_line_comes_before_what_is_said_of_the_data(evaluate, make_run, tmp_path: Path, write_pairs) -> None:
    make_run()
    write_pairs(tmp_path / "own" / "Test", range(30, 33))
    (tmp_path / "own" / "Test" / "low" / "notes.txt").write_text("x")
    ended = evaluate("data=pairs", f"data.root={tmp_path}/own", f"out={tmp_path}/out")
    assert ended.code == 0, ended.err
    first, *others = ended.out.splitlines()
    assert "pairs, test: 3 images (3 of 3 pairs, the test part of the data)" in first
    told = [line for line in others if line.startswith(("data=pairs, test: ", "passed over in "))]
    assert [line.split()[-1] for line in told] == [str(tmp_path / "own" / "Test" / "high"), ".txt"]


def test_what_is_said_of_the_data_stands_before_an_error_too(evaluate, make_run, tmp_path: Path, write_pairs) -> None:
    make_run()
    write_pairs(tmp_path / "own" / "Test", range(40, 42))
    (tmp_path / "own" / "Test" / "high" / "40.png").write_bytes(b"")
    ended = evaluate("data=pairs", f"data.root={tmp_path}/own")
    assert ended.out.startswith(f"data=pairs, test: {tmp_path}")
    assert_refused(ended, "40.png")


def test_images_too_small_to_score_are_named(evaluate, make_run, tmp_path: Path, write_pairs) -> None:
    make_run()
    write_pairs(tmp_path / "other" / "eval15", range(30, 32))
    for side in ("low", "high"):
        file = tmp_path / "other" / "eval15" / side / "31.png"
        Image.open(file).resize((20, 12)).save(file)
    assert_refused(evaluate("data=lol_v1", f"data.root={tmp_path}/other"), "31.png 20x12", "16x16")


def test_scenes_that_the_run_was_trained_on_are_not_scored_in_silence(
    evaluate, make_run, pairs_root: Path, tmp_path: Path, write_pairs
) -> None:
    make_run()
    write_pairs(tmp_path / "other" / "eval15", range(11))  # the run's 8, two of which it held out, and 3 more
    arguments = ("data=lol_v1", f"data.root={tmp_path}/other")
    (warning,) = read_warnings(evaluate(*arguments).out)
    assert "trained on the scenes of 6 of these 11 images" in warning
    pairs_root.rename(tmp_path / "gone")
    (warning,) = read_warnings(evaluate(*arguments).out)
    assert "training images" in warning
    assert "are not here" in warning


def test_a_test_part_that_repeats_training_images_is_told(evaluate, make_run, pairs_root: Path, write_pairs) -> None:
    make_run()
    write_pairs(pairs_root / "eval15", range(5, 12))
    ended = evaluate()
    assert "lol_v1, test: 7 images" in ended.out
    (warning,) = read_warnings(ended.out)
    assert "trained on the scenes of" in warning


def test_the_runs_own_data_have_its_parts_however_they_are_named(
    evaluate, make_run, pairs_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run()
    monkeypatch.chdir(tmp_path)
    wanted = evaluate().out.splitlines()[0]
    assert "lol_v1, validation: 2 images" in wanted
    for root in (f"{pairs_root}/", pairs_root.name, "pairs/../pairs"):
        ended = evaluate("data=lol_v1", f"data.root={root}", f"out={tmp_path}/out")
        assert ended.out.splitlines()[0] == wanted
        assert not read_warnings(ended.out)


def test_the_runs_own_photographs_are_seen_through_its_camera(evaluate, make_run, pairs_root: Path, tmp_path) -> None:
    file = make_run() / "checkpoints" / "best.pt"
    kept = load(file)
    photographs = str(pairs_root / "our485" / "high")
    kept.settings.data = DataSettings("photos", photographs, camera=CameraSettings(-1, -0.5), validation_share=0.25)
    save(kept, file)
    assert evaluate(f"out={tmp_path}/own").code == 0
    named = ("data=photos", f"data.root={photographs}/")
    assert evaluate(*named, f"out={tmp_path}/named").code == 0
    assert evaluate(*named, "data.camera.exposure_min_ev=-5", f"out={tmp_path}/other").code == 0
    own, named_psnr, other = (read_report(tmp_path / name)["mean"]["psnr_input"] for name in ("own", "named", "other"))
    assert named_psnr == own != other


def read_warnings(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith("warning")]


def assert_refused(ended, *words: str) -> None:
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert len(ended.err.splitlines()) <= 2, ended.err
    for word in words:
        assert word in ended.err


def test_missing_checkpoints_are_told(evaluate, make_run, tmp_path: Path) -> None:
    assert_refused(evaluate(), str(tmp_path / "runs"), "train first")
    assert_refused(evaluate(f"checkpoint={tmp_path}/nowhere"), "nowhere", "give a run folder, a .pt file, or any_photo")
    assert_refused(evaluate(f"checkpoint={tmp_path}"), "no checkpoints/best.pt")


def test_a_file_that_is_no_checkpoint_is_told(evaluate, tmp_path: Path) -> None:
    (tmp_path / "notes.pt").write_text("not weights")
    assert_refused(evaluate(f"checkpoint={tmp_path}/notes.pt"), "notes.pt", "not a checkpoint")
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    assert_refused(evaluate(f"checkpoint={tmp_path}/other.pt"), "other.pt", "not a checkpoint")


class WritesAFile:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "run"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_with_code_is_refused_and_not_run(evaluate, tmp_path: Path, save) -> None:
    save(WritesAFile(tmp_path / "written"), tmp_path / "evil.pt")
    assert_refused(evaluate(f"checkpoint={tmp_path}/evil.pt"), "evil.pt", "not a checkpoint")
    assert not (tmp_path / "written").exists()
    with (tmp_path / "evil.pt").open("rb") as file:  # the file does write where it is unpickled carelessly
        torch.load(file, weights_only=False) if save is torch.save else pickle.load(file)
    assert (tmp_path / "written").exists()


@pytest.mark.parametrize(
    "planted",
    [{"name": "${oc.env:HOME}"}, {"_target_": "os.system"}, {"data": {"root": "${oc.env:HOME}"}}],
)
def test_settings_of_a_checkpoint_reach_nothing(evaluate, make_run, planted: dict[str, Any]) -> None:
    file = make_run() / "checkpoints" / "best.pt"
    values = torch.load(file, weights_only=True)
    for key, value in planted.items():
        values["settings"][key] = values["settings"].get(key, {}) | value if isinstance(value, dict) else value
    torch.save(values, file)
    ended = evaluate()
    assert_refused(ended, str(file), "its settings do not fit")
    assert os.environ["HOME"] not in ended.err.replace(str(file), "")


def test_weights_of_another_model_are_told(evaluate, make_run) -> None:
    file = make_run() / "checkpoints" / "best.pt"
    values = torch.load(file, weights_only=True)
    values["settings"]["model"]["width"] = 16
    torch.save(values, file)
    assert_refused(evaluate(), str(file), "do not fit")


def test_moved_data_are_told_with_the_way_to_name_their_place(evaluate, make_run, pairs_root: Path) -> None:
    run = make_run()
    pairs_root.rename(pairs_root.with_name("moved"))
    assert_refused(evaluate(), str(pairs_root), "data=lol_v1 data.root=DIR")
    assert [path.name for path in run.iterdir()] == ["checkpoints"]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("data=lol_v9", ("data=lol_v9", "lol_v1")),
        ("norm=gn", ("norm is no setting of this command",)),
        ("chekpoint=x", ("chekpoint", "checkpoint")),
        ("device=gpu", ("device=gpu", "auto")),
        ("out=/dev/null/report", ("/dev/null/report", "out=")),
    ],
)
def test_bad_settings_are_told_with_the_cure(evaluate, make_run, argument: str, words: tuple[str, ...]) -> None:
    make_run()
    assert_refused(evaluate(argument), *words)


def test_as_a_process_it_ends_with_2_and_leaves_nothing_behind(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, ROOT / "evaluate.py", "runs=nowhere"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: nowhere: no run with a checkpoint here; train first (python train.py), or give checkpoint=PATH\n"
    )
    assert list(tmp_path.iterdir()) == []
