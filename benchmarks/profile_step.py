"""Where the time of a training step goes: the trainer's own steps, under torch's profiler.

    python benchmarks/profile_step.py norm=bn model=unet_small batch_size=8

Settings are those of train.py. The trace is written to profiles/; Perfetto (ui.perfetto.dev) opens it, and TensorBoard
with its profile plugin. The limit is the time that the step's convolutions and matrix products take by themselves, each
at its fastest: what would be left of the step if all else took no time. With threads=1 on the CPU, times of a step are
processor time, which other work on the machine hardly changes. Nothing of the training is kept.
"""

import statistics
from datetime import datetime
from pathlib import Path

import torch
from omegaconf import DictConfig

from enhance.cost.profile import bare_steps, profile_steps
from enhance.cost.rate import Limit, seconds
from enhance.settings import command
from enhance.settings.config import from_config

WARM_UP, PLAIN, PROFILED = 3, 15, 5  # steps
OUT = Path("profiles")


def main(config: DictConfig) -> None:
    settings = from_config(config)
    trace = OUT / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{settings.norm.name}-{settings.model.name}.pt.trace.json"
    with bare_steps(settings) as steps:
        learner = steps.learner
        limit = Limit(lambda: steps(watched=True), learner.device)
        for _ in range(WARM_UP):
            steps()
        times = []
        for _ in range(PLAIN):
            times.append(seconds(steps, learner.device))
            limit.measure()
        OUT.mkdir(exist_ok=True)
        profile = profile_steps(steps, PROFILED, trace)
    median, fastest = statistics.median(times), min(times)
    images = settings.images_per_step
    print(
        f"norm={settings.norm.name} {settings.model.name}, {images} crops of {settings.data.crop} px a step, "
        f"{str(learner.dtype)[6:]} on {learner.device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(
        f"step {1000 * median:.1f} ms, median of {PLAIN} (fastest {1000 * fastest:.1f}); {images / median:.1f} images/s"
    )
    for title, shares in (("phase", profile.phases), ("kind of operation", profile.kinds)):
        print(f"\n{title}")
        for name, share in shares.items():
            print(f"  {name:18s} {share:6.1%}")
    step, alone = (limit.flops / time / 1e9 for time in (fastest, limit.seconds))
    print(
        f"\n{limit.flops / 1e9:.1f} GFLOPs a step, forward and backward: {step:.0f} GFLOP/s by the fastest step\n"
        f"its convolutions and products by themselves {1000 * limit.seconds:.1f} ms, {alone:.0f} GFLOP/s\n"
        f"share of the limit: {step / alone:.1%}"
    )
    print(f"trace: {trace}")


if __name__ == "__main__":
    command.run(main, "train")
