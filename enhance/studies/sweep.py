"""Many runs from one command, `python train.py -m KEY=A,B ...`: each in a folder named by what was swept, each a row
of one CSV file when it is done. The same command again skips those, resumes what was stopped, and tries again what
failed."""

import json
import shutil
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from enhance import ranks
from enhance.cost.measure import kept_tensors, storage_bytes
from enhance.data.loader import open_report, open_training
from enhance.data.pairs import CameraPairs, PairSource
from enhance.device import choose_device, device_name
from enhance.errors import RunComplete, SettingsError, UserError
from enhance.evaluation.causes import causes
from enhance.models.unet import build_unet
from enhance.norm.frozen import freeze
from enhance.run import checkpoint
from enhance.run.results import SCORES_FILE, append_row, median_speed, read_metrics, read_rows
from enhance.run.resume import has_checkpoint
from enhance.run.tracking import git_state
from enhance.settings import Settings, move
from enhance.training.schedule import peak_lr
from enhance.training.trainer import Trainer

# Of the command line: these do not make another result.
_NOT_IN_NAME = (
    "experiment",
    "runs",
    "results",
    "sweep",
    "threads",
    "device",
    "data.root",
    "data.val_root",
    "data.split",
)
_FAILED = ".failed.txt"


def job_name(overrides: list[str]) -> str:
    """The overrides of one job that its result depends on, sorted: `batch_size=8,norm=bn,seed=0`."""
    values = dict(word.split("=", 1) for word in overrides)
    return ",".join(f"{key}={values[key]}" for key in sorted(values) if key.lstrip("+") not in _NOT_IN_NAME)


