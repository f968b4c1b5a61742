"""Time of the own norms beside torch.nn.BatchNorm2d, on the CPU, and MiB kept for backward: a training step of
`model=unet_small` (batch 8, crops of 128, with the trainer's loss, clipping and optimizer), its evaluation of a 256x256
image, batch norms folded too as the enhancer has them, and forward and backward of single batch norms. What is compared
runs in turn in one process; a ratio is one of medians."""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from enhance.device import keep_freed_memory
from enhance.inference.fold import fold_batch_norms
from enhance.measure import kept_tensors, median_milliseconds, storage_bytes
from enhance.models.unet import UNet, build_unet
from enhance.norm.batch import BatchNorm
from enhance.norm.registry import NORMS
from enhance.settings import ModelSettings, NormSettings, ObjectiveSettings, OptimizerSettings
from enhance.training.objective import Objective
from enhance.training.schedule import build_optimizer

FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
KINDS = [(layout, dtype) for layout in FORMATS for dtype in (torch.bfloat16, torch.float32)]
LAYERS = [(8, 32, 128, 128), (8, 64, 64, 64), (2, 32, 256, 256)]
LAYERS += [(8, 32, 64, 64), (8, 64, 32, 32), (8, 128, 16, 16), (8, 256, 8, 8)]  # what those of unet_small see
Pass = tuple[Callable[[], Tensor], Callable[[Tensor], object]]  # forward, and what is done with its output


def unet_small(name: str, layout: str) -> UNet:
    if name == "torch":
        return UNet(nn.BatchNorm2d, width=32, depth=3, unshuffle=2).to(memory_format=FORMATS[layout])
    return build_unet(ModelSettings(width=32), NormSettings(name)).to(memory_format=FORMATS[layout])


def training_step(model: UNet, dtype: torch.dtype, layout: str) -> Pass:
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


def print_lines(label: str, tasks: dict[str, Pass], rounds: int, kept: bool = True) -> None:
    times = median_milliseconds({name: (lambda task=task: task[1](task[0]())) for name, task in tasks.items()}, rounds)
    for name, (forward, _) in tasks.items():
        line = f"{label:43}{name:10}{times[name]:8.2f} ms {times[name] / times['torch']:6.2f} x"
        mib = f" {sum(storage_bytes(kept_tensors(forward)).values()) / 2**20:8.2f} MiB" if kept else ""
        print(line + mib, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    keep_freed_memory()  # as the trainer does
    for layout, dtype in KINDS:
        label = f"{str(dtype)[6:]} {layout}"
        steps = {name: training_step(unet_small(name, layout), dtype, layout) for name in ("torch", *NORMS)}
        print_lines(f"step {label}", steps, rounds)
        for shape in LAYERS:
            norms: dict[str, Callable] = {"torch": nn.BatchNorm2d, "bn": BatchNorm}
            passes = {name: layer_pass(norm, shape, dtype, layout) for name, norm in norms.items()}
            print_lines(f"{shape} {label}", passes, rounds)
    image = torch.rand(1, 3, 256, 256)
    models = {name: unet_small(name, "contiguous").eval() for name in ("torch", *NORMS)}
    models |= {"bn, folded": fold_batch_norms(models["bn"])}
    with torch.inference_mode():
        forwards = {name: ((lambda model=model: model(image)), (lambda y: y)) for name, model in models.items()}
        print_lines("evaluation float32 contiguous", forwards, rounds, kept=False)


if __name__ == "__main__":
    main()
