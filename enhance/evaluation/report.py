"""The report of an evaluation: a table for the terminal, and the files report.json, report.csv and report.md."""

import csv
import dataclasses
import json
import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from enhance import weights
from enhance.data.images import shortened
from enhance.data.pairs import PairSource, skipped_message
from enhance.evaluation import tables
from enhance.evaluation.intervals import TITLES
from enhance.evaluation.overall_brightness import Brightness
from enhance.evaluation.protocols import Protocols, protocol_table
from enhance.evaluation.scores import SCORES, ImageScore, mean_score
from enhance.files import replacing, writing
from enhance.settings.schema import Settings

GT_MEAN = "GT-mean: the output is first scaled to the reference's mean brightness, which no user has."
CURE = "give out=FOLDER"  # where the report cannot be written
STATISTICS = "batch norm: running statistics as training left them; recalibrated over whole training images."


@dataclass
class StatisticsScore:
    """The scores under one choice of the batch norms' statistics."""

    statistics: str  # what they are taken over, in words
    scores: list[ImageScore] | None  # None: could not be had, see `note`
    in_checkpoint: bool = False  # what the checkpoint holds, and photographs are enhanced with
    note: str = ""


@dataclass
class Evaluation:
    """What was scored, and how it came out."""

    checkpoint: str  # or the folder of another method's outputs
    step: int | None  # None of outputs, of which model and norm are not known
    model: str
    norm: str
    data: str
    split: str  # "test", "validation" or "all"
    device: str
    images: int
    scores: list[ImageScore] = field(default_factory=list)
    statistics: list[StatisticsScore] = field(default_factory=list)  # batch norms with running statistics only
    chosen: str = ""  # how many of how many images these are, and why
    warnings: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    protocols: Protocols = field(default_factory=dict)  # where asked for; their images are those of `scores`
    brightness: Brightness | None = None  # where it was asked for
    scenes: int = 0  # that the images show, where they were counted
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)  # 95 %, of means, by field of ImageScore

    def title(self) -> str:
        """One line: which checkpoint, which data, which split, how many images."""
        known = "outputs" if self.step is None else f"{self.model}, norm={self.norm}, step {self.step}"
        return (
            f"{self.checkpoint} ({known}) on {self.data}, {self.split}: {self.images} image{'s' * (self.images != 1)}"
        )


def begin(
    checkpoint: str, step: int, run: Settings, data: str, split: str, source: PairSource, device: torch.device
) -> Evaluation:
    """What will be scored of a run's checkpoint; the scores are yet to come."""
    names, warnings = (run.model.name, run.norm.name, data), skipped_message(source)
    return Evaluation(checkpoint, step, *names, split, str(device), len(source), warnings=warnings)


def of_outputs(folder: Path, data: str, split: str, source: PairSource, device: torch.device) -> Evaluation:
    """What will be scored of another method's outputs."""
    return Evaluation(
        str(folder), None, "", "", data, split, str(device), len(source), warnings=skipped_message(source)
    )


def default_folder(checkpoint: Path, evaluation: Evaluation) -> Path:
    """`evaluation-<data>-<split>` in the run folder; beside the file where it lies in none. Beside a folder of outputs
    its name stands before, and so does that of weights in the box, in the working folder."""
    if evaluation.step is None:
        return checkpoint.with_name(f"{checkpoint.name}-evaluation-{evaluation.data}-{evaluation.split}")
    if checkpoint.parent == weights.FOLDER:
        return Path(f"{checkpoint.stem}-evaluation-{evaluation.data}-{evaluation.split}")
    home = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
    return home / f"evaluation-{evaluation.data}-{evaluation.split}"


def make_folder(folder: Path) -> Path:
    """Make the report's folder before the work that goes into it; a `SettingsError` where it cannot be made or
    written."""
    with writing(folder, CURE):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    return folder


