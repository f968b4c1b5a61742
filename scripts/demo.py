"""A web page that enhances photographs, on this computer alone unless --host says otherwise.

python scripts/demo.py [RUN ...]    # needs pip install -e '.[demo]'
"""

import argparse
import os
import signal
import threading
from pathlib import Path

from enhance import weights
from enhance.device import choose_device
from enhance.errors import SettingsError, exit_on_user_error, extra
from enhance.inference.enhancer import MAX_GIB, Enhancer
from enhance.run.checkpoint import locate


def _named(files: list[Path]) -> dict[str, Path]:
    """By the run's name, or the file's; by its whole path where two share a name."""
    names = [file.parents[1].name if file.parent.name == "checkpoints" else file.stem for file in files]
    return {name if names.count(name) == 1 else str(file): file for name, file in zip(names, files, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "runs", metavar="RUN", nargs="*", help="run folders or checkpoints (default: the weights in the box)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other computers in (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument("--max-memory", type=float, default=MAX_GIB, metavar="GIB", help="for the network at work")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    args = parser.parse_args()
    if args.port is not None and not 0 < args.port < 2**16:
        raise SettingsError(f"--port {args.port} is out of range: it is between 1 and 65535")
    device = choose_device(args.device)
    files = [locate(run, "runs") for run in args.runs or [weights.DEFAULT]]
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # the page talks to this computer alone, and Gradio looks at it through a proxy
    os.environ.pop("GRADIO_TEMP_DIR", None)  # the page has a folder of its own; Gradio looks at this one before
    try:
        from enhance.inference.page import Page, served
    except ImportError as error:
        raise SettingsError(f"{error.name or error} is missing: {extra('demo')}") from error
    page = Page({name: Enhancer.load(file, device, args.max_memory) for name, file in _named(files).items()})
    try:
        with served(page, args.host, args.port) as address:
            for number in (signal.SIGINT, signal.SIGTERM):  # which else leaves the uploads behind
                signal.signal(number, signal.default_int_handler)
            print(f"open {address} (Ctrl-C ends it)", flush=True)
            threading.Event().wait()
    except OSError as error:
        if error.filename is not None:  # of a file, not of a socket
            reason = f"cannot be used ({error.strerror}); set TMPDIR to a folder that can be written"
            raise SettingsError(f"{error.filename}: {reason}") from error
        port = "" if args.port is None else f" --port {args.port}"
        raise SettingsError(
            f"--host {args.host}{port}: cannot be listened at ({error.strerror or error}); give another, "
            "127.0.0.1 for this computer alone"
        ) from error


if __name__ == "__main__":
    with exit_on_user_error():
        main()
