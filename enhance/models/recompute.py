"""Activation checkpointing (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint


def call(module: nn.Module, *inputs: Any) -> Tensor:
    """`module(*inputs)`; autograd keeps what it wants."""
    result: Tensor = module(*inputs)
    return result


def checkpointed(module: nn.Module, *inputs: Any) -> Tensor:
    """`module(*inputs)`, which keeps only the inputs for backward; backward runs the module again for the rest.

    The second run takes copies of the buffers as they were before the first one, and throws them away. So running
    statistics move once a step, and batch renormalization, whose output depends on them, repeats itself.

    Args:
        module: draws no random numbers, and changes nothing but its buffers.
    """
    if not torch.is_grad_enabled():
        return call(module, *inputs)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    runs = 0

    def run(*inputs: Any) -> Tensor:
        nonlocal runs
        runs += 1
        if runs == 1:
            return call(module, *inputs)
        # Copies, for a graph that is retained may go backward once more.
        return functional_call(module, {name: buffer.clone() for name, buffer in before.items()}, inputs)

    result: Tensor = checkpoint(run, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result
