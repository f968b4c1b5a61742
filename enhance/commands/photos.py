"""Enhance one dark photograph, or a folder of them, with a trained checkpoint."""

import argparse
import glob
import sys
import time
from pathlib import Path

from enhance.data.images import read_image, to_tensor
from enhance.data.kinds import SUFFIXES
from enhance.device import choose_device, peak_memory_gib
from enhance.errors import DataError, SettingsError, exit_on_user_error
from enhance.evaluation.variants import check_statistics
from enhance.inference.adapt import FEWEST, adapt
from enhance.inference.brightness import Brightness, as_words
from enhance.inference.enhancer import MAX_GIB, Enhancer
from enhance.inference.photos import enhance_files, pair_with_targets
from enhance.models.brightness import mean_grey
from enhance.norm.recalibrate import batch_norms
from enhance.run import checkpoint

EXPOSURE_STAYS = """overall brightness does not adapt: model.exposure=true sets it without batch norms; for photographs
that are darker or brighter than the training's, train with model.exposure=false model.brightened=false"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", metavar="RUN_OR_CHECKPOINT", help="a run folder (its best.pt) or a .pt file")
    parser.add_argument("photos", metavar="PHOTO_OR_FOLDER", nargs="+", help="also several, or a pattern in quotes")
    parser.add_argument(
        "out", metavar="OUT", type=Path, help="a folder, the last word; for one photograph also a file name"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that are already there")
    parser.add_argument("--strength", type=float, default=1, help="0 leaves the photograph as it is (default: 1)")
    bright = parser.add_mutually_exclusive_group()
    bright.add_argument(
        "--brightness",
        default="auto",
        metavar="auto|0..1|+1EV",
        help="of the result: as the model sets it, a mean grey value, or stops more or less; black and white stay",
    )
    bright.add_argument("--like", type=Path, metavar="PHOTO", help="as bright as this photograph")
    parser.add_argument("--quality", type=int, default=95, help="of JPEG, WebP, AVIF and HEIC, 1 to 100 (default: 95)")
    parser.add_argument(
        "--max-memory",
        type=float,
        default=MAX_GIB,
        metavar="GIB",
        help=f"for the network at work; larger photographs go through it in tiles (default: {MAX_GIB:g})",
    )
    parser.add_argument(
        "--adapt",
        action="store_true",
        help="take the batch norms' statistics again on these photographs, for a camera or a light that training never "
        f"saw (AdaBN); needs a folder of at least {FEWEST}",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    return parser.parse_args(as_words(sys.argv[1:]))


def found(words: list[str]) -> list[Path]:
    """The files and folders that are meant, of patterns those that fit."""
    paths = [[word] if Path(word).exists() else sorted(glob.glob(word, recursive=True)) or [word] for word in words]
    return [Path(path) for group in paths for path in group]


def main() -> None:
    with exit_on_user_error():
        enhance()


def enhance() -> None:
    arguments = parse_arguments()
    if not 0 <= arguments.strength <= 1:
        raise SettingsError(f"--strength {arguments.strength:g} is out of range: it is between 0 and 1")
    if not 1 <= arguments.quality <= 100:
        raise SettingsError(f"--quality {arguments.quality} is out of range: it is between 1 and 100")
    brightness = Brightness.of(arguments.brightness)
    if arguments.like is not None:
        brightness = Brightness(mean_grey(to_tensor(read_image(arguments.like))[None]).item())
    photos = found(arguments.photos)
    if len(photos) > 1 and arguments.out.is_file():
        raise SettingsError(f"{arguments.out}: a file, where the results need a folder; give a folder as the last word")
    if len(photos) > 1 and arguments.out.suffix.lower() in SUFFIXES and not arguments.out.is_dir():
        raise SettingsError(f"{arguments.out}: no folder for {len(photos)} photographs; give one as the last word")
    pairs = [pair for path in photos for pair in pair_with_targets(path, arguments.out, arguments.overwrite)]
    if len({target for _, target in pairs}) < len(pairs):
        raise DataError("photographs of several folders have one name; enhance one folder at a time")
    path = checkpoint.locate(arguments.checkpoint, runs="runs")
    loaded, device = checkpoint.load(path), choose_device(arguments.device)
    model = checkpoint.load_model(loaded, path, device)
    start = time.perf_counter()
    if arguments.adapt:
        check_statistics(loaded, model, "--adapt")
        count = loaded.settings.validation.recalibrate_images
        seen = adapt(model, [photo for photo, _ in pairs], count, device, arguments.max_memory)
        print(f"batch norms adapted to {seen} of {len(pairs)} photographs", flush=True)
        if not all(batch_norms(network) for network in model.networks()):
            print(EXPOSURE_STAYS)
    enhancer = Enhancer(model, device, arguments.max_memory)
    failures = enhance_files(enhancer, pairs, arguments.strength, arguments.quality, brightness)
    seconds = (time.perf_counter() - start) / len(pairs)
    print(f"{path}: {len(pairs) - len(failures)} of {len(pairs)} enhanced into {arguments.out}")
    peak = peak_memory_gib(device)
    print(f"{seconds:.2f} s a photograph, reading and writing included; peak memory {peak:.2f} GiB on {device}")
    if failures:
        more = [f"and {len(failures) - 5} more"] if len(failures) > 5 else []
        raise DataError("\n".join(failures[:5] + more))
