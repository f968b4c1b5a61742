"""Cost of `model=unet_small` under each norm beside the same U-Net with torch.nn.BatchNorm2d, on the CPU, as a Markdown
table: time of a training step (batch 8, crops of 128, with the trainer's loss, clipping and optimizer), eager and
compiled, MiB kept for backward with the parameters, parameters, and time of a 256x256 image in evaluation and in the
enhancer, which folds batch norms. Times are ratios to torch's, eager, all in turn in one process; a ratio is one of
medians."""

import argparse
from collections.abc import Callable

import torch
from torch import nn

from enhance.device import keep_freed_memory
from enhance.inference.fold import fold_batch_norms
from enhance.measure import kept_tensors, median_milliseconds, storage_bytes
from enhance.models.unet import UNet, build_unet, count_parameters
from enhance.norm.registry import NORMS
from enhance.settings import ModelSettings, NormSettings, ObjectiveSettings, OptimizerSettings
from enhance.training.loss import Loss, training_loss
from enhance.training.objective import Objective
from enhance.training.precision import DTYPES, choose_dtype
from enhance.training.schedule import build_optimizer

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
CPU = torch.device("cpu")


def unet_small(name: str) -> UNet:
    if name == "torch":
        return UNet(nn.BatchNorm2d, width=32, depth=3, unshuffle=2, context=True)
    return build_unet(ModelSettings(width=32, context=True), NormSettings(name))


def training_step(model: UNet, loss: Loss, layout: torch.memory_format) -> Callable[[], None]:
    low, normal = (torch.rand(8, 3, 128, 128).to(memory_format=layout) for _ in range(2))
    optimizer = build_optimizer(model, OptimizerSettings())

    def step() -> None:
        loss(low, normal)[0].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--precision", choices=["auto", *DTYPES], default="auto")
    parser.add_argument("--layout", choices=LAYOUTS, default="channels_last")
    parser.add_argument("--norms", nargs="+", choices=NORMS, default=list(NORMS))
    parser.add_argument("--compile", nargs="*", default=["torch", "bn", "gn"], help="those to compile, a minute each")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    keep_freed_memory()  # as the trainer does
    dtype, layout, image = choose_dtype(args.precision, CPU), LAYOUTS[args.layout], torch.rand(1, 3, 256, 256)
    tasks, facts = {}, {}
    for name in ("torch", *args.norms):
        model = unet_small(name).to(memory_format=layout)
        loss = training_loss(model, Objective(ObjectiveSettings()), CPU, dtype)
        crops = torch.rand(8, 3, 128, 128)
        mib = sum(storage_bytes(kept_tensors(lambda loss=loss, crops=crops: loss(crops, crops))).values()) / 2**20
        facts[name] = f"{mib:.1f}", f"{count_parameters(model)}"
        tasks[name, "step"] = training_step(model, loss, layout)
        if name in args.compile:
            tasks[name, "compiled"] = training_step(model, torch.compile(loss, fullgraph=True, dynamic=False), layout)
        plain = unet_small(name).eval()
        for use, used in (("evaluation", plain), ("enhancer", fold_batch_norms(plain))):
            tasks[name, use] = torch.inference_mode()(lambda used=used: used(image))
    times = median_milliseconds(tasks, args.rounds)
    print(f"{str(dtype)[6:]}, {args.layout}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| norm | step | step, compiled | MiB kept | parameters | evaluation | enhancer |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, fact in facts.items():
        cells = []
        for use, base in (("step", "step"), ("compiled", "step"), ("evaluation",) * 2, ("enhancer", "evaluation")):
            cells.append(f"{times[name, use] / times['torch', base]:.2f}" if (name, use) in times else "")
        print("| " + " | ".join([name, *cells[:2], *fact, *cells[2:]]) + " |")


if __name__ == "__main__":
    main()
