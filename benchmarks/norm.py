"""Cost of one layer of each norm beside torch's own layer of its kind, as a Markdown table.

Times are of forward and backward (on the CPU also of inference), ratios to those of torch's layer in the same type and
layout, both measured in turn in one process; a ratio is one of medians. On the CPU with one thread they are processor
times. Torch's layer is that of the same kind where there is one, else BatchNorm2d; beside bn_act, which holds its
activation, as frn does, BatchNorm2d and an in-place LeakyReLU. MiB kept are those for backward. Operations are those
of forward and backward without views, and bytes a value what they are given and give; on a CUDA device, kernel
launches are counted instead."""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from enhance.cost.measure import Traffic, saved_tensors, storage_bytes, time_ratio
from enhance.device import DTYPES, choose_device, keep_freed_memory
from enhance.norm.registry import NORMS, build_norm

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
ON_CUDA = ((8, 32, 256, 256), (8, 64, 128, 128), (32, 32, 320, 320))
REPEATS = 10  # on a CUDA device, of each timed task: the host is ahead then
GROUPS = 8


class LayerNorm(nn.LayerNorm):
    """Over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def torchs(name: str, channels: int) -> nn.Module:
    """Torch's layer beside which a norm stands."""
    if name == "bn_act":
        return nn.Sequential(nn.BatchNorm2d(channels), nn.LeakyReLU(0.2, inplace=True))
    if name in ("in", "hin"):
        return nn.InstanceNorm2d(channels, affine=True)
    if name == "gn":
        return nn.GroupNorm(GROUPS, channels)
    return LayerNorm(channels) if name == "ln" else nn.BatchNorm2d(channels)


def ours(name: str, channels: int) -> nn.Module:
    """With "torch" for a name, torch's batch norm: its ratios to itself show the noise."""
    if name == "torch":
        return nn.BatchNorm2d(channels)
    return build_norm(name, channels, **({"num_groups": GROUPS} if name == "gn" else {}))


def training(layer: nn.Module, x: Tensor, grad: Tensor, compiled: bool = False) -> Callable[[], object]:
    """Forward and backward."""
    run = torch.compile(layer, fullgraph=True, dynamic=False) if compiled else layer

    def once() -> object:
        return torch.autograd.grad(run(x), (x, *layer.parameters()), grad)

    if not x.is_cuda:
        return once

    def several() -> None:
        for _ in range(REPEATS):
            once()
        torch.cuda.synchronize()

    return several


def inference(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    layer.eval()
    return torch.inference_mode()(lambda: layer(x))


def kept_mib(layer: nn.Module, x: Tensor) -> float:
    return sum(storage_bytes(saved_tensors(lambda: layer(x.requires_grad_()))).values()) / 2**20


def launches(task: Callable[[], object]) -> float:
    """Kernels that run on the device in one forward and backward."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        task()
    return sum(event.count for event in profiler.key_averages() if event.device_type.name == "CUDA") / REPEATS


def inputs(shape: tuple[int, ...], precision: str, layout: str, device: torch.device) -> tuple[Tensor, Tensor]:
    x = torch.randn(shape, device=device, dtype=DTYPES[precision]).to(memory_format=LAYOUTS[layout])
    return x.requires_grad_(), torch.randn_like(x)


def row(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def on_cuda(names: list[str], device: torch.device, rounds: int) -> None:
    row(["norm", "shape", "type", "layout", "time", "MiB kept", "launches"])
    row(["---", "---", "---", "---", "---:", "---:", "---:"])
    for shape in ON_CUDA:
        for precision in ("fp32", "bf16"):
            for layout in LAYOUTS:
                x, grad = inputs(shape, precision, layout, device)
                for name in names:
                    layer, other = (build(name, shape[1]).to(device) for build in (ours, torchs))
                    task = training(layer, x, grad)
                    ratio = time_ratio(task, training(other, x, grad), rounds)
                    kept, count = kept_mib(layer, x), launches(task)
                    row([name, str(shape), precision, layout, f"{ratio:.2f}", f"{kept:.1f}", f"{count:.0f}"])


def on_cpu(names: list[str], shape: tuple[int, ...], compiled: bool, rounds: int) -> None:
    keep_freed_memory()  # as the trainer does
    print(f"{shape}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    modes = [(layout, mode) for layout in LAYOUTS for mode in ((False, True) if compiled else (False,))]
    columns = [f"{layout}, compiled" if mode else layout for layout, mode in modes]
    row(["norm", "type", *columns, "operations", "bytes a value", "MiB kept", "inference"])
    row(["---", "---", *["---:"] * (len(columns) + 4)])
    for precision in ("fp32", "bf16"):
        for name in names:
            torch.compiler.reset()
            layer, other = ours(name, shape[1]), torchs(name, shape[1])
            cells = [name, precision]
            for layout, mode in modes:
                x, grad = inputs(shape, precision, layout, torch.device("cpu"))
                pair = training(layer, x, grad, mode), training(other, x, grad)
                cells.append(f"{time_ratio(*pair, rounds, x.device):.2f}")
            with Traffic() as traffic:
                training(layer, x, grad)()
            cells += [f"{traffic.operations}", f"{traffic.bytes / x.numel():.0f}", f"{kept_mib(layer, x):.1f}"]
            ratio = time_ratio(inference(layer, x.detach()), inference(other, x.detach()), rounds, x.device)
            row([*cells, f"{ratio:.2f}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--shape", type=int, nargs=4, default=[8, 32, 128, 128], metavar=("N", "C", "H", "W"))
    parser.add_argument("--compiled", action="store_true", help="on the CPU, compiled layers too, a minute each")
    parser.add_argument("--norms", nargs="+", choices=NORMS, default=[name for name in NORMS if name != "none"])
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    names, device = ["torch", *args.norms], choose_device(args.device)
    if device.type == "cuda":
        print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}\n")
        on_cuda(names, device, args.rounds)
    else:
        on_cpu(names, tuple(args.shape), args.compiled, args.rounds)


if __name__ == "__main__":
    main()
