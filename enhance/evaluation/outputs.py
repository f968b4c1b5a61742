"""The same images through several networks: input, every output with its PSNR, and the target in one row."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from enhance.data.images import to_pixels
from enhance.data.pairs import WholePairs
from enhance.evaluation.drawing import Cell
from enhance.evaluation.metrics import psnr
from enhance.evaluation.variants import variants
from enhance.inference.enhancer import AnySize
from enhance.run import checkpoint

Networks = list[tuple[str, Callable[[Tensor], Tensor]]]  # each with its name; (3, H, W) in [0, 1], both, of any size


def networks_of(path: Path, statistics: bool, device: torch.device) -> Networks:
    """The networks of a checkpoint: one, or of batch norms one for each choice of `statistics` that the file holds.

    Raises:
        CheckpointError: as `enhance.run.checkpoint.load` and `load_model`.
    """
    saved = checkpoint.load(path)
    model = checkpoint.load_model(saved, path, device)
    name = f"{saved.settings.norm.name}, batch {saved.settings.images_per_step}"
    models = [
        (f"{name}: {variant.statistics}{' (as saved)' if variant.as_saved else ''}", variant.model)
        for variant in (variants(model, saved, None, device) if statistics else ())
        if variant.model is not None
    ]
    return [(each, AnySize(network, device).enhance) for each, network in models or [(name, model)]]


@torch.inference_mode()
def differ_most(source: WholePairs, networks: Networks, count: int) -> list[int]:
    """Indices of the images whose PSNR depends most on the network, the largest difference first."""

    def difference(index: int) -> float:
        low, target = source.whole(index)
        scores = [_psnr(network(low), target) for _, network in networks]
        return max(scores) - min(scores)

    return sorted(range(len(source.names)), key=difference, reverse=True)[:count]


@torch.inference_mode()
def rows_of(source: WholePairs, indices: list[int], networks: Networks) -> Iterator[list[Cell]]:
    """For each of the images `indices`: input, the output of each network, target."""
    for index in indices:
        low, target = source.whole(index)
        outputs = [(name, network(low)) for name, network in networks]
        yield [
            Cell(to_pixels(low), [source.names[index], "input"]),
            *(Cell(to_pixels(output), [name, f"{_psnr(output, target):.2f} dB"]) for name, output in outputs),
            Cell(to_pixels(target), ["target"]),
        ]


def _psnr(output: Tensor, target: Tensor) -> float:
    return psnr(output[None], target[None]).item()
