"""The U-Net (Ronneberger et al. 2015) that enhances: low-light photograph in, normal-light photograph out."""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from enhance.models.blocks import ACTIVATIONS, Context, DoubleConv, Down, NormFactory, Up
from enhance.models.brightness import at_brightness, factor_to, mean_grey
from enhance.models.recompute import checkpointed
from enhance.norm.batch_act import BatchNormAct
from enhance.norm.registry import NORMS, build_norm
from enhance.settings import ModelSettings, NormSettings

INITS: dict[str, Callable[..., Tensor]] = {
    "kaiming": partial(nn.init.kaiming_normal_, a=0.2, nonlinearity="leaky_relu"),  # He et al. 2015
    "xavier": nn.init.xavier_normal_,  # Glorot and Bengio 2010
    "torch": partial(nn.init.kaiming_uniform_, a=math.sqrt(5)),  # what torch.nn.Conv2d draws by itself
}
_BRIGHTENED = 0.45  # mean grey value, about that of normal-light photographs
_BRIGHTEST = 3.0  # what lamps and skies in a brightened image are clamped to
SMALLEST_SIDE = 16  # pixels; reflection pads up to 32 and cannot be wider than the image


class UNet(nn.Module):
    """Residual U-Net at reduced resolution: (N, 3, H, W) in [0, 1] -> (N, 3, H, W), not clamped; H, W >= 16.

    Pixel-unshuffle (Shi et al. 2016) moves a square of pixels into channels, so that the convolutions work at
    1/unshuffle of the resolution. Entry and output convolution carry no norm: it would take away the image's own
    brightness. Sides that the network cannot halve are reflect-padded inside, and the result is cropped.

    Args:
        norm: number of channels -> normalization layer.
        width: channels of the first level; each level down doubles them.
        depth: number of levels below the first.
        unshuffle: pixel-unshuffle factor at the entry.
        activation: a name of `enhance.models.blocks.ACTIVATIONS`.
        down: "max_pool" or "strided" (a convolution of stride 2).
        context: add what the whole image tells on each way down and at the deepest level (`blocks.Context`).
        exposure: a second U-Net, small and without norm and context, enhances the image too, and the result gets the
            mean grey value of what that one makes of it (`exposure`). What standardizes an image, or looks at the whole
            of it, predicts overall brightness no better than a constant (docs/results.md).
        brightened: the entry also sees the image at one overall brightness. So the network knows how dark a place is
            for its image, which a norm with the image's own statistics tells it in every layer, and batch norm in none.
        init, init_scale: how the convolutions' first weights are drawn, a name of `INITS`, and a factor on them.
        checkpoint_activations: keep for backward what passes between the levels, and compute the rest again.
    """

    def __init__(
        self,
        norm: NormFactory,
        width: int = 32,
        depth: int = 3,
        unshuffle: int = 2,
        activation: str = "leaky_relu",
        down: str = "max_pool",
        context: bool = False,
        exposure: bool = False,
        brightened: bool = False,
        init: str = "kaiming",
        init_scale: float = 1.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.checkpoint_activations = checkpoint_activations
        # Drawn before any layer: a layer draws first weights of its own, and how many depends on the norm.
        seed = int(torch.randint(2**31, (), device="cpu"))
        self.multiple = unshuffle * 2**depth
        channels = [width * 2**level for level in range(depth + 1)]
        self.unshuffle = nn.PixelUnshuffle(unshuffle)
        self.brightened = brightened
        views = 2 if brightened else 1
        self.entry = nn.Sequential(nn.Conv2d(3 * views * unshuffle**2, width, 3, padding=1), ACTIVATIONS[activation]())
        self.first = DoubleConv(width, width, norm, activation)
        self.downs = nn.ModuleList(
            Down(above, below, norm, activation, down) for above, below in itertools.pairwise(channels)
        )
        self.ups = nn.ModuleList(
            Up(below, above, norm, activation) for below, above in itertools.pairwise(reversed(channels))
        )
        self.output = nn.Conv2d(width, 3 * unshuffle**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(unshuffle)
        # Last, so that the other convolutions start alike with it and without.
        self.contexts = nn.ModuleList(Context(each, activation) if context else nn.Identity() for each in channels)
        self.initialize(seed, init, init_scale)
        # After all else, so that the other weights are the same with it and without.
        self.exposure = None
        if exposure:
            self.exposure = UNet(lambda _: nn.Identity(), width=16, checkpoint_activations=checkpoint_activations)

    def initialize(self, seed: int, init: str, scale: float) -> None:
        """Draw the weights; the output convolution starts at zero, so that the U-Net starts as the identity. Biases
        draw nothing: the same seed gives the same convolutions under every norm.

        Drawn on the CPU, before the model moves, so that every device starts alike."""
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                INITS[init](module.weight, generator=generator)
                with torch.no_grad():
                    module.weight.mul_(scale)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.zeros_(self.output.weight)
        for module in self.modules():
            if isinstance(module, Context):
                nn.init.zeros_(module.expand.weight)

    def forward(self, image: Tensor) -> Tensor:
        detail = self.detail(image)
        return detail if self.exposure is None else at_brightness(detail, mean_grey(self.exposure(image).clamp(0, 1)))

    def detail(self, image: Tensor) -> Tensor:
        """The enhanced image (N, 3, H, W) before `exposure` sets its overall brightness."""
        sides = self.padding(*image.shape[-2:])
        padded = F.pad(image, sides, mode="reflect")
        enhanced = padded + self.residual(padded, self.gain(image))
        return F.pad(enhanced, [-side for side in sides])  # a slice would bind torch.export to one kind of size

    def padding(self, height: int, width: int) -> list[int]:
        """Pixels to reflect at the left, right, top and bottom, so that both sides are multiples of `multiple`."""
        bottom, right = -height % self.multiple, -width % self.multiple
        # Both sides of an axis share its padding: reflection cannot be wider than the image.
        return [right // 2, right - right // 2, bottom // 2, bottom - bottom // 2]

    @property
    def reach(self) -> int:
        """Pixels to each side beyond which the image's own pixels do not matter to an output pixel; what the whole
        image tells (norms with its own statistics, context) is another matter.

        A 3x3 convolution reaches one position of its level to each side, and so does bilinear interpolation, at the
        level below. Halving and unshuffling take in the rest of the position that a pixel lies in.
        """
        finest = self.multiple >> len(self.downs)
        steps = [finest * 2**level for level in range(len(self.downs) + 1)]  # pixels a position, by level
        convolutions = 2 * finest + 4 * sum(steps[:-1]) + 2 * steps[-1]  # entry and output; two a level and way
        halvings = sum(2 * step for step in steps[:-1])  # a strided one reaches a position further than a pooled one
        return convolutions + halvings + sum(steps[1:]) + finest

    def gain(self, image: Tensor) -> Tensor | None:
        """What brightens the whole image (N, 3, H, W) for `residual`: (N, 1, 1, 1); None where nothing does."""
        return factor_to(image, _BRIGHTENED) if self.brightened else None

    def residual(self, image: Tensor, gain: Tensor | None) -> Tensor:
        """What is added to the image, or to a tile of it: (N, 3, H, W) -> (N, 3, H, W); H and W are multiples of
        `self.multiple`. `gain` is that of the whole image."""
        seen = image if gain is None else torch.cat((image, (image * gain).clamp(max=_BRIGHTEST)), dim=1)
        x = self._level(self.first, self.entry(self.unshuffle(seen)))
        skips = []
        *contexts, deepest = self.contexts
        for down, context in zip(self.downs, contexts, strict=True):
            skips.append(x)
            x = self._level(down, x, context)
        x = deepest(x)
        for up in self.ups:
            x = self._level(up, x, skips.pop())
        return self.shuffle(self.output(x))

    def _level(self, level: nn.Module, *inputs: Any) -> Tensor:
        if self.checkpoint_activations and torch.is_grad_enabled():
            return checkpointed(level, *inputs)
        result: Tensor = level(*inputs)
        return result


def build_unet(model: ModelSettings, norm: NormSettings, checkpoint_activations: bool = False) -> UNet:
    """The U-Net that the settings describe, in training mode, on the CPU.

    Raises:
        SettingsError: an unknown norm, an option that it lacks, or an activation that it cannot take in.
    """
    options = norm.options()
    if NORMS.get(norm.name) is BatchNormAct:
        options["activation"] = model.activation
    return UNet(
        lambda num_channels: build_norm(norm.name, num_channels, **options),
        width=model.width,
        depth=model.depth,
        unshuffle=model.unshuffle,
        activation=model.activation,
        down=model.down,
        context=model.context,
        exposure=model.exposure,
        brightened=model.brightened,
        init=model.init,
        init_scale=model.init_scale,
        checkpoint_activations=checkpoint_activations,
    )


def count_parameters(model: nn.Module) -> int:
    """Number of learned values."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_gflops(model: nn.Module, height: int = 256, width: int = 256) -> float:
    """10^9 floating-point operations (a multiply-add is two) of one image of that size, by torch's own counter."""
    parameter = next(model.parameters())
    image = torch.zeros(1, 3, height, width, device=parameter.device, dtype=parameter.dtype)
    was_training = model.training
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(image)
    model.train(was_training)
    return counter.get_total_flops() / 1e9
