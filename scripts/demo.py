"""A web page that enhances photographs with trained checkpoints, on this computer alone unless --host says otherwise.

python scripts/demo.py runs/RUN [runs/OTHER ...]    # needs pip install -e '.[demo]'
"""

import argparse
import signal
import threading
from pathlib import Path

from enhance.checkpoint import locate
from enhance.device import choose_device
from enhance.errors import SettingsError, told_to_the_user
from enhance.inference.enhancer import MAX_GIB, Enhancer


def _name(file: Path) -> str:
    return file.parents[1].name if file.parent.name == "checkpoints" else file.stem


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", nargs="*", help="run folders or checkpoints (default: the newest run)")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other computers in (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument("--max-memory", type=float, default=MAX_GIB, metavar="GIB", help="for the network at work")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    args = parser.parse_args()
    device = choose_device(args.device)
    files = [locate(run, "runs") for run in args.runs or [None]]
    try:
        from enhance.inference.page import Page, served
    except ImportError as error:
        raise SettingsError(f"{error.name} is missing: pip install -e '.[demo]'") from error
    page = Page({_name(file): Enhancer.load(file, device, args.max_memory) for file in files})
    try:
        with served(page, args.host, args.port) as address:
            for number in (signal.SIGINT, signal.SIGTERM):  # which else leaves the uploads behind
                signal.signal(number, signal.default_int_handler)
            print(f"open {address} (Ctrl-C ends it)", flush=True)
            threading.Event().wait()
    except OSError as error:
        raise SettingsError(f"--host {args.host} --port {args.port}: {error}") from error


if __name__ == "__main__":
    with told_to_the_user():
        main()
