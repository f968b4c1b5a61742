"""Enhance a video, and keep its sound.

enhance_video.py IN OUT
enhance_video.py RUN IN OUT  # not with the weights in the box, but with your own
"""

import argparse
import math
import sys
import time
from pathlib import Path

from enhance.commands.arguments import add_brightness, add_run, parse
from enhance.device import choose_device, peak_memory_gib
from enhance.errors import DataError, SettingsError, exit_on_user_error, extra
from enhance.inference.brightness import Brightness
from enhance.inference.enhancer import MAX_GIB, Enhancer
from enhance.inference.steady import Steady


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run(parser)
    parser.add_argument("video", metavar="IN", type=Path, help="of any kind that ffmpeg reads")
    parser.add_argument("out", metavar="OUT", type=Path, help="a file, such as bright.mp4, or a folder")
    parser.add_argument("--overwrite", action="store_true", help="replace a result that is already there")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th frame, for a quicker look")
    parser.add_argument("--from", type=float, default=0.0, metavar="SECONDS", dest="start", help="begin there")
    parser.add_argument("--to", type=float, default=math.inf, metavar="SECONDS", dest="end", help="end before")
    parser.add_argument("--strength", type=float, default=1, help="0 leaves the frames as they are (default: 1)")
    add_brightness(parser)
    parser.add_argument(
        "--max-memory",
        type=float,
        default=MAX_GIB,
        metavar="GIB",
        help=f"for the network at work; larger frames go through it in tiles (default: {MAX_GIB:g})",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    return parse(parser)


def main() -> None:
    with exit_on_user_error():
        enhance()


def enhance() -> None:
    arguments = parse_arguments()
    brightness = Brightness.of(arguments.brightness)
    try:
        from enhance.inference.video import check_target, enhance_video
        from enhance.inference.video_file import Part
    except ImportError as error:
        raise SettingsError(f"{error.name or error} is missing: {extra('video')}") from error
    part = Part.of(arguments.every, arguments.start, arguments.end)
    target = check_target(arguments.video, arguments.out, arguments.overwrite)
    device = choose_device(arguments.device)
    steady = Steady(Enhancer.load(arguments.checkpoint, device, arguments.max_memory), brightness)
    start = time.perf_counter()
    outcome = enhance_video(steady, arguments.video, target, arguments.strength, part)
    rate = outcome.frames / (time.perf_counter() - start)
    copied = f"; copied: {', '.join(outcome.copied)}" if outcome.copied else ""
    print(f"{target}: {outcome.frames} frames{copied}")
    peak = peak_memory_gib(device)
    print(f"{rate:.2f} frames/s, reading and writing included; peak memory {peak:.2f} GiB on {device}")
    if outcome.exit_code is not None:
        print("interrupted: what was done until then is kept", file=sys.stderr)
        raise SystemExit(outcome.exit_code)
    if outcome.faults:
        raise DataError(f"{arguments.video}: {'; '.join(outcome.faults)}. What could be read is in {target}")
