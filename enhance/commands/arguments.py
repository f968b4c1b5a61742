"""What the commands that enhance have in common on their command lines."""

import argparse
import sys

from enhance import weights
from enhance.errors import SettingsError


def add_run(parser: argparse.ArgumentParser) -> None:
    """RUN, which may be left out; for `parse_intermixed_args`, so that options may stand behind it."""
    parser.add_argument(
        "checkpoint",
        metavar="RUN",
        nargs="?",
        default=weights.DEFAULT,
        help="a run folder (its best.pt) or a .pt file (default: the weights in the box)",
    )


def add_brightness(parser: "argparse.ArgumentParser | argparse._MutuallyExclusiveGroup") -> None:
    parser.add_argument(
        "--brightness",
        default="auto",
        metavar="auto|0..1|+1EV",
        help="of the result: as the model sets it, a mean grey value, or stops more or less; black and white stay",
    )


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The command line, which has a --strength. Raises `SettingsError` where that is out of range."""
    # argparse takes -1EV for an option.
    words = "\0".join(sys.argv[1:]).replace("--brightness\0-", "--brightness=-").split("\0")
    arguments = parser.parse_intermixed_args(words)
    if not 0 <= arguments.strength <= 1:
        raise SettingsError(f"--strength {arguments.strength:g} is out of range: it is between 0 and 1")
    return arguments
