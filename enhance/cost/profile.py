"""Where the time of a training step goes: the trainer's own step under torch's profiler."""

import bisect
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.autograd.profiler_util import EventList, FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from enhance.device import synchronize
from enhance.models.resample import DoubleBilinear, HalveByMax
from enhance.norm.registry import NORMS
from enhance.settings import Settings
from enhance.training.learner import Learner
from enhance.training.meter import Meter
from enhance.training.objective import Objective
from enhance.training.trainer import Trainer

_KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "convolutions": (nn.Conv2d,),
    "norms": tuple(layer for layer in NORMS.values() if layer is not nn.Identity),
    "activations": (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh),
    "resampling": (HalveByMax, DoubleBilinear, nn.PixelUnshuffle, nn.PixelShuffle),
    "loss": (Objective,),
}
_MARK = "kind: "
_BACKWARD = "autograd::engine::evaluate_function: "
_OPTIMIZER = "Optimizer.step#"
_LABELS = ("step", "data wait", "forward", "moving average")


class BareSteps:
    """The steps of a trainer that was not fitted, one a call: data, forward, backward, optimizer, average; no
    validation, no checkpoint."""

    def __init__(self, trainer: Trainer) -> None:
        self.learner = trainer.learner
        self._batches = trainer.batches()
        self._meter = Meter()

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        with record_function("data wait"):
            return next(self._batches)

    def __call__(self, watched: bool = False) -> None:
        """One step, to its end on the device; where it is watched, not compiled."""
        self.learner.advance(self, self._meter, watched)
        synchronize(self.learner.device)


@contextmanager
def bare_steps(settings: Settings) -> Iterator[BareSteps]:
    """Those of a new run, which leaves nothing behind."""
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(settings, folder=Path(scratch) / "run")
        try:
            yield BareSteps(trainer)
        finally:
            trainer.record.close()


@dataclass
class StepProfile:
    """Shares of the time of a step; each dictionary's sum is 1."""

    phases: dict[str, float]
    kinds: dict[str, float]


def profile_steps(steps: BareSteps, count: int, trace: Path) -> StepProfile:
    """Run steps under the profiler, and write its trace, which Perfetto, chrome://tracing and TensorBoard's profile
    plugin open.

    On CUDA the kinds are of the device's time, which runs beside the CPU's; the phases are of the CPU's.
    """
    device = steps.learner.device
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with _marked(steps.learner), profile(activities=activities) as profiler:
        for _ in range(count):
            with record_function("step"):
                steps()
    profiler.export_chrome_trace(str(trace))
    events = profiler.events()
    assert events is not None
    return StepProfile(_phases(events), _kinds(events, device.type == "cuda"))


@contextmanager
def _marked(learner: Learner) -> Iterator[None]:
    """Within, the profiler hears which kind of layer an operation is of, and where the phases are."""
    with ExitStack() as stack:
        if not learner.settings.compile:  # hooks would break a compiled graph
            before = nn.modules.module.register_module_forward_pre_hook(_enter)
            after = nn.modules.module.register_module_forward_hook(_leave, always_call=True)
            stack.callback(before.remove)
            stack.callback(after.remove)
        for holder, name, label in (
            (learner.losses, "forward", "forward"),
            (learner.average, "update", "moving average"),
        ):
            stack.callback(setattr, holder, name, getattr(holder, name))
            setattr(holder, name, record_function(label)(getattr(holder, name)))
        yield


_open: list[tuple[nn.Module, record_function]] = []


def _enter(module: nn.Module, inputs: Any) -> None:
    for kind, layers in _KINDS.items():
        if isinstance(module, layers):
            mark = record_function(_MARK + kind)
            mark.__enter__()
            _open.append((module, mark))


def _leave(module: nn.Module, inputs: Any, output: Any) -> None:
    if _open and _open[-1][0] is module:
        _open.pop()[1].__exit__(None, None, None)


def _phases(events: EventList) -> dict[str, float]:
    lengths: dict[str, float] = defaultdict(float)
    backward: dict[int, tuple[float, float]] = {}  # of each step, the beginning and the end
    starts = [event.time_range.start for event in events if event.name == "step"]
    for event in events:
        start, end = event.time_range.start, event.time_range.end
        if event.name in _LABELS:
            lengths[event.name] += end - start
        elif event.name == _MARK + "loss":
            lengths["loss"] += end - start
        elif event.name.startswith(_OPTIMIZER):
            lengths["optimizer"] += end - start
        elif event.name.startswith(_BACKWARD):  # on CUDA in a thread of its own
            step = bisect.bisect(starts, start)
            first, last = backward.get(step, (start, end))
            backward[step] = min(first, start), max(last, end)
    whole = lengths.pop("step")
    lengths["forward"] -= lengths["loss"]
    lengths["backward"] = sum(last - first for first, last in backward.values())
    lengths["the rest"] = whole - sum(lengths.values())
    order = ("data wait", "forward", "loss", "backward", "optimizer", "moving average", "the rest")
    return {name: lengths[name] / whole for name in order}


def _kinds(events: EventList, on_cuda: bool) -> dict[str, float]:
    forward = _forward_kinds(events)
    lengths: dict[str, float] = defaultdict(float)
    whole = 0.0
    for event in events:
        if event.device_type != DeviceType.CPU:
            continue  # a kernel: its time is told by the operation that launched it
        own = event.self_device_time_total if on_cuda else event.self_cpu_time_total
        if event.name == "step":
            whole += 0 if on_cuda else event.time_range.elapsed_us()
        if event.name not in _LABELS and not event.name.startswith(_MARK):
            lengths[_kind(event, forward)] += own
    whole = whole or sum(lengths.values())
    shares = {name: lengths[name] / whole for name in (*_KINDS, "optimizer", "the rest")}
    return shares | ({} if on_cuda else {"Python, data wait": 1 - sum(shares.values())})


def _forward_kinds(events: EventList) -> dict[int, str]:
    """The kind of the operation of the forward pass that each node of the backward pass belongs to, by the number that
    the profiler gives both. Operations without a node share the number of the next one that has: the last counts."""
    kinds = {}
    for event in sorted(events, key=lambda event: event.time_range.start):
        if event.sequence_nr >= 0 and not any(each.name.startswith(_BACKWARD) for each in _upward(event)):
            kinds[event.sequence_nr] = _kind(event, {})
    return kinds


def _kind(event: FunctionEvent, forward: dict[int, str]) -> str:
    if "convolution" in event.name:  # also within a compiled graph
        return "convolutions"
    for each in _upward(event):
        if each.name.startswith(_MARK):
            return each.name.removeprefix(_MARK)
        if each.name.startswith(_OPTIMIZER) or each.name == "moving average":
            return "optimizer"
        if each.name.startswith(_BACKWARD):
            return forward.get(each.sequence_nr, "the rest")
    return "the rest"


def _upward(event: FunctionEvent) -> Iterator[FunctionEvent]:
    """The event, what it is part of, and so on."""
    each: FunctionEvent | None = event
    while each is not None:
        yield each
        each = each.cpu_parent
