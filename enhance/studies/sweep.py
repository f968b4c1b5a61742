"""Many runs from one command, `python train.py -m KEY=A,B ...`: each in a folder named by what is swept, each a row of
one CSV file when it is done.

The same command again skips those, resumes what was stopped, and tries again what failed.
"""

import json
import re
import shutil
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict

from enhance import ranks
from enhance.cost.measure import saved_tensors, storage_bytes
from enhance.data.open import Opened, open_data
from enhance.data.pairs import CameraPairs, PairSource
from enhance.device import choose_device, device_name
from enhance.errors import RunComplete, SettingsError, UserError, exit_on_user_error
from enhance.files import Lock
from enhance.models.build import build_model
from enhance.norm.batch import freeze
from enhance.run import checkpoint
from enhance.run.first_weights import note_contents
from enhance.run.provenance import git_state
from enhance.run.results import SCORES_FILE, append_row, median_speed, read_metrics, read_rows
from enhance.run.resume import has_checkpoint
from enhance.settings.identity import LABELS, MOVABLE, identity, move
from enhance.settings.schema import Settings
from enhance.studies.study_scores import study_scores
from enhance.training.schedule import peak_lr
from enhance.training.trainer import train

_FAILED = ".failed.txt"
_LONGEST = 120  # characters of a folder's name; file systems allow 255


class SweepCallback(Callback):
    """Before a sweep, tells its jobs which settings are swept; after it, lists the failed runs and ends with exit code
    1 if there are any."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        with exit_on_user_error():  # Hydra turns other errors of a callback into warnings, and its own mkdir tells less
            _make_places(config.get("runs", "."), config.get("results"))
        overrides = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
        swept = {each.key_or_group for each in overrides if each.is_sweep_override()}
        swept |= set(config.hydra.sweeper.params or {})
        constant = {each.key_or_group for each in overrides} - swept
        unnamed = sorted(constant | {"experiment", *LABELS, *MOVABLE})
        with open_dict(config):  # each job is composed anew, with these overrides
            config.hydra.overrides.hydra.append(f"hydra.job.config.override_dirname.exclude_keys=[{','.join(unnamed)}]")

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        failures = sorted((Path(config.runs) / config.sweep).glob(f"*{_FAILED}"))
        for file in failures:
            print(f"failed: {file.name.removesuffix(_FAILED)}: {_last_line(file)} ({file})")
        print(f"results: {results_file(config.runs, config.sweep, config.results)}")
        if failures:
            raise SystemExit(1)


def run_job(settings: Settings, swept: str) -> None:
    """Train and score one run of a sweep, or skip it. A failure is written beside the run folder, and the sweep goes
    on. Several processes may work on one sweep: each run is taken by one of them.

    Args:
        swept: what this run sets of all that is swept, `batch_size=8,norm=bn,seed=0`.
    """
    if ranks.started_by_torchrun():
        raise SettingsError("torchrun and -m do not go together: hydra/launcher= spreads the runs (docs/study.md)")
    if settings.resume is not None:
        raise SettingsError("resume= and -m do not go together: the same command with -m goes on by itself")
    note_contents(settings)
    run_id = identity(settings)
    folder = Path(settings.runs) / settings.sweep / folder_name(swept, run_id)
    results = results_file(settings.runs, settings.sweep, settings.results)
    failure = folder.with_name(f"{folder.name}{_FAILED}")
    _make(folder.parent, f"sweep={settings.sweep}")
    try:
        with Lock(folder.with_name(f".{folder.name}.lock"), timeout=0):
            if any(row.get("id") == run_id for row in read_rows(results)):
                print(f"done before: {swept}")
                return
            print(f"run {swept}", flush=True)
            failure.unlink(missing_ok=True)
            try:
                row = {"run": swept, "id": run_id} | _row(settings, folder, _train(settings, folder))
                (folder / SCORES_FILE).write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
                append_row(results, row)
            except Exception as error:
                reason = f"{error}\n" if isinstance(error, UserError) else traceback.format_exc()
                failure.write_text(reason, encoding="utf-8")
                print(f"failed: {_last_line(failure)}", flush=True)
    except Timeout:
        print(f"another process is at it: {swept}")


def _make_places(runs: str, results: str | None) -> None:
    _make(Path(runs), f"runs={runs}")
    if results is not None:
        if Path(results).is_dir():
            raise SettingsError(f"results={results} is a folder: give a file, results=FILE.csv, or leave it out")
        _make(Path(results).parent, f"results={results}")


def _make(folder: Path, given: str) -> None:
    """Make a folder before the first step, not after hours; a `SettingsError` where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{given}: {folder} cannot be made ({error.strerror}); choose another place") from error


