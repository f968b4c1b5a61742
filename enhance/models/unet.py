"""The U-Net: Ronneberger, Fischer and Brox 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
arXiv 1505.04597, figure 1."""

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from enhance.models.blocks import ACTIVATIONS, Context, DoubleConv, Down, NormFactory, Up


class UNet(nn.Module):
    """(N, C_in, H, W) -> (N, C_out, H, W), where H and W are multiples of `multiple`.

    Beside the figure: convolutions are padded, so that sides stay, each is followed by a norm, and bilinear
    interpolation takes the place of transposed convolutions. The entry and the output convolution carry no norm: it
    would take away the image's own brightness.

    Args:
        width: channels of the first level; each level down doubles them.
        depth: number of levels below the first.
        activation: a name of `enhance.models.blocks.ACTIVATIONS`.
        context: add what follows from the means of the whole image, below each halving (`blocks.Context`).
        checkpoint_activations: keep for backward what passes between the levels, and compute the rest again.
    """

    def __init__(
        self,
        norm: NormFactory,
        c_in: int,
        c_out: int,
        width: int = 32,
        depth: int = 3,
        activation: str = "leaky_relu",
        context: bool = False,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(depth + 1)]
        self.entry = nn.Sequential(nn.Conv2d(c_in, width, 3, padding=1), ACTIVATIONS[activation]())
        self.first = DoubleConv(width, width, norm, activation)
        self.downs = nn.ModuleList(
            Down(above, below, norm, activation) for above, below in itertools.pairwise(channels)
        )
        self.ups = nn.ModuleList(
            Up(below, above, norm, activation) for below, above in itertools.pairwise(reversed(channels))
        )
        self.output = nn.Conv2d(width, c_out, 3, padding=1)
        # Last, so that the other convolutions start alike with it and without.
        self.contexts = nn.ModuleList(Context(each, activation) if context else nn.Identity() for each in channels)
        self.multiple = 2**depth
        self.checkpoint_activations = checkpoint_activations

    def forward(self, x: Tensor) -> Tensor:
        run = _checkpointed if self.checkpoint_activations else nn.Module.__call__
        x = run(self.first, self.entry(x))
        skips = []
        *contexts, deepest = self.contexts
        for down, context in zip(self.downs, contexts, strict=True):
            skips.append(x)
            x = run(down, x, context)
        x = deepest(x)
        for up in self.ups:
            x = run(up, x, skips.pop())
        return self.output(x)

    @property
    def reach(self) -> int:
        """Positions to each side beyond which the input does not matter to a position of the output. What norms and
        `Context` take from the whole image is another matter.

        A 3x3 convolution reaches one position of its level to each side, and so does bilinear interpolation, at the
        level below. Halving takes in the rest of the position that a finer one lies in.
        """
        steps = [2**level for level in range(len(self.downs) + 1)]  # positions of the input, by level
        convolutions = 2 + 4 * sum(steps[:-1]) + 2 * steps[-1]  # entry and output; two a level and way
        halvings, bilinear = sum(steps[:-1]), sum(steps[1:])
        return convolutions + halvings + bilinear


def _checkpointed(module: nn.Module, *inputs: Any) -> Tensor:
    """`module(*inputs)`, which keeps only the inputs for backward; backward runs the module again for the rest (Chen et
    al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174).

    The second run takes copies of the buffers as they were before the first one, and throws them away. So running
    statistics move once a step, and batch renormalization, whose output depends on them, repeats itself. The module
    must draw no random numbers, and change nothing but its buffers.
    """
    if not torch.is_grad_enabled():
        return module(*inputs)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    runs = 0

    def run(*inputs: Any) -> Tensor:
        nonlocal runs
        runs += 1
        if runs == 1:
            return module(*inputs)
        # Copies, for a graph that is retained may go backward once more.
        return functional_call(module, {name: buffer.clone() for name, buffer in before.items()}, inputs)

    return checkpoint(run, *inputs, use_reentrant=False, preserve_rng_state=False)
