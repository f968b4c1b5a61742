"""A picture of the worst and the best results: input, output and target side by side, with their scores."""

from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from enhance.data.images import to_pixels
from enhance.data.pairs import PairSource
from enhance.evaluation.evaluate import ImageScore

CELL = 240  # width of one image on the sheet, in pixels
GAP = 12
LINE = 24  # height of a line of text
TEXT, FAINT, PAPER = (24, 24, 24), (110, 110, 110), (255, 255, 255)


def worst_and_best(scores: Sequence[ImageScore], count: int = 4) -> tuple[list[int], list[int]]:
    """Indices of the `count` lowest PSNR, worst first, and the `count` highest, best first; none is in both.

    Of fewer than 2 * `count` images the worse half comes first; a middle one counts as worse.
    """
    order = sorted(range(len(scores)), key=lambda index: scores[index].psnr)
    half = min(count, (len(order) + 1) // 2)
    best = order[half:][-half:]
    return order[:half], best[::-1]


def draw(
    scores: Sequence[ImageScore], source: PairSource, enhance: Callable[[Tensor], Tensor], title: str
) -> Image.Image:
    """The sheet: the worst results left, the best right, a title above.

    Args:
        scores: of every pair of `source`, in its order.
        enhance: (3, H, W) -> (3, H, W), as it was scored.
    """

    def strip(index: int) -> Image.Image:
        low, target = source.whole(index)
        return _strip(scores[index], low, enhance(low), target)

    blocks = [
        _block(f"{word} {len(indices)} of {len(scores)} by PSNR", [strip(index) for index in indices])
        for word, indices in zip(("Worst", "Best"), worst_and_best(scores), strict=True)
        if indices
    ]
    width = sum(block.width for block in blocks) + GAP * (len(blocks) - 1)
    sheet = Image.new("RGB", (width, 2 * LINE + max(block.height for block in blocks)), PAPER)
    write_text(sheet, (GAP, LINE), title, 18)
    left = 0
    for block in blocks:
        sheet.paste(block, (left, 2 * LINE))
        left += block.width + GAP
    return sheet


def _block(heading: str, strips: Sequence[Image.Image]) -> Image.Image:
    block = Image.new("RGB", (strips[0].width, 2 * LINE + sum(strip.height for strip in strips)), PAPER)
    write_text(block, (GAP, LINE), heading, 17)
    top = 2 * LINE
    for strip in strips:
        block.paste(strip, (0, top))
        top += strip.height
    return block


def _strip(score: ImageScore, low: Tensor, output: Tensor, target: Tensor) -> Image.Image:
    """Name, the three images, and two lines under each: what it is and how it scores."""
    height = max(1, round(CELL * target.shape[1] / target.shape[2]))
    strip = Image.new("RGB", (4 * GAP + 3 * CELL, LINE + height + 3 * LINE), PAPER)
    write_text(strip, (GAP, LINE // 2), score.name, 14)
    cells = (
        (low, f"input  {score.psnr_input:.2f} dB, SSIM {score.ssim_input:.3f}", ""),
        (
            output,
            f"output  {score.psnr:.2f} dB, SSIM {score.ssim:.3f}",
            f"with GT-mean {score.psnr_gt_mean:.2f} dB, {score.ssim_gt_mean:.3f}",
        ),
        (target, "target", ""),
    )
    for column, (image, first, second) in enumerate(cells):
        left = GAP + column * (CELL + GAP)
        strip.paste(Image.fromarray(to_pixels(image)).resize((CELL, height), Image.Resampling.LANCZOS), (left, LINE))
        write_text(strip, (left, LINE + height + LINE // 2), first, 13)
        write_text(strip, (left, LINE + height + 3 * LINE // 2 - 4), second, 13, FAINT)
    return strip


def write_text(
    image: Image.Image,
    left_middle: tuple[int, int],
    text: str,
    size: int,
    colour: tuple[int, int, int] = TEXT,
) -> None:
    ImageDraw.Draw(image).text(left_middle, text, colour, ImageFont.load_default(size), anchor="lm")