def folder_name(swept: str, run_id: str) -> str:
    """Of a run: what is swept, as far as it goes into a name, and the identity.

    Example:
        >>> folder_name("batch_size=8,norm=bn", "0123456789ab")
        'batch_size-8_norm-bn_0123456789ab'
    """
    plain = re.sub(r"[^\w.+-]+", "_", swept.replace("=", "-"))  # Hydra takes no = and no comma in `checkpoint=FOLDER`
    return f"{plain[:_LONGEST]}_{run_id}".lstrip("_.")


def _last_line(failure: Path) -> str:
    """Of a traceback, the error itself."""
    return failure.read_text(encoding="utf-8").strip().splitlines()[-1]


def results_file(runs: str, sweep: str, results: str | None) -> Path:
    return Path(results) if results is not None else Path(runs) / sweep / "runs.csv"


def _train(settings: Settings, folder: Path) -> Opened:
    """Train to the end; the data."""
    if not has_checkpoint(folder):
        if folder.exists():  # stopped before its first checkpoint
            shutil.rmtree(folder)
        return train(settings, folder).data
    last = checkpoint.load_last(folder)
    move(last.settings, settings)
    try:
        return train(last.settings, folder, last).data
    except RunComplete:  # stopped before its row was written
        return open_data(settings.data, settings.model.channels)


def _row(settings: Settings, folder: Path, data: Opened) -> dict[str, Any]:
    """What one run was, and its scores."""
    path = folder / checkpoint.LAST
    last = checkpoint.load(path)
    device = choose_device(settings.device)
    model = checkpoint.load_model(last, path, device)
    model.load_state_dict(last.running_statistics, strict=False)
    if last.frozen:
        freeze(model)
    test = data.test if data.split_has_test else None
    others: dict[str, PairSource] = {}
    if settings.data.other_cameras:
        assert isinstance(data.validation, CameraPairs)  # open_data refuses other cameras for real pairs
        others = {name: data.validation.through(camera) for name, camera in settings.data.other_cameras.items()}
    images = settings.validation.recalibrate_images
    scores = study_scores(model, data.training, test or data.validation, others, settings.data.crop, images, device)
    git = git_state() or {}
    return {
        "norm": settings.norm.name,
        "batch_size": settings.batch_size,
        "seed": settings.seed,
        "model": settings.model.name,
        "context": settings.model.context,
        "data": settings.data.name,
        "crop": settings.data.crop,
        "lr": f"{peak_lr(settings.optimizer, settings.images_per_step):.4g}",
        "steps": last.step,
        "images_seen": last.step * settings.images_per_step,
        "scored_on": "validation" if test is None else "test",
        **{key: f"{value:.4f}" for key, value in scores.items()},
        "psnr_validation": f"{last.validation['psnr']:.4f}",
        "images_per_second": f"{median_speed(read_metrics(folder)):.1f}",
        "kept_mib": f"{_kept_mib(settings):.1f}",
        "device": device_name(device),
        "threads": settings.threads or "",
        "date": f"{datetime.now():%Y-%m-%d}",
        "commit": git.get("commit", "")[:10] + ("+" if git.get("dirty") else ""),
    }


def _kept_mib(settings: Settings) -> float:
    """MiB that a forward pass of one training batch keeps for backward, in float32."""
    model = build_model(settings.model, settings.norm).train()
    x = torch.rand(settings.batch_size, settings.model.channels, settings.data.crop, settings.data.crop)
    parameters = storage_bytes(list(model.parameters()))
    saved = storage_bytes(saved_tensors(lambda: model(x)))
    return sum(size for address, size in saved.items() if address not in parameters) / 2**20
