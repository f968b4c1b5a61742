"""The forward pass of a training step, as one function that can be compiled."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from enhance.errors import SettingsError
from enhance.models.brightness import factor_to, mean_grey
from enhance.models.unet import UNet
from enhance.training.objective import Objective

_MOST_BRIGHTER = 5.0

Loss = Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]


def training_loss(model: UNet, objective: Objective, device: torch.device, dtype: torch.dtype) -> Loss:
    """Function of a dark and a bright batch (N, 3, H, W) in [0, 1]: the objective, and its parts.

    Where a second U-Net sets the exposure, the objective sees the output at the target's brightness, and that U-Net is
    trained beside it by the mean absolute error of its own output: position by position, for it would overfit the few
    brightnesses that a data set has.

    Args:
        dtype: what the model computes in; parameters and objective are float32.
    """

    def loss(low: Tensor, normal: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            output = model.detail(low)
            exposed = None if model.exposure is None else model.exposure(low)
        output = output.float()
        if exposed is None:
            return objective(output, normal)
        # Limited, so that the output itself becomes bright: the first ones are as dark as the input.
        factor = factor_to(output.clamp(0, 1), mean_grey(normal)).clamp(max=_MOST_BRIGHTER)
        loss, parts = objective(output * factor, normal)
        error = (exposed.float() - normal).abs().mean()
        return loss + error, parts | {"exposure": error.detach()}

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
    # On the CPU torch 2.14 reorders the two U-Nets' operations so that one reads memory before it is written.
    options: dict[str, Any] = {"reorder_for_peak_memory": False} if device.type == "cpu" else {}
    return torch.compile(loss, fullgraph=True, dynamic=False, options=options)
