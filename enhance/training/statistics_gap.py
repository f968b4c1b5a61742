"""How far the running statistics of batch norms are from those of a training batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from enhance.norm.recalibrate import batch_norms
from enhance.norm.statistics import channel_moments


@contextmanager
def statistics_gap(model: nn.Module, enabled: bool) -> Iterator[dict[str, float]]:
    """Watches a forward pass; on leaving, the dictionary holds two numbers per batch norm, each a mean over channels:

    - `train_gap/mean/<layer>`: |running mean - batch mean| in standard deviations of the batch;
    - `train_gap/std/<layer>`: |log(running std / batch std)|, 0.1 being about 10 %.
    """
    gaps: dict[str, float] = {}

    def measure(name: str, layer: Any, inputs: tuple[Tensor, ...]) -> None:
        batch = channel_moments(inputs[0].detach())
        std = (batch.variance + layer.eps).sqrt()
        running_std = (layer.running_var + layer.eps).sqrt()
        gaps[f"train_gap/mean/{name}"] = ((layer.running_mean - batch.mean).abs() / std).mean().item()
        gaps[f"train_gap/std/{name}"] = (running_std / std).log().abs().mean().item()

    layers = batch_norms(model) if enabled else {}
    hooks = [layer.register_forward_pre_hook(partial(measure, name)) for name, layer in layers.items()]
    try:
        yield gaps
    finally:
        for hook in hooks:
            hook.remove()
