"""Checkpoints: one file format for training, evaluation and use."""

import dataclasses
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enhance.errors import CheckpointError, SettingsError, UserError
from enhance.files import replacing
from enhance.models.unet import UNet, build_unet
from enhance.norm.recalibrate import batch_norms
from enhance.run.sealed import is_damaged, seal
from enhance.settings import Settings, config

FORMAT = "enhance-checkpoint-1"
LAST, PREVIOUS, BEST = (Path("checkpoints") / f"{name}.pt" for name in ("last", "previous", "best"))  # of a run folder


@dataclass
class Checkpoint:
    """What a checkpoint file holds."""

    settings: Settings  # of the run that wrote it
    step: int  # optimizer steps done
    model: dict[str, Tensor]  # state of the averaged model, its batch norms recalibrated where settings say so
    running_statistics: dict[str, Tensor]  # the batch norms' buffers as training left them; empty without any
    validation: dict[str, float] = field(default_factory=dict)  # scores of `model` on the validation images
    trainer: dict[str, Any] | None = None  # what resuming needs; only in last.pt
    frozen: bool = False  # the batch norms' statistics were frozen, and the weights trained with them


def save(checkpoint: Checkpoint, path: Path, previous: Path | None = None) -> None:
    """Write the checkpoint, sealed with its checksum, so that `path` holds, at every moment, either the old file or the
    new one, whole; `previous` then holds the old one.

    Raises:
        CheckpointError: the disk is full, or the folder cannot be written.
    """
    values = {"format": FORMAT} | vars(checkpoint) | {"settings": dataclasses.asdict(checkpoint.settings)}
    content = io.BytesIO()
    torch.save(values, content)
    try:
        with replacing(path, previous) as temporary:
            temporary.write_bytes(seal(content.getvalue()))
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror}); what stood there is intact. Make room, then resume"
        ) from error


def load(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU. No code that the file may carry is run (`weights_only=True`).

    Raises:
        CheckpointError: the file is missing, damaged, or no checkpoint of this project.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; give a run folder or a .pt file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    if is_damaged(content):
        raise CheckpointError(f"{path}: damaged: its content does not fit its checksum; take another of its folder")
    try:
        values = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, for as many kinds of damage
        raise CheckpointError(
            f"{path}: not a checkpoint of this project, or damaged; give a .pt file that train.py wrote"
        ) from error
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of this project; give a .pt file that train.py wrote")
    try:
        values["settings"] = config.from_dict(values["settings"])
        return Checkpoint(**values)
    except UserError as error:
        raise CheckpointError(f"{path}: its settings do not fit this version: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: does not hold what a checkpoint of this version holds ({error})") from error


def load_last(folder: Path) -> Checkpoint:
    """The last checkpoint of a run folder, for going on; where it is damaged or missing, the one before, and a line
    says so. The damaged one is set aside as last.pt.damaged, so that it does not take the place of the one before.

    Raises:
        CheckpointError: neither can be used.
    """
    last, previous = folder / LAST, folder / PREVIOUS
    try:
        return load(last)
    except CheckpointError as error:
        try:
            kept = load(previous)
        except CheckpointError:
            raise error from None
        print(f"{error}\ngoing on from {previous}, step {kept.step}", flush=True)
        if last.exists():
            last.replace(last.with_name(f"{last.name}.damaged"))
        return kept


def load_model(checkpoint: Checkpoint, path: Path, device: torch.device) -> UNet:
    """The checkpoint's U-Net in evaluation mode on `device`.

    Raises:
        CheckpointError: the weights do not fit the model that the settings describe.
    """
    model = build_unet(checkpoint.settings.model, checkpoint.settings.norm)
    try:
        model.load_state_dict(checkpoint.model)
    except (RuntimeError, TypeError, AttributeError) as error:  # the latter two: not even weights
        raise CheckpointError(
            f"{path}: its weights do not fit its settings (model={checkpoint.settings.model.name}, "
            f"norm={checkpoint.settings.norm.name}); the file was changed or mixed up"
        ) from error
    return model.to(device).eval()


def check_statistics(checkpoint: Checkpoint, model: UNet, asked: str) -> None:
    """See that the statistics of the checkpoint's batch norms can be taken again, which `asked` (a setting or an
    option) wants.

    Raises:
        SettingsError: there are none, or the weights were trained with them as constants.
    """
    if checkpoint.frozen:
        raise SettingsError(f"{asked}: the weights were trained with frozen statistics; leave it out")
    if not batch_norms(model):
        raise SettingsError(f"{asked}: norm={checkpoint.settings.norm.name} keeps no running statistics; leave it out")


def locate(path: str | None, runs: str, name: str = "best.pt") -> Path:
    """The checkpoint file that a user means by a file, by a run folder, or by nothing (the newest run in `runs`).

    Raises:
        CheckpointError: says where it looked.
    """
    if path is not None:
        given = Path(path)
        if not given.exists():
            raise CheckpointError(f"{path}: no such file or folder; give a run folder or a .pt file")
        if given.is_file():
            return given
        file = given / "checkpoints" / name
        if not file.is_file():
            raise CheckpointError(f"{path}: no checkpoints/{name} in this folder; give a run folder or a .pt file")
        return file
    files = sorted(Path(runs).glob(f"*/checkpoints/{name}"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise CheckpointError(
            f"{runs}: no run with a checkpoint here; train first (python train.py), or give checkpoint=PATH"
        )
    return files[-1]
