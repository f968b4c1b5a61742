"""Score a checkpoint: python evaluate.py [RUN_OR_FILE] [data=lol_v1 data.root=DIR] [out=FOLDER].
recalibrate=train|target (AdaBN) also scores with batch norms recalibrated now, protocol=all as other papers do, and
says how much of the error is overall brightness.
"""

from pathlib import Path

from enhance.device import choose_device
from enhance.evaluation import contact_sheet, report
from enhance.evaluation.cached_weights import lpips
from enhance.evaluation.choose import choose_pairs
from enhance.evaluation.intervals import intervals_of_means, scenes_of
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


def evaluate(settings: EvaluationSettings) -> None:
    path = checkpoint.locate(settings.checkpoint, settings.runs)
    saved = checkpoint.load(path)
    device = choose_device(settings.device)
    model = checkpoint.load_model(saved, path, device)
    if settings.recalibrate is not None:
        check_statistics(saved, model, f"recalibrate={settings.recalibrate}")
    choice = choose_pairs(saved.settings, settings.data, with_training=settings.recalibrate == "train")
    source, training = choice.source, choice.training
    evaluation = report.begin(str(path), saved.step, saved.settings, choice.data, choice.split, source, device)
    evaluation.warnings = choice.warnings + evaluation.warnings
    print(evaluation.title(), flush=True)
    folder = report.make_folder(Path(settings.out) if settings.out else report.default_folder(path, evaluation))
    measures: dict[str, Measure] = {}
    constant = None
    if settings.protocol == "all":
        distances, evaluation.remarks = lpips(source, device)
        measures = PROTOCOLS | distances
        if training is not None:  # else a warning says so
            constant = training_brightness(training)
            measures |= brightness_measures(constant)
    evaluation.scores = scores = score(model, source, device, measures)
    evaluation.statistics = compare_statistics(model, saved, scores, source, training, device, settings.recalibrate)
    scenes = scenes_of(source)
    evaluation.scenes, evaluation.intervals = int(scenes.max()) + 1, intervals_of_means(scores, scenes)
    evaluation.protocols = summarize(scores, scenes)
    if constant is not None:
        evaluation.brightness = brightness(scores, constant)
    print(report.terminal_table(evaluation))
    sheet = contact_sheet.draw(scores, source, AnySize(model, device).enhance, evaluation.title())
    with writing(folder, report.CURE):
        report.write(evaluation, folder)
        sheet.save(folder / "contact_sheet.png")
    print(f"written: {folder}/report.json, report.csv, report.md, contact_sheet.png")


if __name__ == "__main__":
    command.run(lambda config: evaluate(evaluation_from_config(config)), "evaluate")
