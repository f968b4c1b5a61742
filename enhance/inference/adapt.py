"""AdaBN: a model's batch norms take their statistics again on the photographs that it is to enhance."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from enhance.data.pairs import evenly
from enhance.data.photo import read_photo
from enhance.device import out_of_memory_hint
from enhance.errors import DataError, SettingsError
from enhance.inference.tiles import side_within
from enhance.models.model import EnhancementModel
from enhance.models.residual import SMALLEST_SIDE
from enhance.norm.recalibrate import BATCH, LARGEST_AREA, batch_statistics, recalibrate_on_images

FEWEST = 8  # photographs: of one or two, the statistics are those of their scenes, and may ruin what they should mend
_SMALLEST_AREA = 64**2  # pixels of a photograph: of less, most would be the borders' padding


def adapt(model: EnhancementModel, photos: list[Path], count: int, device: torch.device, max_gib: float) -> int:
    """Take the statistics of the model's batch norms again on `count` dark photographs, at least 8, spread over all,
    and of large ones on the middle (Li et al. 2016, "Revisiting Batch Normalization for Practical Domain Adaptation",
    arXiv 1603.04779). What cannot be read, or is too small for the model, is left out. Returns the number taken.

    Args:
        model: with batch norms that keep running statistics, on `device`; its weights stay as they are.
        max_gib: GiB that the model may take at work, estimated.

    Raises:
        DataError: too few photographs are left.
        SettingsError: so little memory is allowed that hardly anything of a photograph would be left.
    """
    with batch_statistics(model):
        area = min(LARGEST_AREA, side_within(model, max_gib, device) ** 2 / BATCH)
    if area < _SMALLEST_AREA:
        more = _SMALLEST_AREA / area
        raise SettingsError(f"--max-memory {max_gib:g} is too small for --adapt: give {more:.2g} times as much")
    with out_of_memory_hint(device, "lower --max-memory, or --device cpu"):
        return recalibrate_on_images(model, _dark(photos, max(count, FEWEST), model.channels), device, int(area))


def _dark(photos: list[Path], count: int, channels: int) -> Iterator[Tensor]:
    """(C, H, W) each."""
    chosen = evenly(len(photos), count)
    others = sorted(set(range(len(photos))) - set(chosen))  # in the place of those that cannot be used
    used = 0
    with tqdm(total=len(chosen), desc="adapting", unit="photo", disable=None) as bar:
        for index in chosen + others:
            try:
                image = read_photo(photos[index], channels).tensor()
            except DataError:
                continue
            if min(image.shape[1:]) >= SMALLEST_SIDE:
                used += 1
                bar.update()
                yield image
            if used == count:
                return
    if used < FEWEST:
        found = f"{used} of {len(photos)} photographs can be adapted to"
        raise DataError(f"{photos[0].parent}: {found}, and --adapt needs {FEWEST}; leave it out")
