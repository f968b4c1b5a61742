"""Cost of one layer of each norm beside torch's own layers, as a Markdown table.

On the CPU: time of forward and backward, eager and compiled, MiB kept for backward, parameters, and time at inference.
On a CUDA device: time eager, of three shapes, in fp32 and bf16 and both memory layouts, MiB kept and kernel launches.
Times are ratios to those of torch.nn.BatchNorm2d, eager, in the same layout, each measured in turn with it in one
process; a ratio is one of medians. bn_act and frn hold their activation; on a CUDA device bn_act stands beside
BatchNorm2d and an in-place LeakyReLU."""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from enhance.cost.measure import saved_tensors, storage_bytes, time_ratio
from enhance.device import DTYPES, choose_device, keep_freed_memory
from enhance.models.build import count_parameters
from enhance.norm.registry import NORMS, build_norm

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
ON_CUDA = ((8, 32, 256, 256), (8, 64, 128, 128), (32, 32, 320, 320))
REPEATS = 10  # on a CUDA device, of each timed task: the host is ahead then


def build(name: str, channels: int, device: torch.device) -> nn.Module:
    if name == "torch":
        return nn.BatchNorm2d(channels).to(device)
    if name == "torch and LeakyReLU":
        return nn.Sequential(nn.BatchNorm2d(channels), nn.LeakyReLU(0.2, inplace=True)).to(device)
    return build_norm(name, channels, **({"num_groups": 8} if name == "gn" else {})).to(device)


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


def row(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def on_cuda(names: list[str], device: torch.device, rounds: int) -> None:
    row(["norm", "shape", "type", "layout", "time", "MiB kept", "launches"])
    row(["---", "---", "---", "---", "---:", "---:", "---:"])
    for shape in ON_CUDA:
        for precision in ("fp32", "bf16"):
            for layout, memory_format in LAYOUTS.items():
                x = torch.randn(shape, device=device, dtype=DTYPES[precision]).to(memory_format=memory_format)
                x, grad = x.requires_grad_(), torch.randn_like(x)
                for name in names:
                    other = build("torch and LeakyReLU" if name == "bn_act" else "torch", shape[1], device)
                    layer = build(name, shape[1], device)
                    task = training(layer, x, grad)
                    ratio = time_ratio(task, training(other, x, grad), rounds)
                    kept, count = kept_mib(layer, x), launches(task)
                    row([name, str(shape), precision, layout, f"{ratio:.2f}", f"{kept:.1f}", f"{count:.0f}"])


def on_cpu(names: list[str], shape: list[int], dtype: str, rounds: int) -> None:
    keep_freed_memory()  # as the trainer does
    print(f"{tuple(shape)}, {dtype}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    columns = [f"{layout}, {mode}" for layout in LAYOUTS for mode in ("eager", "compiled")]
    row(["norm", *columns, "MiB kept", "parameters", "inference"])
    row(["---", *["---:"] * (len(columns) + 3)])
    device = torch.device("cpu")
    x = torch.randn(shape).to(getattr(torch, dtype))
    torchs = build("torch", x.shape[1], device)
    for name in names:
        torch.compiler.reset()
        layer, cells = build(name, x.shape[1], device), [name]
        for layout in LAYOUTS.values():
            inputs = [x.to(memory_format=layout).clone().requires_grad_(), torch.randn_like(x).to(memory_format=layout)]
            for compiled in (False, True):
                pair = training(layer, *inputs, compiled), training(torchs, *inputs)
                cells.append(f"{time_ratio(*pair, rounds):.2f}")
        cells += [f"{kept_mib(layer, x):.1f}", f"{count_parameters(layer)}"]
        pair = inference(layer, x), inference(build("torch", x.shape[1], device), x)
        cells.append(f"{time_ratio(*pair, rounds):.2f}")
        row(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--shape", type=int, nargs=4, default=[8, 32, 128, 128], metavar=("N", "C", "H", "W"))
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--norms", nargs="+", choices=NORMS, default=[name for name in NORMS if name != "none"])
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    names, device = ["torch", *args.norms], choose_device(args.device)
    if device.type == "cuda":
        print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}\n")
        on_cuda(names, device, args.rounds)
    else:
        on_cpu(names, args.shape, args.dtype, args.rounds)


if __name__ == "__main__":
    main()
