"""Where the time of a training step goes: the trainer's own steps under torch's profiler.

    python benchmarks/profile_step.py norm=bn model=unet_small batch_size=8

Settings are those of train.py. The trace is written to profiles/, for https://ui.perfetto.dev or chrome://tracing. It
has the ranges data, forward with loss inside, backward, optimizer and ema, above torch's own operations. Printed are
the share of each range in a step, and torch's table of the operations that take most. On CUDA a range lasts while its
work is handed to the device; the trace shows when that is done. With threads=1 on the CPU, the time of a step without
the profiler is processor time, which other work on the machine hardly changes.
"""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.data.dataloader import _BaseDataLoaderIter

from enhance.cost.measure import seconds
from enhance.settings import command
from enhance.settings.config import from_config
from enhance.training.bare_steps import BareSteps
from enhance.training.learner import Learner
from enhance.training.loss import Objective

WARM_UP, PLAIN, PROFILED = 3, 15, 5  # steps
RANGES = ("data", "forward", "loss", "backward", "optimizer", "ema")
OUT = Path("profiles")


@contextmanager
def named_ranges(learner: Learner) -> Iterator[None]:
    """Within, the parts of a step have a name in the profiler."""
    functions = {
        "data": (_BaseDataLoaderIter, "__next__"),
        "forward": (learner.losses, "forward"),
        "backward": (Tensor, "backward"),
        "optimizer": (learner.optimizer, "step"),
        "ema": (learner.average, "update"),
    }
    if not learner.settings.compile:  # a compiled graph holds forward and loss in one
        functions["loss"] = (Objective, "forward")
    with ExitStack() as stack:
        for name, (owner, attribute) in functions.items():
            stack.enter_context(patch.object(owner, attribute, record_function(name)(getattr(owner, attribute))))
        yield


def main(config: DictConfig) -> None:
    settings = from_config(config)
    steps = BareSteps(settings)
    learner, on_cuda = steps.learner, steps.learner.device.type == "cuda"
    for _ in range(WARM_UP):
        steps()
    median = statistics.median(seconds(steps, learner.device) for _ in range(PLAIN))
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_cuda
    with named_ranges(learner), profile(activities=activities) as profiler:
        for _ in range(PROFILED):
            with record_function("step"):
                steps()
    OUT.mkdir(exist_ok=True)
    trace = OUT / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{settings.norm.name}-{settings.model.name}.pt.trace.json"
    profiler.export_chrome_trace(str(trace))

    averages = profiler.key_averages()
    times = {event.key: event.cpu_time_total / 1000 for event in averages if event.key in ("step", *RANGES)}
    images = settings.images_per_step
    print(
        f"norm={settings.norm.name} {settings.model.name}, {images} crops of {settings.data.crop} px a step, "
        f"{str(learner.dtype)[6:]} on {learner.device}, {torch.get_num_threads()} threads, torch {torch.__version__}\n"
        f"step {1000 * median:.1f} ms, median of {PLAIN} without the profiler; {images / median:.1f} images/s\n"
    )
    print("| range | ms a step | share |\n| --- | ---: | ---: |")
    for name in RANGES:
        if name in times:
            title = "loss, in forward" if name == "loss" else name
            print(f"| {title} | {times[name] / PROFILED:.1f} | {times[name] / times['step']:.1%} |")
    largest = "self_device_time_total" if on_cuda else "self_cpu_time_total"
    print(averages.table(sort_by=largest, row_limit=15, max_name_column_width=50))
    print(f"trace: {trace}")


if __name__ == "__main__":
    command.run(main, "train")
