"""The report's files: they parse, hold both protocols, and label them."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import pytest

from enhance.errors import SettingsError
from enhance.evaluation.report import (
    Evaluation,
    StatisticsScore,
    default_folder,
    make_folder,
    markdown,
    terminal_table,
    write,
)
from enhance.evaluation.scores import SCORES, ImageScore


@pytest.fixture
def evaluation() -> Evaluation:
    scores = [
        ImageScore("street|1.png", 18.125, 0.61, 21.5, 0.72, 7.75, 0.125, 0.5),
        ImageScore("room.png", 20.125, 0.81, 22.5, 0.92, 8.75, 0.375, 1.5),
    ]
    own = [ImageScore(s.name, s.psnr - 2, s.ssim, s.psnr_gt_mean, s.ssim_gt_mean, 0, 0, 0) for s in scores]
    return Evaluation(
        checkpoint="runs/x/checkpoints/best.pt",
        step=120,
        model="unet_tiny",
        norm="bn",
        data="lol_v1",
        split="validation",
        device="cpu",
        images=2,
        scores=scores,
        statistics=[
            StatisticsScore("running statistics", scores, in_checkpoint=True),
            StatisticsScore("recalibrated", None, note="not to be had"),
            StatisticsScore("each image's own", own),
        ],
        warnings=["trained on these"],
    )


def test_json_holds_means_images_and_provenance(evaluation: Evaluation, tmp_path: Path) -> None:
    write(evaluation, tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["mean"]["psnr"] == pytest.approx(19.125)
    assert report["mean"]["psnr_gt_mean"] == pytest.approx(22.0)
    assert report["mean"]["ssim_input"] == pytest.approx(0.25)
    assert [image["name"] for image in report["scores"]] == ["street|1.png", "room.png"]
    assert report["checkpoint"] == "runs/x/checkpoints/best.pt"
    assert (report["step"], report["data"], report["split"], report["device"]) == (120, "lol_v1", "validation", "cpu")
    assert report["torch"]
    assert "reference" in report["gt_mean"]
    means = {entry["statistics"]: entry["mean"] for entry in report["statistics"]}
    assert means["each image's own"]["psnr"] == pytest.approx(17.125)
    assert means["recalibrated"] is None


def test_json_stays_valid_where_an_image_is_perfect(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.scores.append(ImageScore("same.png", math.inf, 1, math.inf, 1, 9, 0.5, 1))
    write(evaluation, tmp_path)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    report = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert report["scores"][2]["psnr"] is None
    assert report["mean"]["psnr"] is None
    assert report["mean"]["ssim"] is not None


def test_csv_has_a_line_for_each_image_and_a_column_for_each_score(evaluation: Evaluation, tmp_path: Path) -> None:
    write(evaluation, tmp_path)
    with (tmp_path / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["street|1.png", "room.png"]
    assert set(rows[0]) == {"name", *SCORES}
    assert float(rows[1]["psnr_gt_mean"]) == 22.5


def test_markdown_tables_are_whole_and_label_gt_mean(evaluation: Evaluation) -> None:
    text = markdown(evaluation)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in tables} == {8}
    assert "| room.png | 20.12 | 0.8100 | 22.50 | 0.9200 | 8.75 | 0.3750 |" in tables
    assert "GT-mean PSNR (dB)" in text
    assert "- warning: trained on these" in text


def test_terminal_table_shows_images_means_statistics_and_remarks(evaluation: Evaluation) -> None:
    text = terminal_table(evaluation)
    lines = text.splitlines()
    header = next(line for line in lines if "with GT-mean" in line)
    assert header.index("plain") < header.index("with GT-mean") < header.index("dark input")
    mean = next(line for line in lines if line.startswith("mean of 2"))
    assert mean.split()[3:] == ["19.12", "0.7100", "22.00", "0.8200", "8.25", "0.2500"]
    assert any(line.split()[-4:] == ["17.12", "0.7100", "22.00", "0.8200"] for line in lines)
    assert "running statistics (as saved)" in text
    assert "recalibrated: not to be had" in lines
    assert "1.000 s per image on cpu" in text
    assert max(map(len, lines)) <= 110


def test_report_goes_into_the_run_or_beside_a_loose_file(evaluation: Evaluation) -> None:
    name = "evaluation-lol_v1-validation"
    assert default_folder(Path("runs/x/checkpoints/best.pt"), evaluation) == Path("runs/x") / name
    assert default_folder(Path("kept/mine.pt"), evaluation) == Path("kept") / name


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file/sub: cannot be written.*out=FOLDER"):
        make_folder(tmp_path / "file" / "sub")


def test_an_image_that_makes_the_mean_infinite_is_named(evaluation: Evaluation) -> None:
    evaluation.scores[1] = dataclasses.replace(evaluation.scores[1], psnr=math.inf)
    assert "equal to the reference, so that a mean PSNR is infinite: room.png" in terminal_table(evaluation)
