"""Checkpoints: one file format for training, evaluation and use, and one for weights that are passed on."""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from enhance import weights
from enhance.errors import CheckpointError, UserError, command_line
from enhance.files import replacing, writing
from enhance.models.build import build_model, upgrade_state
from enhance.models.model import EnhancementModel
from enhance.settings.config import from_dict, to_dict
from enhance.settings.schema import Settings

FORMAT = "enhance-checkpoint-1"
LAST, PREVIOUS, BEST = (Path("checkpoints") / f"{name}.pt" for name in ("last", "previous", "best"))  # of a run folder
WEIGHTS = ".safetensors"  # suffix of files of weights


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
    """Write the checkpoint so that `path` holds, at every moment, either the old file or the new one, whole; `previous`
    then holds the old one. Raises `CheckpointError` where the disk is full, or the folder cannot be written."""
    values = {"format": FORMAT} | vars(checkpoint) | {"settings": to_dict(checkpoint.settings)}
    content = io.BytesIO()
    torch.save(values, content)
    cure = "what stood there is intact. Make room, then resume"
    with writing(path, cure, CheckpointError), replacing(path, previous) as temporary:
        temporary.write_bytes(content.getvalue())


def save_weights(checkpoint: Checkpoint, path: Path) -> None:
    """Write what using the model needs, and nothing else: a safetensors file, convolutions in half precision."""
    halves = {name: value.half() if value.dim() > 1 else value for name, value in checkpoint.model.items()}
    tensors = {name: value.contiguous() for name, value in halves.items()}
    known = {name: getattr(checkpoint, name) for name in ("step", "validation", "frozen")}
    told = json.dumps(known | {"settings": to_dict(checkpoint.settings)})
    with replacing(path) as temporary:
        metadata = {"format": FORMAT, "checkpoint": told, "content": _content(told, tensors)}
        safetensors.torch.save_file(tensors, temporary, metadata)


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """12 hexadecimal digits of a hash of names and values."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def load(path: Path) -> Checkpoint:
    """Read a checkpoint, or a file of weights, onto the CPU. No code that the file may carry is run
    (`weights_only=True`). Raises `CheckpointError` where the file is missing, damaged, or none of this project."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); give a run folder or a .pt file") from error
    try:
        values = _weights(content) if path.suffix == WEIGHTS else _everything(content)
        if values.pop("format") != FORMAT:
            raise ValueError("of another format")
    except Exception as error:  # torch and zipfile raise many kinds, for as many kinds of damage
        cure = "give a .pt file that train.py wrote, or another of the same folder"
        raise CheckpointError(f"{path}: not a checkpoint of this project, or damaged; {cure}") from error
    try:
        values["settings"] = from_dict(values["settings"])
        for part in ("model", "running_statistics"):
            values[part] = upgrade_state(values[part])
        if values["trainer"] is not None:
            values["trainer"]["model"] = upgrade_state(values["trainer"]["model"])
        return Checkpoint(**values)
    except UserError as error:
        raise CheckpointError(f"{path}: its settings do not fit this version: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: does not hold what a checkpoint of this version holds ({error})") from error


def _weights(content: bytes) -> dict[str, Any]:
    """The values of a file that `save_weights` wrote."""
    length = int.from_bytes(content[:8], "little")  # of the header, JSON
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    tensors = safetensors.torch.load(content)
    if metadata["content"] != _content(metadata["checkpoint"], tensors):
        raise ValueError("damaged")
    model = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    known = json.loads(metadata["checkpoint"])
    return known | {"format": metadata["format"], "model": model, "running_statistics": {}, "trainer": None}


def _content(told: str, tensors: dict[str, Tensor]) -> str:
    return hashlib.sha256((told + fingerprint(tensors)).encode()).hexdigest()


def _everything(content: bytes) -> dict[str, Any]:
    """The values of a file that `save` wrote."""
    _check_members(content)
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _check_members(content: bytes) -> None:
    """Compare every member of a zip file, which is what torch.save writes, with its CRC-32; torch.load does not.

    The attributes have no checksum, and one of their bits makes a member a folder, which torch.load reads as other
    values; torch.save leaves all of them zero.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if archive.testzip() or any(member.external_attr for member in archive.infolist()):
            raise zipfile.BadZipFile("a member is damaged")


def load_last(folder: Path) -> Checkpoint:
    """The last checkpoint of a run folder, for going on; where it is damaged or missing, the one before, and a line
    says so. The damaged one is set aside as last.pt.damaged, so that it does not take the place of the one before.
    Raises `CheckpointError` where neither can be used."""
    last, previous = folder / LAST, folder / PREVIOUS
    try:
        return load(last)
    except CheckpointError as error:
        try:
            loaded = load(previous)
        except CheckpointError:
            raise error from None
        print(f"{error}\ngoing on from {previous}, step {loaded.step}", flush=True)
        if last.exists():
            last.replace(last.with_name(f"{last.name}.damaged"))
        return loaded


def load_model(checkpoint: Checkpoint, path: Path, device: torch.device) -> EnhancementModel:
    """The checkpoint's U-Net in evaluation mode on `device`; a `CheckpointError` where the weights do not fit the model
    that the settings describe."""
    model = build_model(checkpoint.settings.model, checkpoint.settings.norm)
    try:
        model.load_state_dict(checkpoint.model)
    except (RuntimeError, TypeError, AttributeError) as error:  # the latter two: not even weights
        names = f"model={checkpoint.settings.model.name}, norm={checkpoint.settings.norm.name}"
        raise CheckpointError(f"{path}: its weights do not fit its settings ({names}); the file was changed") from error
    return model.to(device).eval()


def is_checkpoint(word: str) -> bool:
    """Whether a word of a command line names a checkpoint, and no photograph."""
    path = Path(word)
    return path.suffix in (".pt", WEIGHTS) or (path / BEST.parent).is_dir() or weights.find(word) is not None


def locate(path: str | None, runs: str) -> Path:
    """The checkpoint file that a user means by a file, by a run folder, by the name of weights in the box, or by
    nothing (the newest run in `runs`); a `CheckpointError`, which says where it looked, where there is none."""
    if path is None:
        newest = max(Path(runs).glob(f"*/{BEST}"), key=lambda file: file.stat().st_mtime, default=None)
        if newest is None:
            cure = f"train first ({command_line('train')}), or give checkpoint=PATH"
            raise CheckpointError(f"{runs}: no run with a checkpoint here; {cure}")
        return newest
    if not path:
        raise CheckpointError("the name of a run or checkpoint is empty; is a variable of the shell not set?")
    if not Path(path).exists():
        if (packaged := weights.find(path)) is not None:
            return packaged
        raise CheckpointError(f"{path}: no such file or folder; give a run folder, a .pt file, or {weights.DEFAULT}")
    file = Path(path) if Path(path).is_file() else Path(path) / BEST
    if not file.is_file():
        raise CheckpointError(f"{path}: no {BEST} in this folder; give a run folder or a .pt file")
    return file
