"""What a run writes: the one place that touches its folder. Of several ranks, the first one writes."""

import functools
import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from enhance import ranks
from enhance.errors import CheckpointError, UserError
from enhance.files import replacing
from enhance.run.checkpoint import LAST, PREVIOUS, Checkpoint, save
from enhance.run.folder import create_run_folder, lock_run
from enhance.run.progress import print_line
from enhance.settings.config import to_yaml
from enhance.settings.schema import OnFullDisk, Settings

P = ParamSpec("P")


def _written(write: Callable[Concatenate["Record", P], None]) -> Callable[Concatenate["Record", P], bool]:
    """`write`, by the rank that writes. False where it failed, with a warning, and the run is to go on without; else
    that is a `UserError`."""

    @functools.wraps(write)
    def written(record: "Record", *args: P.args, **kwargs: P.kwargs) -> bool:
        try:
            if record.writes:
                write(record, *args, **kwargs)
            return True
        except (OSError, CheckpointError) as error:
            message = _failure(record.folder, error)
            if not record.goes_on:
                raise UserError(message) from error
            print_line(f"warning: {message}")
            return False

    return written


class Record:
    """The folder of a run, which is this run's alone until the end of a with statement: metrics.jsonl, provenance.json,
    TensorBoard events, checkpoints.

    What cannot be written raises a `UserError`, or is left out, where `on_full_disk` says so.

    Args:
        folder: of the run that goes on, or of the new one; None names a new one by date.
        step: at which the run goes on; None makes the folder of a new one. Numbers after it are dropped.

    Raises:
        SettingsError: the folder cannot be written, or another process trains in it.
    """

    def __init__(self, settings: Settings, folder: Path | None, step: int | None) -> None:
        self._settings = settings
        self.goes_on = settings.on_full_disk == OnFullDisk.go_on
        self.writes = ranks.is_rank_zero()  # what the others are to write need not be made
        self.folder = ranks.from_rank_zero(lambda: self._open(folder, step))

    def _open(self, folder: Path | None, step: int | None) -> Path:
        if folder is None or step is None:
            folder = create_run_folder(self._settings, folder)
        self._lock = lock_run(folder)
        try:
            file = folder / "metrics.jsonl"
            if file.exists():
                _drop_lines_after(step or 0, file)
            self._metrics = file.open("a", encoding="utf-8")
            self._tensorboard = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        except OSError as error:
            raise UserError(_failure(folder, error)) from error
        return folder

    @_written
    def provenance(self, values: dict[str, Any]) -> None:
        """Add where a start or a resumption of the run comes from to provenance.json, a list of them."""
        file = self.folder / "provenance.json"
        entries = []
        with suppress(FileNotFoundError, ValueError):  # damage keeps no run from going on
            entries = json.loads(file.read_text(encoding="utf-8"))
        entries = [*entries, values] if isinstance(entries, list) else [values]
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")

    @_written
    def settings(self) -> None:
        """Write config.yaml anew, for a run that goes on with another length."""
        with replacing(self.folder / "config.yaml") as temporary:
            temporary.write_text(to_yaml(self._settings), encoding="utf-8")

    @_written
    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write numbers, named `group/name`, to metrics.jsonl and TensorBoard."""
        json.dump({"step": step, "time": round(time.time(), 3)} | values, self._metrics)
        self._metrics.write("\n")
        self._metrics.flush()
        try:
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, step)
        except OSError:  # a writer that failed once fails from then on
            with suppress(OSError):
                self._tensorboard.close()
            self._tensorboard = SummaryWriter(str(self.folder), purge_step=step + 1)
            raise

    @_written
    def strip(self, step: int, name: str, images: list[Tensor]) -> None:
        """Show images (3, H, W) of one size side by side in TensorBoard."""
        self._tensorboard.add_image(name, torch.cat([image.clamp(0, 1).cpu() for image in images], dim=2), step)

    @_written
    def files(self, name: str, write: Callable[[Path], None]) -> None:
        """Have `write` fill the folder `name` within the run's."""
        (self.folder / name).mkdir(exist_ok=True)
        write(self.folder / name)

    @_written
    def hyperparameters(self, metrics: dict[str, float]) -> None:
        """Fill TensorBoard's HPARAMS page, in this run (`add_hparams` would open another one)."""
        settings = self._settings
        values = {
            "norm": settings.norm.name,
            "batch_size": settings.images_per_step,
            "lr": settings.optimizer.lr,
            "model": settings.model.name,
            "data": settings.data.name,
            "crop": settings.data.crop,
            "seed": settings.seed,
        }
        assert self._tensorboard.file_writer is not None
        for summary in hparams(values, metrics):
            self._tensorboard.file_writer.add_summary(summary)
        for name, value in metrics.items():
            self._tensorboard.add_scalar(name, value)

    @_written
    def save(self, checkpoint: Checkpoint, name: Path) -> None:
        """Write one of the run's checkpoints."""
        save(checkpoint, self.folder / name, self.folder / PREVIOUS if name == LAST else None)

    def remove(self) -> None:
        """Leave nothing of a run that has learned nothing, nor of the folder of all runs, if this was the first."""
        self.close()  # Windows removes no open file
        if self.writes:
            shutil.rmtree(self.folder)
            with suppress(OSError):  # there are others
                self.folder.parent.rmdir()

    def close(self) -> None:
        if not self.writes:
            return
        for file in (self._metrics, self._tensorboard):
            try:
                file.close()
            except OSError as failure:
                print(f"warning: {self.folder}: the last numbers could not be written ({failure.strerror})")
        self._lock.release()

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _failure(folder: Path, error: OSError | CheckpointError) -> str:
    if isinstance(error, CheckpointError):
        return str(error)
    place = error.filename or folder
    return f"{place}: cannot be written ({error.strerror}); make room, or make {folder} writable, then resume"


def _drop_lines_after(step: int, metrics: Path) -> None:
    lines = [line for line in metrics.read_text(encoding="utf-8").splitlines() if _step_of(line) <= step]
    with replacing(metrics) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _step_of(line: str) -> int:
    """The step of a line of metrics.jsonl; a line that a kill cut short counts as too late."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return sys.maxsize
