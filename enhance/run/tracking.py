"""What a run leaves behind while it goes on: its folder, metrics.jsonl and TensorBoard events."""

import json
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from enhance.device import device_name
from enhance.errors import SettingsError
from enhance.files import replacing
from enhance.settings import Settings, config

PACKAGES = ("torch", "torchvision", "hydra-core", "numpy", "pillow", "kornia", "scikit-image", "tensorboard")


def create_run_folder(settings: Settings, folder: Path | None = None) -> Path:
    """Make `folder`, or else `<runs>/<date>-<name>/`, with config.yaml and an empty checkpoints/, and return it.

    Raises:
        SettingsError: the folder cannot be written.
    """
    name = settings.name or f"{settings.norm.name}-b{settings.batch_size}-{settings.model.name}-{settings.data.name}"
    stem = f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{name}"
    try:
        if folder is None:
            folder = _new_folder(Path(settings.runs), stem)
        else:
            folder.mkdir(parents=True)
        try:
            (folder / "checkpoints").mkdir()
            (folder / "config.yaml").write_text(config.to_yaml(settings), encoding="utf-8")
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise SettingsError(f"runs={settings.runs}: cannot write a run folder there ({error.strerror})") from error
    return folder


def _new_folder(parent: Path, stem: str) -> Path:
    """The first of stem, stem-2, stem-3 ... that does not exist yet, made."""
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = parent / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


def lock_run(folder: Path) -> FileLock:
    """Taken by the process that trains in the folder; the system frees it when that process ends, however it ends.

    Raises:
        SettingsError: another process holds it, or the folder cannot be written.
    """
    lock = FileLock(folder / ".lock", is_singleton=True)  # may be taken again by the process that holds it
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SettingsError(f"{folder}: another process is training in it; wait for it, or stop it") from error
    except OSError as error:
        raise SettingsError(
            f"{folder}: cannot be written ({error.strerror}); make it writable, or "
            "copy it to a place that is, then resume"
        ) from error
    return lock


def provenance(settings: Settings, device: torch.device) -> dict[str, Any]:
    """Where a run comes from: code, versions, machine, seed and command."""
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": [Path(sys.executable).name, *sys.argv],
        "git": git_state(),
        "python": sys.version.split()[0],
        "packages": {package: version(package) for package in PACKAGES},
        "device": str(device),
        "device_name": device_name(device),
        "cpu_threads": torch.get_num_threads(),
        "seed": settings.seed,
    }


def git_state() -> dict[str, Any] | None:
    """Commit of this code and whether it was changed since; None where it lies in no repository."""

    def git(*words: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None  # installed without its repository


class Tracker:
    """Writes metrics.jsonl and TensorBoard events of one run.

    Args:
        folder: the run folder.
        step: where the run goes on; TensorBoard hides what an interrupted run wrote after it.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        self.folder = folder
        self._drop_metrics_after(step)
        self._metrics = (folder / "metrics.jsonl").open("a", encoding="utf-8")
        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def _drop_metrics_after(self, step: int) -> None:
        file = self.folder / "metrics.jsonl"
        if file.exists():
            lines = [line for line in file.read_text(encoding="utf-8").splitlines() if _step_of(line) <= step]
            with replacing(file) as kept:
                kept.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def write_provenance(self, values: dict[str, Any]) -> None:
        """Add a start or a resumption to provenance.json, a list of them."""
        file = self.folder / "provenance.json"
        with replacing(file) as temporary:
            temporary.write_text(json.dumps([*_starts(file), values], indent=2) + "\n", encoding="utf-8")

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write numbers, named `group/name`, to both places."""
        json.dump({"step": step, "time": round(time.time(), 3)} | values, self._metrics)
        self._metrics.write("\n")
        self._metrics.flush()
        try:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
        except OSError:
            self._begin_another(step)
            raise

    def _begin_another(self, step: int) -> None:
        """A writer of TensorBoard that failed once fails from then on."""
        with suppress(OSError):
            self._writer.close()
        self._writer = SummaryWriter(str(self.folder), purge_step=step + 1)

    def strip(self, step: int, name: str, images: list[Tensor]) -> None:
        """Write images (3, H, W) of one size side by side."""
        self._writer.add_image(name, torch.cat([image.clamp(0, 1).cpu() for image in images], dim=2), step)

    def hyperparameters(self, settings: Settings, metrics: dict[str, float]) -> None:
        """Fill TensorBoard's HPARAMS page, in this run (`add_hparams` would open another one)."""
        values = {
            "norm": settings.norm.name,
            "batch_size": settings.images_per_step,
            "lr": settings.optimizer.lr,
            "model": settings.model.name,
            "data": settings.data.name,
            "crop": settings.data.crop,
            "seed": settings.seed,
        }
        assert self._writer.file_writer is not None
        for summary in hparams(values, metrics):
            self._writer.file_writer.add_summary(summary)
        for name, value in metrics.items():
            self._writer.add_scalar(name, value)

    def close(self) -> None:
        for each in (self._metrics, self._writer):
            try:
                each.close()
            except OSError as error:
                print(f"warning: {self.folder}: the last numbers could not be written ({error.strerror})")


def _starts(provenance: Path) -> list[Any]:
    """What the file holds; nothing where it is missing, or damaged, which keeps no run from going on."""
    try:
        found = json.loads(provenance.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    return found if isinstance(found, list) else []


def _step_of(line: str) -> int:
    """The step of a line of metrics.jsonl; a line that a kill cut short counts as too late."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return sys.maxsize
