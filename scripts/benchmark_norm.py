"""Cost of one layer of each norm beside torch.nn.BatchNorm2d, on the CPU, as a Markdown table: time of forward and
backward, eager and compiled, MiB kept for backward, parameters, and time at inference. Times are ratios to those of
torch's layer, eager, in the same memory layout, all in turn in one process; a ratio is one of medians. bn_act and frn
hold their activation."""

import argparse

import torch
from torch import Tensor, nn

from enhance.device import keep_freed_memory
from enhance.measure import kept_tensors, median_milliseconds, storage_bytes
from enhance.models.unet import count_parameters
from enhance.norm.registry import NORMS, build_norm

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def build(name: str, channels: int) -> nn.Module:
    if name == "torch":
        return nn.BatchNorm2d(channels)
    return build_norm(name, channels, **({"num_groups": 8} if name == "gn" else {}))


def training_ratios(names: list[str], x: Tensor, rounds: int) -> dict[str, float]:
    """Forward and backward of each norm, eager and compiled, to torch's, eager."""
    torch.compiler.reset()
    x, grad, tasks = x.detach().requires_grad_(), torch.randn_like(x), {}
    for name in names:
        layer = build(name, x.shape[1])
        for mode, run in (("eager", layer), ("compiled", torch.compile(layer, fullgraph=True, dynamic=False))):
            inputs = (x, *layer.parameters())
            tasks[f"{name} {mode}"] = lambda run=run, inputs=inputs: torch.autograd.grad(run(x), inputs, grad)
    times = median_milliseconds(tasks, rounds)
    return {task: milliseconds / times["torch eager"] for task, milliseconds in times.items()}


def inference_ratios(names: list[str], x: Tensor, rounds: int) -> dict[str, float]:
    layers = {name: build(name, x.shape[1]).eval() for name in names}
    with torch.inference_mode():
        times = median_milliseconds({name: (lambda layer=layer: layer(x)) for name, layer in layers.items()}, rounds)
    return {name: milliseconds / times["torch"] for name, milliseconds in times.items()}


def kept_mib(layer: nn.Module, x: Tensor) -> float:
    return sum(storage_bytes(kept_tensors(lambda: layer(x.requires_grad_()))).values()) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=4, default=[8, 32, 128, 128], metavar=("N", "C", "H", "W"))
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--norms", nargs="+", choices=NORMS, default=[name for name in NORMS if name != "none"])
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    keep_freed_memory()  # as the trainer does
    names = ["torch", *args.norms]
    x = torch.randn(args.shape).to(getattr(torch, args.dtype))
    timed = [training_ratios(names, x.to(memory_format=layout), args.rounds) for layout in LAYOUTS.values()]
    inference = inference_ratios(names, x, args.rounds)
    columns = [f"{layout}, {mode}" for layout in LAYOUTS for mode in ("eager", "compiled")]
    print(f"{tuple(args.shape)}, {args.dtype}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| " + " | ".join(["norm", *columns, "MiB kept", "parameters", "inference"]) + " |")
    print("| --- " + "| ---: " * (len(columns) + 3) + "|")
    for name in names:
        layer = build(name, x.shape[1])
        cells = [f"{ratio[f'{name} {mode}']:.2f}" for ratio in timed for mode in ("eager", "compiled")]
        cells += [f"{kept_mib(layer, x):.1f}", f"{count_parameters(layer)}", f"{inference[name]:.2f}"]
        print("| " + " | ".join([name, *cells]) + " |")


if __name__ == "__main__":
    main()