def run_job(settings: Settings, overrides: list[str]) -> None:
    """Train and score one run of a sweep, or skip it. A failure is written beside the run folder, and the sweep goes
    on. Several processes may work on one sweep: each run is taken by one of them."""
    if ranks.started_by_torchrun():
        raise SettingsError("torchrun and -m do not go together: hydra/launcher= spreads the runs (docs/study.md)")
    if settings.resume is not None:
        raise SettingsError("resume= and -m do not go together: the same command with -m goes on by itself")
    name = job_name(overrides)
    folder = Path(settings.runs) / settings.sweep / _folder_name(name)
    results = results_file(settings.runs, settings.sweep, settings.results)
    failure = folder.with_name(f"{folder.name}{_FAILED}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0):
            if (done := next((row for row in read_rows(results) if row["run"] == name), None)) is not None:
                _check_same(settings, done, results)
                print(f"done before: {name}")
                return
            print(f"run {name}", flush=True)
            failure.unlink(missing_ok=True)
            try:
                train, validation = _train(settings, folder)
                row = {"run": name} | _row(settings, folder, train, validation)
                (folder / SCORES_FILE).write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
                append_row(results, row)
            except UserError as error:
                failure.write_text(f"{error}\n", encoding="utf-8")
            except Exception:
                failure.write_text(traceback.format_exc(), encoding="utf-8")
            if failure.exists():
                print(f"failed: {_last_line(failure)}", flush=True)
    except Timeout:
        print(f"another process is at it: {name}")


def _described(settings: Settings) -> dict[str, str]:
    """What a row says of a run that is known before it. Names of runs leave out what only `experiment` sets."""
    return {
        "norm": settings.norm.name,
        "batch_size": str(settings.batch_size),
        "seed": str(settings.seed),
        "model": settings.model.name,
        "context": str(settings.model.context),
        "data": settings.data.name,
        "crop": str(settings.data.crop),
        "lr": f"{peak_lr(settings.optimizer, settings.images_per_step):.4g}",
    }


def _check_same(settings: Settings, row: dict[str, str], results: Path) -> None:
    here = _described(settings)
    there = {key: row.get(key) or here[key] for key in here}
    if differ := [key for key in here if there[key] != here[key]]:
        told = [", ".join(f"{key}={values[key]}" for key in differ) for values in (there, here)]
        raise SettingsError(
            f"results={results}: its run {row['run']} is another one, {told[0]} and not {told[1]}; give this sweep a "
            "file of its own, results=FILE"
        )


def _last_line(failure: Path) -> str:
    """Of a traceback, the error itself."""
    return failure.read_text(encoding="utf-8").strip().splitlines()[-1]


def _folder_name(name: str) -> str:
    """Hydra takes no = and no comma in `checkpoint=FOLDER`, and no folder may hold a slash."""
    return name.translate(str.maketrans("=,/", "-__"))


class ReportFailures(Callback):
    """At the end of a sweep, lists its failed runs and ends with exit code 1 if there are any."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        failures = sorted((Path(config.runs) / config.sweep).glob(f"*{_FAILED}"))
        for file in failures:
            print(f"failed: {file.name.removesuffix(_FAILED)}: {_last_line(file)} ({file})")
        print(f"results: {results_file(config.runs, config.sweep, config.results)}")
        if failures:
            raise SystemExit(1)


def results_file(runs: str, sweep: str, results: str | None) -> Path:
    return Path(results) if results is not None else Path(runs) / sweep / "runs.csv"


def _train(settings: Settings, folder: Path) -> tuple[PairSource, PairSource]:
    """Train to the end; the training and validation pairs."""
    if has_checkpoint(folder):
        kept = checkpoint.load_last(folder)
        move(kept.settings, settings)
        try:
            trainer = Trainer(kept.settings, (folder, kept))
        except RunComplete:
            return open_training(settings.data)  # stopped before its row was written
    else:
        if folder.exists():  # stopped before its first checkpoint
            shutil.rmtree(folder)
        trainer = Trainer(settings, folder=folder)
    trainer.fit()
    return trainer.train, trainer.validation


def _row(settings: Settings, folder: Path, train: PairSource, validation: PairSource) -> dict[str, Any]:
    """What one run was, and what it found."""
    path = folder / checkpoint.LAST
    kept = checkpoint.load(path)
    device = choose_device(settings.device)
    model = checkpoint.load_model(kept, path, device)
    model.load_state_dict(kept.running_statistics, strict=False)
    if kept.frozen:
        freeze(model)
    report = open_report(settings.data)
    found = causes(
        model,
        train,
        report or validation,
        _other_cameras(settings, validation),
        settings.data.crop,
        settings.validation.recalibrate_images,
        device,
    )
    git = git_state() or {}
    return {
        **_described(settings),
        "steps": kept.step,
        "images_seen": kept.step * settings.images_per_step,
        "scored_on": "validation" if report is None else "report",
        **{key: f"{value:.4f}" for key, value in found.items()},
        "psnr_validation": f"{kept.validation['psnr']:.4f}",
        "images_per_second": f"{median_speed(read_metrics(folder)):.1f}",
        "kept_mib": f"{_kept_mib(settings):.1f}",
        "device": device_name(device),
        "threads": settings.threads or "",
        "date": f"{datetime.now():%Y-%m-%d}",
        "commit": git.get("commit", "")[:10] + ("+" if git.get("dirty") else ""),
    }


def _other_cameras(settings: Settings, validation: PairSource) -> dict[str, PairSource]:
    """The validation photographs through each of `data.other_cameras`."""
    if not settings.data.other_cameras:
        return {}
    assert isinstance(validation, CameraPairs)  # open_training refuses other cameras for real pairs
    return {name: validation.through(camera) for name, camera in settings.data.other_cameras.items()}


def _kept_mib(settings: Settings) -> float:
    """MiB that a forward pass of one training batch keeps for backward, in float32."""
    model = build_unet(settings.model, settings.norm).train()
    x = torch.rand(settings.batch_size, 3, settings.data.crop, settings.data.crop)
    parameters = storage_bytes(list(model.parameters()))
    kept = storage_bytes(kept_tensors(lambda: model(x)))
    return sum(size for address, size in kept.items() if address not in parameters) / 2**20
