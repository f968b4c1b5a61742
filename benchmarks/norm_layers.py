"""Cost of one layer of each norm beside torch.nn.BatchNorm2d, on the CPU, as a Markdown table: time of forward and
backward, eager and compiled, MiB kept for backward, parameters, and time at inference. Times are ratios to those of
torch's layer, eager, in the same memory layout, each measured in turn with it in one process; a ratio is one of
medians. bn_act and frn hold their activation."""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from enhance.cost.measure import saved_tensors, storage_bytes, time_ratio
from enhance.device import keep_freed_memory
from enhance.models.build import count_parameters
from enhance.norm.registry import NORMS, build_norm

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def build(name: str, channels: int) -> nn.Module:
    if name == "torch":
        return nn.BatchNorm2d(channels)
    return build_norm(name, channels, **({"num_groups": 8} if name == "gn" else {}))


def training(layer: nn.Module, x: Tensor, grad: Tensor, compiled: bool = False) -> Callable[[], object]:
    """Forward and backward."""
    run = torch.compile(layer, fullgraph=True, dynamic=False) if compiled else layer
    return lambda: torch.autograd.grad(run(x), (x, *layer.parameters()), grad)


def inference(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    layer.eval()
    return torch.inference_mode()(lambda: layer(x))


def kept_mib(layer: nn.Module, x: Tensor) -> float:
    return sum(storage_bytes(saved_tensors(lambda: layer(x.requires_grad_()))).values()) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=4, default=[8, 32, 128, 128], metavar=("N", "C", "H", "W"))
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--norms", nargs="+", choices=NORMS, default=[name for name in NORMS if name != "none"])
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    keep_freed_memory()  # as the trainer does
    print(f"{tuple(args.shape)}, {args.dtype}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    columns = [f"{layout}, {mode}" for layout in LAYOUTS for mode in ("eager", "compiled")]
    print("| " + " | ".join(["norm", *columns, "MiB kept", "parameters", "inference"]) + " |")
    print("| --- " + "| ---: " * (len(columns) + 3) + "|")
    x = torch.randn(args.shape).to(getattr(torch, args.dtype))
    torchs = build("torch", x.shape[1])
    for name in ("torch", *args.norms):
        torch.compiler.reset()
        layer, cells = build(name, x.shape[1]), [name]
        for layout in LAYOUTS.values():
            inputs = [x.to(memory_format=layout).clone().requires_grad_(), torch.randn_like(x).to(memory_format=layout)]
            for compiled in (False, True):
                pair = training(layer, *inputs, compiled), training(torchs, *inputs)
                cells.append(f"{time_ratio(*pair, args.rounds):.2f}")
        cells += [f"{kept_mib(layer, x):.1f}", f"{count_parameters(layer)}"]
        pair = inference(layer, x), inference(build("torch", x.shape[1]), x)
        cells.append(f"{time_ratio(*pair, args.rounds):.2f}")
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
