"""A picture of the worst and the best results: input, output and target side by side, with their scores."""

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor

from enhance.data.images import to_pixels
from enhance.data.pairs import PairSource
from enhance.evaluation.drawing import Cell, heading, row, stack
from enhance.evaluation.scores import ImageScore


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
    scores: Sequence[ImageScore], source: PairSource, enhance: Callable[[Tensor], Tensor], title: str
) -> Image.Image:
    """The sheet: the worst results left, the best right, a title above.

    Args:
        scores: of every pair of `source`, in its order.
        enhance: (3, H, W) -> (3, H, W), as it was scored.
    """
    columns = []
    for word, indices in zip(("Worst", "Best"), worst_and_best(scores), strict=True):
        if indices:
            strips = [_strip(scores[index], *source.whole(index), enhance) for index in indices]
            head = heading(f"{word} {len(indices)} of {len(scores)} by PSNR", strips[0].width, 17)
            columns.append(stack([head, *strips]))
    sheet = stack(columns, across=True)
    return stack([heading(title, sheet.width, 18), sheet])


def _strip(score: ImageScore, low: Tensor, target: Tensor, enhance: Callable[[Tensor], Tensor]) -> Image.Image:
    """Name, the three images, and under each what it is and how it scores."""
    output = (
        f"output  {score.psnr:.2f} dB, SSIM {score.ssim:.3f}",
        f"with GT-mean {score.psnr_gt_mean:.2f} dB, {score.ssim_gt_mean:.3f}",
    )
    cells = (
        Cell(to_pixels(low), [f"input  {score.psnr_input:.2f} dB, SSIM {score.ssim_input:.3f}"]),
        Cell(to_pixels(enhance(low)), output),
        Cell(to_pixels(target), ["target"]),
    )
    return row(cells, name=score.name)
