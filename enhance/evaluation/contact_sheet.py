"""Pictures of results, input, output and target side by side with their scores: the worst and the best of a network,
and the same images through several networks."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from enhance.data.images import to_pixels
from enhance.data.pairs import PairSource, WholePairs
from enhance.evaluation.drawing import Cell, heading, row, stack
from enhance.evaluation.metrics import psnr
from enhance.evaluation.outputs import Outputs
from enhance.evaluation.scores import ImageScore
from enhance.evaluation.variants import variants
from enhance.inference.enhancer import AnySize
from enhance.run import checkpoint

Networks = list[tuple[str, Callable[[Tensor], Tensor]]]  # each with its name; (C, H, W) in [0, 1], both, of any size


def worst_and_best(scores: Sequence[ImageScore], count: int = 4) -> tuple[list[int], list[int]]:
    """Indices of the `count` lowest PSNR, worst first, and the `count` highest, best first; none is in both.

    Of fewer than 2 * `count` images the worse half comes first; a middle one counts as worse.
    """
    order = sorted(range(len(scores)), key=lambda index: scores[index].psnr)
    half = min(count, (len(order) + 1) // 2)
    best = order[half:][-half:]
    return order[:half], best[::-1]


@torch.inference_mode()
def draw(
    scores: Sequence[ImageScore], source: PairSource, enhance: Callable[[Tensor], Tensor] | Outputs, title: str
) -> Image.Image:
    """The sheet: the worst results left, the best right, a title above.

    Args:
        scores: of every pair of `source`, in its order.
        enhance: (C, H, W) -> (C, H, W), as it was scored; or another method's outputs.
    """

    def strip(index: int) -> Image.Image:
        low, target = source.whole(index)
        output = enhance[index] if isinstance(enhance, Outputs) else enhance(low)
        return _strip(scores[index], low, target, output)

    columns = []
    for word, indices in zip(("Worst", "Best"), worst_and_best(scores), strict=True):
        if indices:
            strips = [strip(index) for index in indices]
            head = heading(f"{word} {len(indices)} of {len(scores)} by PSNR", strips[0].width, 17)
            columns.append(stack([head, *strips]))
    sheet = stack(columns, across=True)
    return stack([heading(title, sheet.width, 18), sheet])


def _strip(score: ImageScore, low: Tensor, target: Tensor, output: Tensor) -> Image.Image:
    """Name, the three images, and under each what it is and how it scores."""
    dark = f"input  {score.psnr_input:.2f} dB, SSIM {score.ssim_input:.3f}"
    plain = f"output  {score.psnr:.2f} dB, SSIM {score.ssim:.3f}"
    gt_mean = f"with GT-mean {score.psnr_gt_mean:.2f} dB, {score.ssim_gt_mean:.3f}"
    images = ((low, [dark]), (output, [plain, gt_mean]), (target, ["target"]))
    return row([Cell(to_pixels(image), lines) for image, lines in images], name=score.name)


def networks_of(path: Path, statistics: bool, device: torch.device) -> Networks:
    """The networks of a checkpoint: one, or of batch norms one for each choice of `statistics` that the file holds.
    Raises as `checkpoint.load` and `load_model`."""
    saved = checkpoint.load(path)
    model = checkpoint.load_model(saved, path, device)
    name = f"{saved.settings.norm.name}, batch {saved.settings.images_per_step}"
    models = [
        (f"{name}: {each}{' (as saved)' if network is model else ''}", network)
        for each, network in (variants(model, saved, None, device) if statistics else ())
        if network is not None
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
