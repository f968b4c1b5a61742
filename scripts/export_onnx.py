"""Export the model of a trained checkpoint as an ONNX file, with its batch norms folded, and a model card beside it."""

import argparse
import re
from pathlib import Path

from enhance.commands.arguments import add_run
from enhance.errors import SettingsError, exit_on_user_error
from enhance.inference.export import OLDEST_OPSET, Form, export_onnx
from enhance.run.checkpoint import locate


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_run(parser)
    parser.add_argument("out", metavar="OUT", type=Path, help="an .onnx file; its card takes the same name with .json")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are already there")
    parser.add_argument(
        "--size", metavar="WIDTHxHEIGHT", help="one image of this size, for runtimes that take no other"
    )
    parser.add_argument("--opset", type=int, metavar="N", help=f"version of ONNX's operations, from {OLDEST_OPSET} on")
    parser.add_argument("--fp16", action="store_true", help="weights in half the space; image and result stay float32")
    return parser.parse_intermixed_args()


def height_and_width(size: str | None) -> tuple[int, int] | None:
    if size is None:
        return None
    if not (sides := re.fullmatch(r"(\d+)[x*](\d+)", size.lower())):
        raise SettingsError(f"--size {size}: write WIDTHxHEIGHT, for example 640x480")
    return int(sides[2]), int(sides[1])


def main() -> None:
    arguments = parse_arguments()
    path = locate(arguments.checkpoint, runs="runs")
    form = Form(height_and_width(arguments.size), arguments.opset, arguments.fp16)
    comparison = export_onnx(path, arguments.out, arguments.overwrite, form)
    print(f"{arguments.out}: differs from {path} by at most {comparison.difference:.1e} on images in [0, 1]")
    _, height, width = form.compared()[-1]
    ratio = comparison.onnxruntime_milliseconds / comparison.torch_milliseconds
    print(
        f"{width}x{height} on the CPU: PyTorch {comparison.torch_milliseconds:.0f} ms, "
        f"onnxruntime {comparison.onnxruntime_milliseconds:.0f} ms, {ratio:.2f} of it"
    )


if __name__ == "__main__":
    with exit_on_user_error():
        main()
