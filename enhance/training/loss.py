"""The forward pass of a training step, as one function that can be compiled."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from enhance.errors import SettingsError
from enhance.models.model import EnhancementModel
from enhance.training.objective import Objective

Loss = Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]


def training_loss(model: EnhancementModel, objective: Objective, device: torch.device, dtype: torch.dtype) -> Loss:
    """Function of a dark and a bright batch (N, 3, H, W) in [0, 1]: the objective plus the model's own losses, and the
    parts of both, detached.

    Args:
        dtype: what the model computes in; parameters and objective are float32.
    """

    def loss(low: Tensor, normal: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            output, own = model.training_output(low, normal)
        total, parts = objective(output, normal)
        for name, value in own.items():
            total = total + value
            parts[name] = value.detach()
        return total, parts

    return loss


def compiled(loss: Loss, device: torch.device) -> Loss:
    """The same function under torch.compile, in one graph with its gradient; the first call takes a minute or so.

    Raises:
        SettingsError: torch.compile does not work on this machine.
    """
    try:
        torch.compile(lambda x: x + 1, fullgraph=True)(torch.zeros(2**10, device=device))
    except Exception as error:  # of many kinds, for as many reasons
        reason = str(error).strip().partition("\n")[0]
        needed = "a C++ compiler (g++)" if device.type == "cpu" else "triton and a C compiler (gcc)"
        raise SettingsError(
            f"compile=true: torch.compile does not work here ({reason}): install {needed}, or leave compile=false"
        ) from error
    # On the CPU torch 2.14 reorders the operations of two networks so that one reads memory before it is written.
    options: dict[str, Any] = {"reorder_for_peak_memory": False} if device.type == "cpu" else {}
    return torch.compile(loss, fullgraph=True, dynamic=False, options=options)
