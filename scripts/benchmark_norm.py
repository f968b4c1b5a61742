"""Time, and MiB kept for backward, of the own norms beside torch.nn.BatchNorm2d, on the CPU: a training step of
`model=unet_small` (batch 8, crops of 128, with the trainer's loss, clipping and optimizer), then forward and backward
of single layers. What is compared runs in turn in one process; a ratio is one of medians."""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from enhance.device import keep_freed_memory
from enhance.models.unet import UNet
from enhance.norm.registry import NORMS
from enhance.settings import ObjectiveSettings, OptimizerSettings
from enhance.training.objective import Objective
from enhance.training.schedule import build_optimizer

FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
KINDS = [(layout, dtype) for layout in FORMATS for dtype in (torch.bfloat16, torch.float32)]
UNET_SMALL = [(8, 32, 64, 64), (8, 64, 32, 32), (8, 128, 16, 16), (8, 256, 8, 8)]  # what its norms see
LAYERS = [(8, 32, 128, 128), (8, 64, 64, 64), (2, 32, 256, 256), *UNET_SMALL]
CONTESTANTS: dict[str, Callable] = {"torch": nn.BatchNorm2d} | {name: NORMS[name] for name in ("bn", "in", "gn", "ln")}
Pass = tuple[Callable[[], Tensor], Callable[[Tensor], object]]  # forward, and what is done with its output


def training_step(norm: Callable, dtype: torch.dtype, layout: str) -> Pass:
    model = UNet(norm, width=32, depth=3, unshuffle=2).to(memory_format=FORMATS[layout])
    image = torch.rand(8, 3, 128, 128).to(memory_format=FORMATS[layout])
    optimizer = build_optimizer(model, OptimizerSettings())
    objective = Objective(ObjectiveSettings())

    def finish(y: Tensor) -> None:
        objective(y.float(), image)[0].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return torch.autocast("cpu", dtype, enabled=dtype != torch.float32)(lambda: model(image)), finish


def layer_pass(norm: Callable, shape: tuple[int, ...], dtype: torch.dtype, layout: str) -> Pass:
    layer = norm(shape[1])
    x, grad = (torch.randn(shape).to(dtype).to(memory_format=FORMATS[layout]) for _ in range(2))
    return lambda: layer(x.requires_grad_()), lambda y: torch.autograd.grad(y, (x, *layer.parameters()), grad)


def kept_mib(forward: Callable[[], Tensor]) -> float:
    """What a forward pass keeps for backward, the parameters among it."""
    kept: list[Tensor] = []  # held, so that no storage is freed and counted again
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        forward()
    return sum({x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in kept}.values()) / 2**20


def print_line(label: str, passes: dict[str, Pass], rounds: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(rounds + 2):  # the first two warm up
        for name, (forward, finish) in passes.items():
            start = time.perf_counter()
            finish(forward())
            times[name].append(1000 * (time.perf_counter() - start))
    for name, (forward, _) in passes.items():
        median, torchs = (statistics.median(times[key][2:]) for key in (name, "torch"))
        print(f"{label:43}{name:6}{median:8.2f} ms {median / torchs:6.2f} x {kept_mib(forward):8.2f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    keep_freed_memory()  # as the trainer does
    for layout, dtype in KINDS:
        steps = {name: training_step(norm, dtype, layout) for name, norm in CONTESTANTS.items()}
        print_line(f"step unet_small {str(dtype)[6:]} {layout}", steps, rounds)
        for shape in LAYERS:
            names = CONTESTANTS if shape == UNET_SMALL[0] else ("torch", "bn")
            passes = {name: layer_pass(CONTESTANTS[name], shape, dtype, layout) for name in names}
            print_line(f"{shape} {str(dtype)[6:]} {layout}", passes, rounds)


if __name__ == "__main__":
    main()