def write(evaluation: Evaluation, folder: Path) -> None:
    """Write report.json, report.csv and report.md into `folder`, which exists; each replaces an older one whole."""
    with replacing(folder / "report.json") as file:
        file.write_text(json.dumps(_as_dict(evaluation), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    with replacing(folder / "report.md") as file:
        file.write_text(markdown(evaluation), encoding="utf-8")
    with replacing(folder / "report.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        images = [
            {key: getattr(image, key) for key in ("name", *SCORES)}
            | {f"{name}: {key}": value for name, keys in image.measures.items() for key, value in keys.items()}
            for image in evaluation.scores
        ]
        writer = csv.DictWriter(file, images[0])
        writer.writeheader()
        writer.writerows(images)


def _as_dict(evaluation: Evaluation) -> Any:
    """JSON values. The PSNR of identical images is infinite, for which JSON has no number: null."""
    values = dataclasses.asdict(evaluation) | {"torch": torch.__version__, "gt_mean": GT_MEAN}
    values["mean"] = mean_score(evaluation.scores)
    for key, attribute in (("protocols", "mean"), ("protocol_intervals", "interval")):
        values[key] = {
            name: {each: getattr(score, attribute) for each, score in scores.items()}
            for name, scores in evaluation.protocols.items()
        }
    for image in values["scores"]:
        del image["measures"]
    for entry, choice in zip(values["statistics"], evaluation.statistics, strict=True):
        del entry["scores"]
        entry["mean"] = mean_score(choice.scores) if choice.scores else None
    return json.loads(json.dumps(values), parse_constant=lambda _: None)


def terminal_table(evaluation: Evaluation) -> str:
    """The table that `evaluate.py` prints: every image, then the means."""
    blank = [""] * 7
    groups = ["", "", "plain", "", "with GT-mean", "", "dark input"]
    head = ["image", *["PSNR", "SSIM"] * 3]
    text = tables.aligned([groups, head, *_image_rows(evaluation), blank, *_mean_rows(evaluation), blank])
    if evaluation.protocols:
        text += tables.aligned([*protocol_table(evaluation.protocols), [""] * 5])
    return text + "\n".join(_remarks(evaluation))


def markdown(evaluation: Evaluation) -> str:
    """The report as Markdown: the means, then every image."""
    columns = ["PSNR (dB)", "SSIM", "GT-mean PSNR (dB)", "GT-mean SSIM", "dark input PSNR (dB)", "dark input SSIM"]
    parts = ["# Evaluation\n", f"{evaluation.title()}\n", tables.markdown([["", *columns], *_mean_rows(evaluation)])]
    if evaluation.protocols:
        parts.append(tables.markdown(protocol_table(evaluation.protocols)))
    parts += ["".join(f"- {remark}\n" for remark in _remarks(evaluation)), "## Each image\n"]
    return "\n".join([*parts, tables.markdown([["image", *columns], *_image_rows(evaluation)])])


def _image_rows(evaluation: Evaluation) -> list[list[str]]:
    return [_row(image.name, vars(image)) for image in evaluation.scores]


def _mean_rows(evaluation: Evaluation) -> list[list[str]]:
    rows = [_row(f"mean of {len(evaluation.scores)}", mean_score(evaluation.scores))]
    for choice in evaluation.statistics:
        label = f"  {choice.statistics}{' (as saved)' if choice.in_checkpoint else ''}"
        values = _row(label, mean_score(choice.scores)) if choice.scores else [label, *["-"] * 4]
        rows.append([*values[:5], "", ""])  # the dark input stays the same
    return rows


def _row(label: str, score: dict[str, Any]) -> list[str]:
    return [label, *(tables.score_text(key, score[key]) for key in SCORES if key != "seconds")]


def _remarks(evaluation: Evaluation) -> list[str]:
    seconds = mean_score(evaluation.scores)["seconds"]
    remarks = [f"warning: {warning}" for warning in evaluation.warnings]
    if exact := [image.name for image in evaluation.scores if math.isinf(image.psnr)]:
        remarks.append(f"warning: equal to the reference, so that a mean PSNR is infinite: {shortened(exact)}")
    remarks += [f"scored: {evaluation.chosen}."] if evaluation.chosen else []
    remarks.append(GT_MEAN)
    if not math.isnan(seconds):
        remarks.append(f"{seconds:.3f} s per image on {evaluation.device}, the model alone.")
    if evaluation.intervals:
        ends = ", ".join(f"{TITLES[key]} {tables.score_text(key, *both)}" for key, both in evaluation.intervals.items())
        remarks.append(f"95 % intervals of the means, bootstrap over {evaluation.scenes} scenes: {ends}.")
    if evaluation.brightness:
        remarks.append(evaluation.brightness.line())
    if evaluation.statistics:
        remarks.append(STATISTICS)
    remarks += evaluation.remarks
    return remarks + [f"{choice.statistics}: {choice.note}" for choice in evaluation.statistics if choice.note]
