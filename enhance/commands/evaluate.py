"""`python evaluate.py`, or `enhance-evaluate`: score a checkpoint, or the images of another method."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from enhance.data.images import telling_later
from enhance.data.pairs import PairSource
from enhance.device import choose_device
from enhance.errors import SettingsError
from enhance.evaluation import contact_sheet, report
from enhance.evaluation.cached_weights import lpips
from enhance.evaluation.choose import Choice, choose_all, choose_pairs
from enhance.evaluation.intervals import intervals_of_means, scenes_of
from enhance.evaluation.outputs import Outputs
from enhance.evaluation.overall_brightness import brightness, brightness_measures, training_brightness
from enhance.evaluation.protocols import PROTOCOLS, summarize
from enhance.evaluation.scores import Measure, score
from enhance.evaluation.variants import check_statistics, compare_statistics
from enhance.files import writing
from enhance.inference.enhancer import AnySize
from enhance.run import checkpoint
from enhance.settings import command
from enhance.settings.config import evaluation_from_config
from enhance.settings.schema import EvaluationSettings

NO_BRIGHTNESS = (
    "overall brightness is left out: what it is compared with are a run's training targets, and this is none"
)


def main() -> None:
    command.run(lambda config: evaluate(evaluation_from_config(config)), "evaluate")


def evaluate(settings: EvaluationSettings) -> None:
    if settings.outputs is not None:
        evaluate_outputs(settings, Path(settings.outputs).absolute())
        return
    path = checkpoint.locate(settings.checkpoint, settings.runs)
    saved = checkpoint.load(path)
    device = choose_device(settings.device)
    model = checkpoint.load_model(saved, path, device)
    if settings.recalibrate is not None:
        check_statistics(saved, model, f"recalibrate={settings.recalibrate}")
    with telling_later():
        choice = choose_pairs(saved.settings, settings.data, with_training=settings.recalibrate == "train")
        source, training = choice.source, choice.training
        evaluation = report.begin(str(path), saved.step, saved.settings, choice.data, choice.split, source, device)
        folder = begin(evaluation, choice, settings, path)
    measures, evaluation.remarks = measures_of(settings, source, device)
    constant = None
    if settings.protocol == "all" and training is not None:  # else a warning says so
        constant = training_brightness(training)
        measures |= brightness_measures(constant)
    evaluation.scores = scores = score(model, source, device, measures)
    evaluation.statistics = compare_statistics(model, saved, scores, source, training, device, settings.recalibrate)
    if constant is not None:
        evaluation.brightness = brightness(scores, constant)
    finish(evaluation, source, AnySize(model, device).enhance, folder)


def evaluate_outputs(settings: EvaluationSettings, given: Path) -> None:
    """Score the images that another method made of the dark ones of a data set."""
    if settings.data is None:
        raise SettingsError(f"outputs={given}: of which pairs? Give data=NAME data.root=DIR too")
    if settings.checkpoint is not None or settings.recalibrate is not None:
        key = "recalibrate" if settings.checkpoint is None else "checkpoint"
        raise SettingsError(f"{key}= and outputs= do not go together: leave one out")
    device = choose_device(settings.device)
    with telling_later():
        choice = choose_all(settings.data)
        outputs = Outputs(given, choice.source)
        evaluation = report.of_outputs(given, choice.data, choice.split, choice.source, device)
        folder = begin(evaluation, choice, settings, given)
    measures, evaluation.remarks = measures_of(settings, choice.source, device)
    if settings.protocol == "all":
        evaluation.remarks.append(NO_BRIGHTNESS)
    evaluation.remarks += outputs.remarks()
    evaluation.scores = score(outputs, choice.source, device, measures)
    finish(evaluation, choice.source, outputs, folder)


def begin(evaluation: report.Evaluation, choice: Choice, settings: EvaluationSettings, scored: Path) -> Path:
    """Print what will be scored, and make the folder of the report, which is returned."""
    evaluation.chosen, evaluation.warnings = choice.chosen, choice.warnings + evaluation.warnings
    print(f"{evaluation.title()} ({choice.chosen})", flush=True)
    return report.make_folder(Path(settings.out) if settings.out else report.default_folder(scored, evaluation))


def measures_of(
    settings: EvaluationSettings, source: PairSource, device: torch.device
) -> tuple[dict[str, Measure], list[str]]:
    """What the protocol asks for besides the scores of every evaluation, and why a part cannot be had."""
    if settings.protocol != "all":
        return {}, []
    distances, remarks = lpips(source, device)
    return PROTOCOLS | distances, remarks


def finish(
    evaluation: report.Evaluation, source: PairSource, shown: Callable[[Tensor], Tensor] | Outputs, folder: Path
) -> None:
    """Intervals, the table, and the files of the report."""
    scores, scenes = evaluation.scores, scenes_of(source)
    evaluation.scenes, evaluation.intervals = int(scenes.max()) + 1, intervals_of_means(scores, scenes)
    evaluation.protocols = summarize(scores, scenes)
    print(report.terminal_table(evaluation))
    sheet = contact_sheet.draw(scores, source, shown, evaluation.title())
    with writing(folder, report.CURE):
        report.write(evaluation, folder)
        sheet.save(folder / "contact_sheet.png")
    print(f"written: {folder}/report.json, report.csv, report.md, contact_sheet.png")
