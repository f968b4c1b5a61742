"""`python evaluate.py protocol=all`: scores by the protocols of other papers."""

import csv
from pathlib import Path

import pytest

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
