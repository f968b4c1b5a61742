"""Export the model of a trained checkpoint as an ONNX file, with its batch norms folded, and a model card beside it."""

import argparse
from pathlib import Path

from enhance.errors import exit_on_user_error
from enhance.inference.export import TIMED, export_onnx
from enhance.run.checkpoint import locate


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", metavar="RUN_OR_CHECKPOINT", help="a run folder (its best.pt) or a .pt file")
    parser.add_argument("out", metavar="OUT", type=Path, help="an .onnx file; its card takes the same name with .json")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are already there")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    path = locate(arguments.checkpoint, runs="runs")
    comparison = export_onnx(path, arguments.out, arguments.overwrite)
    print(f"{arguments.out}: differs from {path} by at most {comparison.difference:.1e} on images in [0, 1]")
    height, width = TIMED[2:]
    ratio = comparison.onnxruntime_milliseconds / comparison.torch_milliseconds
    print(
        f"{width}x{height} on the CPU: PyTorch {comparison.torch_milliseconds:.0f} ms, "
        f"onnxruntime {comparison.onnxruntime_milliseconds:.0f} ms, {ratio:.2f} of it"
    )


if __name__ == "__main__":
    with exit_on_user_error():
        main()
