"""Cost of a U-Net as wide as `model=unet_small` under each norm beside the same U-Net with torch.nn.BatchNorm2d, as a
Markdown table: time of a training step (batch 8, crops of 128, with the trainer's loss, clipping and
optimizer), eager and compiled, and of a 256x256 image in evaluation and in the enhancer, which folds batch norms. Times
are ratios to torch's, eager, each measured in turn with it in one process; a ratio is one of medians."""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from enhance.cost.measure import time_ratio
from enhance.device import DTYPES, choose_device, choose_dtype, keep_freed_memory
from enhance.inference.fold import fold_batch_norms
from enhance.models.build import build_model
from enhance.models.model import EnhancementModel
from enhance.models.residual import ResidualUNet
from enhance.models.unet import UNet
from enhance.norm.registry import NORMS
from enhance.settings.schema import ModelSettings, NormSettings, ObjectiveSettings, OptimizerSettings
from enhance.training.loss import Objective, training_loss
from enhance.training.loss import compiled as compile_loss
from enhance.training.schedule import build_optimizer

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def unet_small(name: str, device: torch.device) -> EnhancementModel:
    if name == "torch":
        unet = partial(UNet, nn.BatchNorm2d, width=32, context=True)
        model = EnhancementModel(ResidualUNet(unet, unshuffle=2, brightened=False))
    else:
        plain = ModelSettings(width=32, context=True, exposure=False, brightened=False)
        model = build_model(plain, NormSettings(name))
    return model.to(device)


def training_step(
    name: str, device: torch.device, layout: torch.memory_format, dtype: torch.dtype, compiled: bool
) -> Callable[[], None]:
    model = unet_small(name, device).to(memory_format=layout)
    loss = training_loss(model, Objective(ObjectiveSettings()).to(device), device, dtype)
    if compiled:
        loss = compile_loss(loss, device)
    low, normal = (torch.rand(8, 3, 128, 128, device=device).to(memory_format=layout) for _ in range(2))
    optimizer = build_optimizer(model, OptimizerSettings())

    def step() -> None:
        loss(low, normal)[0].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def evaluation(model: EnhancementModel, device: torch.device) -> Callable[[], object]:
    model.eval()
    image = torch.rand(1, 3, 256, 256, device=device)
    return torch.inference_mode()(lambda: model(image))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", choices=["auto", *DTYPES], default="auto")
    parser.add_argument("--layout", choices=LAYOUTS, default="channels_last")
    parser.add_argument("--norms", nargs="+", choices=NORMS, default=list(NORMS))
    parser.add_argument("--compile", nargs="*", default=["torch", "bn", "gn"], help="those to compile, a minute each")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    keep_freed_memory()  # as the trainer does
    device, layout = choose_device(args.device), LAYOUTS[args.layout]
    dtype = choose_dtype(args.precision, device)
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{str(dtype)[6:]}, {args.layout}, {machine}, torch {torch.__version__}\n")
    print("| norm | step | step, compiled | evaluation | enhancer |")
    print("| --- | ---: | ---: | ---: | ---: |")
    torchs_step = training_step("torch", device, layout, dtype, False)
    torchs_evaluation = evaluation(unet_small("torch", device), device)
    for name in ("torch", *args.norms):
        torch.compiler.reset()
        cells = ["", ""]
        for compiled in (False, True) if name in args.compile else (False,):
            step = training_step(name, device, layout, dtype, compiled)
            cells[compiled] = f"{time_ratio(step, torchs_step, args.rounds, device):.2f}"
        for model in (unet_small(name, device), fold_batch_norms(unet_small(name, device).eval())):
            cells.append(f"{time_ratio(evaluation(model, device), torchs_evaluation, args.rounds, device):.2f}")
        print("| " + " | ".join([name, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
