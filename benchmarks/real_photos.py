"""How checkpoints do on photographs that none of them was trained on, in one table, and on a sheet.

python benchmarks/real_photos.py [RUN ...] --pairs SICE=sice/paired LOL=lol256/our485
    --bright bsds500/val --dark dicm --out real_photos.jpg

--pairs    PSNR and SSIM, plain and with GT-mean, and how much grey value the result has too much
--bright   through the camera of experiment=any_photo: the same; as they are: PSNR of the result to the photograph
--dark     NIQE and BRISQUE (lower is better); what burns: pixels below 0.9 whose result is above 0.99; noise: the
           deviation of grey in the flattest fifth of the dark places
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from enhance import weights
from enhance.data.images import list_images, read_image, to_pixels, to_tensor
from enhance.data.open import open_data
from enhance.data.pairs import WholePairs, evenly, spread
from enhance.device import choose_device
from enhance.errors import SettingsError, exit_on_user_error
from enhance.evaluation import drawing
from enhance.evaluation.contact_sheet import Networks, rows_of
from enhance.evaluation.drawing import Cell
from enhance.evaluation.metrics import match_mean, psnr, ssim
from enhance.evaluation.natural_scenes import brisque, niqe
from enhance.inference.enhancer import Enhancer
from enhance.models.brightness import mean_grey
from enhance.settings.command import compose
from enhance.settings.schema import DataSettings

Enhance = Callable[[Tensor], Tensor]  # (3, H, W) in [0, 1], both
SHOWN = 4  # of each set, on the sheet
BLOCK, DARK = 8, 0.1  # pixels a side of a place, and its mean grey value at most


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="*", default=[weights.DEFAULT], metavar="RUN_OR_CHECKPOINT")
    parser.add_argument("--pairs", nargs="+", default=[], metavar="NAME=DIR", help="as data=pairs finds them in DIR")
    parser.add_argument("--bright", type=Path, help="folder of photographs that are right already")
    parser.add_argument("--dark", type=Path, help="folder of dark photographs without a reference")
    parser.add_argument("--count", type=int, help="of each set, spread over it (default: all)")
    parser.add_argument("--out", type=Path, help="the sheet, for example real_photos.jpg")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    return parser.parse_args()


@torch.inference_mode()
def of_pairs(enhance: Enhance, source: WholePairs) -> dict[str, float]:
    """Means over the pairs."""
    rows = []
    for index in range(len(source.names)):
        low, normal = source.whole(index)
        output, normal = enhance(low)[None], normal[None]
        matched = match_mean(output, normal)
        values = (psnr(output, normal), psnr(matched, normal), ssim(output, normal))
        rows.append([each.item() for each in (*values, mean_grey(output) - mean_grey(normal))])
    return dict(zip(("PSNR", "GT-mean", "SSIM", "grey"), np.mean(rows, axis=0).tolist(), strict=True))


@torch.inference_mode()
def of_right(enhance: Enhance, images: list[Tensor]) -> dict[str, float]:
    """How much is left of photographs that need nothing; the median, for one that does not change is infinite."""
    return {"to itself": statistics.median(psnr(enhance(image)[None], image[None]).item() for image in images)}


@torch.inference_mode()
def of_dark(enhance: Enhance, images: list[Tensor]) -> dict[str, float]:
    """Means over photographs without a reference."""
    rows = []
    for image in images:
        output = enhance(image)
        burnt = ((image < 0.9) & (output > 0.99)).any(0).float().mean().item()
        natural = [np.nan if (value := score(output[None])) is None else value for score in (niqe, brisque)]
        rows.append([*natural, 100 * burnt, noise(image, output), mean_grey(output[None]).item()])
    return dict(zip(("NIQE", "BRISQUE", "burnt %", "noise", "grey"), np.nanmean(rows, axis=0).tolist(), strict=True))


def noise(image: Tensor, output: Tensor) -> float:
    """Deviation of the output's grey value, in steps of 8 bits, in the flattest fifth of the image's dark places; NaN
    of an image without any."""
    grey = output.mean(0, keepdim=True)[None]
    mean, square = F.avg_pool2d(grey, BLOCK), F.avg_pool2d(grey.square(), BLOCK)
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    dark = F.avg_pool2d(image.mean(0, keepdim=True)[None], BLOCK) < DARK
    return 255 * deviation[dark].quantile(0.2).item() if dark.any() else np.nan


def main() -> None:
    arguments = parse_arguments()
    device = choose_device(arguments.device)
    networks: Networks = [(Path(run).name, Enhancer.load(run, device).enhance) for run in arguments.checkpoints]
    sets: list[tuple[str, WholePairs | list[Tensor], Callable]] = []
    for word in arguments.pairs:
        name, _, root = word.partition("=")
        source = open_data(DataSettings(name="pairs", root=root)).whole if root else None
        if source is None:
            raise SettingsError(f"--pairs {word}: write NAME=DIR, a folder of pairs that are not parted yet")
        sets.append((name, spread(source, arguments.count or len(source)), of_pairs))
    if arguments.bright is not None:
        root = f"data.root={arguments.bright}"
        source = open_data(compose(["experiment=any_photo", root]).data).whole
        assert source is not None
        source = spread(source, arguments.count or len(source))
        sets += [("camera", source, of_pairs)]
        sets += [("right", [source.whole(index)[1] for index in range(len(source))], of_right)]
    if arguments.dark is not None:
        paths = list_images(arguments.dark)
        chosen = evenly(len(paths), arguments.count or len(paths))
        sets.append(("dark", [to_tensor(read_image(paths[index])) for index in chosen], of_dark))
    results = {
        name: {f"{of}: {key}": value for of, images, measure in sets for key, value in measure(enhance, images).items()}
        for name, enhance in [("(as it is)", lambda image: image), *networks]
    }
    keys = list(next(iter(results.values())))
    print(f"| | {' | '.join(results)} |\n|{' --- |' * (len(results) + 1)}")
    for key in keys:
        print(f"| {key} | {' | '.join(f'{values[key]:.3f}' for values in results.values())} |")
    if arguments.out is not None:
        cells: list[list[Cell]] = []
        for _, images, _ in sets:
            if isinstance(images, list):
                for image in (images[index] for index in evenly(len(images), SHOWN)):
                    shown = [Cell(to_pixels(enhance(image)), [name]) for name, enhance in networks]
                    cells.append([Cell(to_pixels(image), ["input"]), *shown])
            else:
                cells += rows_of(images, evenly(len(images.names), SHOWN), networks)
        drawing.rows(cells, width=400).save(arguments.out)


if __name__ == "__main__":
    with exit_on_user_error():
        main()
