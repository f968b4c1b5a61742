"""Score a checkpoint: python evaluate.py [checkpoint=RUN_OR_FILE] [data=lol_v1 data.root=DIR] [out=FOLDER].
recalibrate=train|target (AdaBN) also scores with batch norms recalibrated now, protocol=all as other papers do.
"""

from pathlib import Path

from enhance.data.pairs import left_out_told
from enhance.device import choose_device
from enhance.evaluation import contact_sheet, report
from enhance.evaluation.choose import choose_pairs
from enhance.evaluation.evaluate import score
from enhance.evaluation.intervals import intervals_of_means
from enhance.evaluation.protocols import score_protocols
from enhance.evaluation.statistics import compare_statistics
from enhance.inference.any_size import AnySize
from enhance.run import checkpoint
from enhance.settings import EvaluationSettings, command
from enhance.settings.config import evaluation_from_config


def evaluate(settings: EvaluationSettings) -> None:
    path = checkpoint.locate(settings.checkpoint, settings.runs)
    kept = checkpoint.load(path)
    device = choose_device(settings.device)
    model = checkpoint.load_model(kept, path, device)
    if settings.recalibrate is not None:
        checkpoint.check_statistics(kept, model, f"recalibrate={settings.recalibrate}")
    choice = choose_pairs(kept.settings, settings.data, with_training=settings.recalibrate == "train")
    evaluation = report.Evaluation(
        checkpoint=str(path),
        step=kept.step,
        model=kept.settings.model.name,
        norm=kept.settings.norm.name,
        data=choice.data,
        split=choice.split,
        device=str(device),
        images=len(choice.source),
        warnings=choice.warnings + left_out_told(choice.source),
    )
    print(evaluation.title(), flush=True)
    folder = report.make_folder(Path(settings.out) if settings.out else report.default_folder(path, evaluation))
    evaluation.scores = score(model, choice.source, device)
    evaluation.statistics = compare_statistics(
        model, kept, evaluation.scores, choice.source, choice.training, device, settings.recalibrate
    )
    evaluation.scenes, evaluation.intervals = intervals_of_means(evaluation.scores, choice.source)
    if settings.protocol == "all":
        evaluation.protocols, evaluation.remarks = score_protocols(model, choice.source, device)
    print(report.terminal_table(evaluation))
    sheet = contact_sheet.draw(evaluation.scores, choice.source, AnySize(model, device).enhance, evaluation.title())
    with report.write_told(folder):
        report.write(evaluation, folder)
        sheet.save(folder / "contact_sheet.png")
    print(f"written: {folder}/report.json, report.csv, report.md, contact_sheet.png")


if __name__ == "__main__":
    command.run(lambda config: evaluate(evaluation_from_config(config)), "evaluate")
