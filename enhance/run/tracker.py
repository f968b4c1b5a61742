"""The numbers and pictures of a run: metrics.jsonl, provenance.json and TensorBoard events."""

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from enhance.files import replacing
from enhance.settings import Settings


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
            with replacing(file) as temporary:
                temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def provenance(self, values: dict[str, Any]) -> None:
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
            self._replace_writer(step)
            raise

    def _replace_writer(self, step: int) -> None:
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
        for file in (self._metrics, self._writer):
            try:
                file.close()
            except OSError as error:
                print(f"warning: {self.folder}: the last numbers could not be written ({error.strerror})")


def _starts(provenance: Path) -> list[Any]:
    """The entries of the file; none where it is missing, or damaged, which keeps no run from going on."""
    try:
        entries = json.loads(provenance.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    return entries if isinstance(entries, list) else []


def _step_of(line: str) -> int:
    """The step of a line of metrics.jsonl; a line that a kill cut short counts as too late."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return sys.maxsize
