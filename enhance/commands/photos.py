"""Enhance one dark photograph, or a folder of them.

enhance_photos.py dark.jpg                     # the result is dark-enhanced.jpg
enhance_photos.py PHOTO_OR_FOLDER ... OUT
enhance_photos.py RUN PHOTO_OR_FOLDER ... OUT  # not with the weights in the box, but with your own
"""

import argparse
import glob
import os
import time
from pathlib import Path

from enhance import weights
from enhance.commands.arguments import add_brightness, parse
from enhance.data.images import read_image, to_tensor
from enhance.data.kinds import SUFFIXES, result_suffix
from enhance.device import choose_device, peak_memory_gib
from enhance.errors import DataError, SettingsError, exit_on_user_error
from enhance.evaluation.variants import check_statistics
from enhance.inference.adapt import FEWEST, adapt
from enhance.inference.brightness import Brightness
from enhance.inference.enhancer import MAX_GIB, Enhancer
from enhance.inference.photos import enhance_files, pair_with_targets
from enhance.models.brightness import mean_grey
from enhance.norm.recalibrate import batch_norms
from enhance.run import checkpoint

EXPOSURE_STAYS = """overall brightness does not adapt: model.exposure=true sets it without batch norms; for photographs
that are darker or brighter than the training's, train with model.exposure=false model.brightened=false"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "words",
        metavar="[RUN] PHOTO ... [OUT]",
        nargs="+",
        help="RUN is a run folder or a checkpoint; PHOTO also a folder, or a pattern in quotes; OUT a folder, or for "
        "one photograph a file name",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that are already there")
    parser.add_argument("--strength", type=float, default=1, help="0 leaves the photograph as it is (default: 1)")
    bright = parser.add_mutually_exclusive_group()
    add_brightness(bright)
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
    return parse(parser)


def meant(words: list[str]) -> tuple[str, list[str], Path | None]:
    """Which checkpoint, which photographs, and OUT."""
    if "" in words:
        raise SettingsError("the name of a photograph is empty: write one (make enhance PHOTO=dark.jpg)")
    run = weights.DEFAULT
    if checkpoint.is_checkpoint(words[0]):
        run, *words = words
    if not words:
        raise SettingsError(f"{run}: of which photograph? Write it after the run")
    return (run, words[:-1], Path(words[-1])) if len(words) > 1 else (run, words, None)


def beside(photo: Path) -> Path:
    """Where the result of a photograph, or of a folder, goes by itself."""
    if photo.is_dir():
        folder = Path(os.path.abspath(photo))  # of . too
        return folder.with_name(f"{folder.name}-enhanced")
    return photo.with_name(f"{photo.stem}-enhanced{result_suffix(photo)}")


def found(words: list[str]) -> list[Path]:
    """The files and folders that are meant, of patterns those that fit."""
    paths = [[word] if Path(word).exists() else sorted(glob.glob(word, recursive=True)) or [word] for word in words]
    return [Path(path) for group in paths for path in group]


def main() -> None:
    with exit_on_user_error():
        enhance()


def enhance() -> None:
    arguments = parse_arguments()
    if not 1 <= arguments.quality <= 100:
        raise SettingsError(f"--quality {arguments.quality} is out of range: it is between 1 and 100")
    brightness = Brightness.of(arguments.brightness)
    if arguments.like is not None:
        brightness = Brightness(mean_grey(to_tensor(read_image(arguments.like))[None]).item())
    run, words, out = meant(arguments.words)
    photos = found(words)
    if out is not None and len(photos) > 1:
        if out.is_file():
            raise SettingsError(f"{out}: a file, where the results need a folder; give a folder as the last word")
        if out.suffix.lower() in SUFFIXES and not out.is_dir():
            raise SettingsError(f"{out}: no folder for {len(photos)} photographs; give one as the last word")
    into = [(photo, out or beside(photo)) for photo in photos]
    pairs = [pair for each in into for pair in pair_with_targets(*each, arguments.overwrite)]
    if len({target for _, target in pairs}) < len(pairs):
        raise DataError("photographs of several folders have one name; enhance one folder at a time")
    path = checkpoint.locate(run, runs="runs")
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
    folders = ", ".join(dict.fromkeys(str(target) for _, target in into))
    print(f"{path}: {len(pairs) - len(failures)} of {len(pairs)} enhanced into {folders}")
    peak = peak_memory_gib(device)
    print(f"{seconds:.2f} s a photograph, reading and writing included; peak memory {peak:.2f} GiB on {device}")
    if failures:
        more = [f"and {len(failures) - 5} more"] if len(failures) > 5 else []
        raise DataError("\n".join(failures[:5] + more))
