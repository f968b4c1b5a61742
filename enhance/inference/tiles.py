"""A photograph in tiles: what the model makes of the whole, in bounded memory and without seams.

Each tile is cut with a margin as wide as the network reaches. What a layer takes from the whole image (the statistics
of instance and group norm, the means of `Context`) is measured first over all tiles and then fixed, layer after layer:
the input of one depends on those before it.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial, reduce
from itertools import starmap
from typing import Any

import torch
from torch import Tensor, nn

from enhance.cost.measure import peak_bytes
from enhance.errors import SettingsError
from enhance.models.model import EnhancementModel
from enhance.models.residual import ResidualUNet, reflected_sides
from enhance.norm.batch import AnyBatchNorm
from enhance.norm.functional import channel_moments
from enhance.norm.statistics import Moments

_PROBE = 256  # side in pixels of the image that memory is measured on
_MOST_GIB = 2**20  # more than any machine has
_HIDDEN = 1.5  # the CPU's convolutions take up to this times what torch's tensors do, for other layouts


@dataclass(frozen=True)
class Tile:
    """A rectangle of the padded image, and the larger one that goes through the network for it."""

    top: int
    left: int
    bottom: int
    right: int
    outer: tuple[int, int, int, int]  # top, left, bottom, right

    def core(self, step: int = 1) -> tuple[slice, slice]:
        """The rectangle within the larger one, in positions of `step` pixels."""
        top, left = self.outer[:2]
        return (
            slice((self.top - top) // step, (self.bottom - top) // step),
            slice((self.left - left) // step, (self.right - left) // step),
        )


def side_within(model: EnhancementModel, max_gib: float, device: torch.device) -> int:
    """Side in pixels of the largest square, margin included, that goes through the model within `max_gib`, estimated.
    Raises `SettingsError` where `max_gib` is not above 0, has no room for a pixel, or is above 2**20."""
    if max_gib > _MOST_GIB:
        raise SettingsError(f"--max-memory {max_gib:g} is no limit: give the memory in GiB")
    with torch.inference_mode():
        image = torch.zeros(1, model.channels, _PROBE, _PROBE, device=device)
        per_pixel = _HIDDEN * peak_bytes(lambda: model(image)) / _PROBE**2
    side = int(math.sqrt(max_gib * 2**30 / per_pixel)) if max_gib > 0 else 0
    if not side:
        raise SettingsError(f"--max-memory {max_gib:g} is too small: give the memory in GiB, for example 1")
    return side


def lacks_running_statistics(model: nn.Module) -> bool:
    """Whether a batch norm standardizes each image by its own statistics: it is not made for tiles."""
    return any(isinstance(module, AnyBatchNorm) and module.running_mean is None for module in model.modules())


def cut(height: int, width: int, side: int, reach: int, multiple: int) -> list[Tile]:
    """Tiles that cover an image of multiples of `multiple`; each, with its margin, is at most `side` wide and high.
    Raises `SettingsError` where so small a side leaves little room besides the margin."""
    margin = -(-reach // multiple) * multiple
    inner = (side - 2 * margin) // multiple * multiple
    if inner < margin:  # nine times the work
        more = f"give {(3.01 * margin / side) ** 2:.2f} times as much"
        raise SettingsError(f"--max-memory is too small for tiles whose margins are {margin} px wide: {more}")
    tiles = []
    for top in range(0, height, inner):
        for left in range(0, width, inner):
            bottom, right = min(top + inner, height), min(left + inner, width)
            first, last = (max(0, top - margin), max(0, left - margin)), (bottom + margin, right + margin)
            tiles.append(Tile(top, left, bottom, right, (*first, min(height, last[0]), min(width, last[1]))))
    return tiles


def enhance_tiles(
    model: EnhancementModel, image: Tensor, side: int, device: torch.device, light: Tensor | None = None
) -> Tensor:
    """What `model` makes of the image, (C, H, W) -> (C, H, W), not clamped, on the image's device. Raises
    `SettingsError` as `cut`, and where a batch norm has no running statistics.

    Args:
        model: in evaluation mode, on `device`.
        image: on any device; one tile at a time moves to `device`.
        side: of the largest square that goes through the model at once.
        light: as of `EnhancementModel.enhance`, on the image's device.
    """
    return model.enhance(image[None], partial(_run_in_tiles, side=side, device=device), light)[0]


def _run_in_tiles(network: ResidualUNet, image: Tensor, gain: Tensor | None, side: int, device: torch.device) -> Tensor:
    gain = network.gain(image) if gain is None else gain
    if gain is not None:
        gain = gain.to(device)
    height, width = image.shape[-2:]
    sides = left, right, top, bottom = reflected_sides(height, width, network.multiple)
    height, width = top + height + bottom, left + width + right
    tiles = cut(height, width, side, network.reach, network.multiple)

    def windows() -> Iterator[tuple[Tile, Tensor]]:
        for tile in tiles:
            yield tile, _reflected(image, sides, tile).to(device)

    names = _whole_image_layers(network, gain, device)
    if names:
        network = copy.deepcopy(network)
    for name in names:
        _fix(network, name, windows(), gain)
    result = image.new_empty(*image.shape[:2], height, width)
    for tile, window in windows():
        rows, columns = tile.core()
        enhanced = network.enhance_part(window, gain)[..., rows, columns]
        result[..., tile.top : tile.bottom, tile.left : tile.right] = enhanced.to(result.device)
    return result[:, :, top : height - bottom, left : width - right]


def _reflected(image: Tensor, sides: list[int], tile: Tile) -> Tensor:
    """The tile with its margins, (1, C, h, w), of the image (1, C, H, W) reflected beyond its `sides`. It is cut first,
    and then reflected: the whole image, reflected, would be one more large image."""
    left, _, top, _ = sides
    starts, ends = (tile.outer[0] - top, tile.outer[1] - left), (tile.outer[2] - top, tile.outer[3] - left)
    height, width = image.shape[-2:]
    rows, columns = (slice(max(0, start), end) for start, end in zip(starts, ends, strict=True))
    beyond = [max(0, -starts[1]), max(0, ends[1] - width), max(0, -starts[0]), max(0, ends[0] - height)]
    window = image[..., rows, columns]
    return nn.functional.pad(window, beyond, mode="reflect") if any(beyond) else window


def _whole_image_layers(network: ResidualUNet, gain: Tensor | None, device: torch.device) -> list[str]:
    """Names of the layers that take something from the whole image, in the order in which they come."""
    if lacks_running_statistics(network):
        cure = "raise --max-memory, or train with norm.track_running_stats=true"
        raise SettingsError(f"a batch norm without running statistics is not made for tiles: {cure}")
    names: list[str] = []
    with ExitStack() as hooks:
        for name, module in network.named_modules():
            if hasattr(module, "as_affine"):
                hook = module.register_forward_pre_hook(lambda _, __, name=name: names.append(name))
                hooks.enter_context(hook)
        network.enhance_part(torch.zeros(1, network.channels, network.multiple, network.multiple, device=device), gain)
    return names


class _Reached(Exception):
    """What comes after the measured layer need not be computed."""


def _fix(network: ResidualUNet, name: str, windows: Iterator[tuple[Tile, Tensor]], gain: Tensor | None) -> None:
    """Have the layer `name` do to each tile what it does to the whole image, whose `ResidualUNet.gain` is `gain`."""
    layer: Any = network.get_submodule(name)

    def moments_of(tile: Tile, window: Tensor) -> Moments:
        seen: list[Tensor] = []

        def stop(_: nn.Module, inputs: tuple[Tensor]) -> None:
            seen.extend(inputs)
            raise _Reached

        with layer.register_forward_pre_hook(stop), suppress(_Reached):
            network.enhance_part(window, gain)
        rows, columns = tile.core(step=(tile.outer[2] - tile.outer[0]) // seen[0].shape[2])
        return channel_moments(seen[0][..., rows, columns].contiguous())

    network.set_submodule(name, layer.as_affine(reduce(Moments.merge, starmap(moments_of, windows))))
