"""`python evaluate.py protocol=all`: scores by the protocols of other papers."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from enhance.data.open import open_data
from enhance.models.unet import UNet
from enhance.run import checkpoint
from tests.cli.conftest import WRITTEN, read_report


def test_all_protocols_are_printed_and_written(evaluate, make_run) -> None:
    run = make_run()
    ended = evaluate("protocol=all")
    assert ended.code == 0, ended.err
    report = read_report(run / "evaluation-lol_v1-validation")
    assert report["protocols"]["RGB"]["psnr"] == pytest.approx(report["mean"]["psnr"], abs=1e-6)
    assert f"{report['protocols']['Y of BT.601']['psnr']:.2f}" in ended.out
    assert "| Y of BT.601 |" in (run / "evaluation-lol_v1-validation" / "report.md").read_text()
    assert evaluate("protocol=grey").code == 2


def test_protocols_are_told_per_image_and_with_intervals(evaluate, make_run) -> None:
    folder = make_run() / "evaluation-lol_v1-validation"
    assert evaluate().code == 0
    plain = (folder / "report.csv").read_text()
    ended = evaluate("protocol=all")
    assert ended.code == 0, ended.err
    with (folder / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    report = read_report(folder)
    told = {
        name: line for line in ended.out.splitlines() for name in report["protocols"] if line.startswith(f"{name}  ")
    }
    tables = (folder / "report.md").read_text()
    for name, means in report["protocols"].items():
        for key, mean in means.items():
            values = [float(row[f"{name}: {key}"]) for row in rows]
            assert len(values) == 2
            assert sum(values) / 2 == pytest.approx(mean)
            low, high = report["protocol_intervals"][name][key]
            assert [low, high] == pytest.approx(sorted(values))  # two scenes: the mean of one drawn twice is the end
            digits = 2 if key == "psnr" else 4
            assert f"{mean:.{digits}f} {low:.{digits}f} to {high:.{digits}f}" in " ".join(told[name].split())
            assert f"| {mean:.{digits}f} | {low:.{digits}f} to {high:.{digits}f} |" in tables
    for row, image in zip(rows, report["scores"], strict=True):
        assert row["name"] == image["name"]
        assert float(row["RGB: psnr"]) == pytest.approx(image["psnr"])
        assert float(row["RGB, GT-mean: ssim"]) == pytest.approx(image["ssim_gt_mean"])
    assert evaluate().code == 0
    assert (folder / "report.csv").read_text().splitlines()[0] == plain.splitlines()[0]


def test_damaged_lpips_weights_cost_lpips_alone(evaluate, make_run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    file = tmp_path / "torch" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    file.parent.mkdir(parents=True)
    file.write_text("<!DOCTYPE html>")
    folder = make_run() / "evaluation-lol_v1-validation"
    ended = evaluate("protocol=all")
    assert ended.code == 0, ended.err
    assert f"LPIPS: {file} does not hold its weights (" in ended.out
    assert {path.name for path in folder.iterdir()} == WRITTEN
    assert "Y of BT.601, GT-mean" in read_report(folder)["protocols"]


def test_the_error_of_overall_brightness_is_given(evaluate, make_run) -> None:
    run = make_run()
    ended = evaluate("protocol=all")
    assert ended.code == 0, ended.err
    report = read_report(run / "evaluation-lol_v1-validation")
    of_constant = report["protocols"]["RGB, constant brightness"]["psnr"]
    assert report["mean"]["psnr"] < of_constant < report["mean"]["psnr_gt_mean"]  # an untrained model leaves them dark
    found = report["brightness"]
    assert found["explained"] == pytest.approx(1 - (found["error"] / found["error_constant"]) ** 2)
    opened = open_data(checkpoint.load(run / "checkpoints" / "best.pt").settings.data)
    training, validation = opened.training, opened.validation
    greys = [training.whole(index)[1].mean().item() for index in range(len(training))]
    assert min(greys) < found["constant"] < max(greys)
    with (run / "evaluation-lol_v1-validation" / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ratios = [float(row["mean grey: output"]) / float(row["mean grey: reference"]) for row in rows]
    assert found["error"] == pytest.approx(np.sqrt(np.mean(np.square(np.log(ratios)))))
    references = [validation.whole(index)[1].mean((1, 2)) @ torch.tensor([0.299, 0.587, 0.114]) for index in range(2)]
    assert [float(row["mean grey: reference"]) for row in rows] == pytest.approx([float(grey) for grey in references])
    assert f"rms of log(output / reference) {found['error']:.3f}" in ended.out
    assert f"explained {found['explained']:.2f}" in ended.out


def test_without_the_training_images_overall_brightness_is_left_out(
    evaluate, make_run, pairs_root: Path, tmp_path: Path, write_pairs
) -> None:
    make_run()
    write_pairs(tmp_path / "other" / "eval15", range(30, 32))
    pairs_root.rename(tmp_path / "gone")
    ended = evaluate("protocol=all", "data=lol_v1", f"data.root={tmp_path}/other", f"out={tmp_path}/out")
    assert ended.code == 0, ended.err
    assert "training images" in ended.out
    report = read_report(tmp_path / "out")
    assert report["brightness"] is None
    assert "RGB, constant brightness" not in report["protocols"]


def test_the_network_runs_once_on_each_image_for_all_protocols(evaluate, make_run, monkeypatch) -> None:
    make_run(norm="gn")
    calls = []
    forward = UNet.forward
    monkeypatch.setattr(UNet, "forward", lambda model, image: calls.append(len(image)) or forward(model, image))
    assert evaluate().code == 0
    plain = len(calls)
    assert evaluate("protocol=all").code == 0
    assert len(calls) == 2 * plain
