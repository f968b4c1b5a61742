"""The same images through several networks: input, every output with its PSNR, and the target in one row."""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from enhance.data.images import to_pixels
from enhance.data.pairs import WholePairs
from enhance.evaluation.contact_sheet import CELL, FAINT, GAP, LINE, PAPER, write_text
from enhance.evaluation.metrics import psnr
from enhance.evaluation.statistics import OWN, RUNNING
from enhance.models.unet import UNet
from enhance.norm.recalibrate import batch_norms, own_statistics
from enhance.run import checkpoint

Output = Callable[[Tensor], Tensor]  # (N, 3, H, W) in [0, 1], both
Networks = list[tuple[str, Output]]  # each with what to call it


def outputs(path: Path, statistics: bool, device: torch.device) -> Networks:
    """What a checkpoint makes of an image, each with what to call it.

    Args:
        path: the checkpoint file.
        statistics: of batch norms also by running statistics and by each image's own.

    Raises:
        CheckpointError: as `enhance.run.checkpoint.load` and `load_model`.
    """
    kept = checkpoint.load(path)
    model = checkpoint.load_model(kept, path, device)
    label = f"{kept.settings.norm.name}, batch {kept.settings.images_per_step}"
    if not statistics or not batch_norms(model):
        return [(label, model)]
    raw = copy.deepcopy(model)
    raw.load_state_dict(kept.running_statistics, strict=False)
    return [(f"{label}: {RUNNING}", raw), (f"{label}: as saved", model), (f"{label}: {OWN}", _by_own(model))]


def _by_own(model: UNet) -> Output:
    def output(x: Tensor) -> Tensor:
        with own_statistics(model):
            return model(x)

    return output


@torch.inference_mode()
def draw(source: WholePairs, indices: list[int], networks: Networks, device: torch.device) -> Image.Image:
    """A row for each of the images `indices`, a column for each network between input and target."""
    rows = [_row(*source.whole(index), source.names[index], networks, device) for index in indices]
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), PAPER)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _row(low: Tensor, target: Tensor, name: str, networks: Networks, device: torch.device) -> Image.Image:
    cells = [(low, name, "input")]
    for label, network in networks:
        output = network(low[None].to(device)).clamp(0, 1).cpu()
        cells.append((output[0], label, f"{float(psnr(output, target[None])):.2f} dB"))
    cells.append((target, "target", ""))
    height = round(CELL * target.shape[1] / target.shape[2])
    row = Image.new("RGB", (GAP + len(cells) * (CELL + GAP), height + 2 * LINE), PAPER)
    for column, (image, first, second) in enumerate(cells):
        left = GAP + column * (CELL + GAP)
        row.paste(Image.fromarray(to_pixels(image)).resize((CELL, height), Image.Resampling.LANCZOS), (left, 0))
        write_text(row, (left, height + LINE // 2), first, 12)
        write_text(row, (left, height + 3 * LINE // 2 - 4), second, 12, FAINT)
    return row


@torch.inference_mode()
def differ_most(source: WholePairs, networks: Networks, count: int, device: torch.device) -> list[int]:
    """Indices of the images whose PSNR depends most on the network, the largest difference first."""

    def difference(index: int) -> float:
        low, target = (image[None].to(device) for image in source.whole(index))
        found = [float(psnr(network(low), target)) for _, network in networks]
        return max(found) - min(found)

    return sorted(range(len(source.names)), key=difference, reverse=True)[:count]
