"""The U-Net: Ronneberger, Fischer and Brox 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
arXiv 1505.04597, figure 1."""

import itertools

from torch import Tensor, nn

from enhance.models.blocks import ACTIVATIONS, Context, DoubleConv, Down, NormFactory, Up
from enhance.models.recompute import call, checkpointed


class UNet(nn.Module):
    """(N, C_in, H, W) -> (N, C_out, H, W), where H and W are multiples of `multiple`.

    Beside the figure: convolutions are padded, so that sides stay, each is followed by a norm, and bilinear
    interpolation takes the place of transposed convolutions. The entry and the output convolution carry no norm: it
    would take away the image's own brightness.

    Args:
        norm: number of channels -> normalization layer.
        width: channels of the first level; each level down doubles them.
        depth: number of levels below the first.
        activation: a name of `enhance.models.blocks.ACTIVATIONS`.
        context: add what follows from the means of the whole image, below each halving (`blocks.Context`).
        checkpoint_activations: keep for backward what passes between the levels, and compute the rest again.

    Example:
        >>> import torch
        >>> UNet(nn.BatchNorm2d, 3, 1, width=8, depth=2)(torch.rand(2, 3, 32, 40)).shape
        torch.Size([2, 1, 32, 40])
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
        self._run = checkpointed if checkpoint_activations else call

    def forward(self, x: Tensor) -> Tensor:
        run = self._run
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
