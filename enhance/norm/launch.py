"""Launches the kernels of `kernels` and `layer_kernels`: how many programs, of which part of a tensor each."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from enhance.norm import kernels, layer_kernels
from enhance.norm.layout import memory_format

_TILE = 2048  # values that a program holds at once
_SHAPES = 1024  # whose grids are remembered
_PROGRAMS = 2048  # enough to keep a large card busy; more would be more partial results


@dataclass(frozen=True)
class _Grid:
    """How a dense tensor (N, C, *), seen as (N, C, L), is shared out to programs."""

    images: int
    channels: int
    length: int
    strides: tuple[int, int, int]
    block_c: int
    block_l: int
    parts_an_image: int
    part_length: int

    @staticmethod
    def of(x: Tensor) -> "_Grid":
        images, channels = x.shape[:2]
        contiguous = memory_format(x) == torch.contiguous_format
        return _shared_out(images, channels, x.numel() // (images * channels), contiguous, _TILE, _PROGRAMS)

    @property
    def parts(self) -> int:
        return self.images * self.parts_an_image

    @property
    def programs(self) -> tuple[int, int]:
        return self.parts, _cdiv(self.channels, self.block_c)

    @functools.lru_cache(maxsize=_SHAPES)  # noqa: B019 -- grids are few
    def blocks(self, group: int) -> dict[str, Any]:
        """Of the kernels that read partial results."""
        block_c = _power_of_2(group) if group > 1 else min(32, _power_of_2(self.channels))
        block_p = max(1, min(_TILE // block_c, _power_of_2(self.parts)))
        return {"BLOCK_P": block_p, "BLOCK_C": block_c, "GROUPED": group > 1}

    def row_programs(self, group: int) -> int:
        return self.channels // group if group > 1 else _cdiv(self.channels, self.blocks(1)["BLOCK_C"])


@functools.lru_cache(maxsize=_SHAPES)
def _shared_out(images: int, channels: int, length: int, contiguous: bool, tile: int, programs: int) -> _Grid:
    if contiguous:
        strides = (channels * length, length, 1)
        block_l = min(tile, _power_of_2(length))
        block_c = min(tile // block_l, _power_of_2(channels))
    else:
        strides = (channels * length, 1, channels)
        block_c = min(64, _power_of_2(channels))
        block_l = min(tile // block_c, _power_of_2(length))
    tiles = _cdiv(length, block_l)
    wanted = max(1, programs // (images * _cdiv(channels, block_c)))
    part_length = _cdiv(tiles, min(tiles, wanted)) * block_l
    return _Grid(images, channels, length, strides, block_c, block_l, _cdiv(length, part_length), part_length)


# Triton's own take 7 microseconds each, and a layer some thirty.
def _cdiv(a: int, b: int) -> int:
    return -(-a // b)


def _power_of_2(least: int) -> int:
    return 1 << (least - 1).bit_length()


P = ParamSpec("P")
R = TypeVar("R")


def _on_its_device(launch: Callable[Concatenate[Tensor, P], R]) -> Callable[Concatenate[Tensor, P], R]:
    """Triton launches on the device that is current, which need not be that of the tensor."""

    @functools.wraps(launch)
    def launched(x: Tensor, *args: P.args, **kwargs: P.kwargs) -> R:
        with torch.cuda.device_of(x):
            return launch(x, *args, **kwargs)

    return launched


@_on_its_device
def statistics_of(x: Tensor, images: int, group: int, eps: float) -> Tensor:
    """float32 (4, S, C): mean, what rounding left of it, 1 / sqrt(variance + eps) and biased variance, of S runs of
    `images` images each and of groups of `group` channels, repeated for each channel.

    Args:
        x: (N, C, *), dense, with values.
    """
    grid = _Grid.of(x)
    partial = x.new_empty((2, grid.parts, grid.channels), dtype=torch.float32)
    place = (grid.channels, grid.length, *grid.strides[:2])
    part = (grid.part_length, grid.parts_an_image)
    kernels.moments[grid.programs](
        x, partial, *place, grid.strides[2], images, group, *part, BLOCK_C=grid.block_c, BLOCK_L=grid.block_l
    )
    segments = _cdiv(grid.images, images)
    statistics = x.new_empty((4, segments, grid.channels), dtype=torch.float32)
    kernels.statistics[segments, grid.row_programs(group)](
        x, partial, statistics, *place, images, group, *part, grid.parts, eps, **grid.blocks(group)
    )
    return statistics


def _dense(*vectors: Tensor | None) -> list[Tensor | None]:
    """The kernels read them number by number, also where they are views."""
    return [None if vector is None else vector.contiguous() for vector in vectors]


def _affine(weight: Tensor | None, bias: Tensor | None) -> int:
    return (weight is not None) + 2 * (bias is not None)


@dataclass(frozen=True)
class Activation:
    """What follows the scale and shift in the same launch."""

    name: str = "none"  # "leaky_relu" or "elu" with alpha 1
    slope: float = 0.0


NO_ACTIVATION = Activation()


@dataclass(frozen=True)
class Kept:
    """The standardized input of those channels whose output does not give it back."""

    slots: Tensor  # int32 (C,): the channel's place in `values`, or -1
    values: Tensor  # float32 (N, K, L), contiguous


@dataclass(frozen=True)
class Running:
    """Buffers of a batch norm, which move to the statistics of the batch."""

    mean: Tensor  # (C,)
    variance: Tensor  # (C,)
    tracked: Tensor  # number of batches, ()
    momentum: float | None  # None: the mean of all batches


@_on_its_device
def output(
    x: Tensor,
    statistics: Tensor,
    images: int,
    weight: Tensor | None,
    bias: Tensor | None,
    activation: Activation = NO_ACTIVATION,
    running: Running | None = None,
) -> Tensor:
    """act((x - mean) / sqrt(variance + eps) * weight + bias), of the type and memory format of x (N, C, *).

    Args:
        statistics: as `statistics_of` gives them for `images`.
        running: takes the statistics in, unless they are not finite; they are of all images then.
    """
    grid, (weight, bias) = _Grid.of(x), _dense(weight, bias)
    y = torch.empty_like(x)
    count = float(grid.images * grid.length)
    buffers: list[Any] = [None] * 3
    if running is not None:
        buffers = [*_dense(running.mean, running.variance), running.tracked]
    momentum = 0.0 if running is None or running.momentum is None else running.momentum
    kernels.output[grid.programs](
        x, y, statistics, weight, bias, *buffers, grid.channels, grid.length, *grid.strides, images, grid.part_length,
        grid.parts_an_image, statistics[0].numel(), activation.slope, count, momentum, AFFINE=_affine(weight, bias),
        ACTIVATION=activation.name, TRACK=running is not None,
        AVERAGE=running is not None and running.momentum is None, BLOCK_C=grid.block_c, BLOCK_L=grid.block_l,
    )  # fmt: skip
    if running is not None:
        for buffer, moved in zip((running.mean, running.variance), buffers, strict=False):
            if moved is not buffer:  # a view whose numbers do not lie side by side
                buffer.copy_(moved)
        # Autograd would not see it, and a graph that keeps the old ones would go on with the new.
        torch.autograd.graph.increment_version([running.mean, running.variance, running.tracked])
    return y


@_on_its_device
def gradient(
    saved: Tensor,
    grad_y: Tensor,
    statistics: Tensor,
    images: int,
    group: int,
    weight: Tensor | None,
    bias: Tensor | None,
    activation: Activation = NO_ACTIVATION,
    kept: Kept | None = None,
    means_of: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor | None, ...]:
    """The gradients of x, weight and bias; arguments as of `output` and `statistics_of`, but for:

    Args:
        saved: the input, or with `kept` the output, (N, C, *), dense.
        grad_y: in the memory format of `saved`.
        means_of: from the sums of dz and of dz * xhat over x, float64 (2, C), to their means over all that the
            statistics span, where that is more than x. None: it is x.
    """
    grid, (weight, bias) = _Grid.of(saved), _dense(weight, bias)
    segments, size, affine = statistics.shape[1], statistics[0].numel(), _affine(weight, bias)
    inputs = (saved, grad_y, *((None, None, 0) if kept is None else (kept.values, kept.slots, kept.values.shape[1])))
    vectors = (
        statistics, weight, bias, grid.channels, grid.length, *grid.strides, images, grid.part_length,
        grid.parts_an_image, size, activation.slope,
    )  # fmt: skip
    options: dict[str, Any] = {"AFFINE": affine, "ACTIVATION": activation.name, "INVERT": kept is not None}
    options |= {"BLOCK_C": grid.block_c, "BLOCK_L": grid.block_l}
    partial = saved.new_empty((2, grid.parts, grid.channels), dtype=torch.float32)
    kernels.gradient_sums[grid.programs](*inputs, partial, *vectors, **options)
    coefficients = torch.empty_like(statistics[:2])
    grads = [None if vector is None else torch.empty_like(vector) for vector in (weight, bias)]
    if means_of is None:
        kernels.coefficients[(grid.row_programs(group),)](
            partial, coefficients, weight, *grads, grid.channels, grid.length, images, group, grid.part_length,
            grid.parts_an_image, grid.parts, segments, size, AFFINE=affine, **grid.blocks(group),
        )  # fmt: skip
    else:
        sums = partial.sum(1, dtype=torch.float64)
        for grad, total in zip(grads, sums.flip(0), strict=True):
            if grad is not None:
                grad.copy_(total)
        means = means_of(sums)
        coefficients.copy_((means if weight is None else means * weight).unsqueeze(1))
    grad_x = torch.empty_like(saved)
    kernels.gradient[grid.programs](*inputs, grad_x, coefficients, *vectors, **options)
    return grad_x, *grads


def _layer_grid(x: Tensor) -> tuple[_Grid, int, dict[str, int]]:
    """The grid of x, and programs an image of blocks of positions, whose channels follow one another."""
    grid = _Grid.of(x)
    if grid.strides[2] == 1:
        block_l = min(64, _power_of_2(grid.length))
        block_c = min(_TILE // block_l, _power_of_2(grid.channels))
    else:
        block_c = min(256, _power_of_2(grid.channels))
        block_l = min(_TILE // block_c, _power_of_2(grid.length))
    return grid, _cdiv(grid.length, block_l), {"BLOCK_C": block_c, "BLOCK_L": block_l}


@_on_its_device
def layer_output(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Layer norm of x (N, C, *), dense, over the channels of each position; and for `layer_gradient`, float32
    (N * positions,), the mean less the first channel's value, and 1 / sqrt(variance + eps)."""
    grid, blocks, block = _layer_grid(x)
    weight, bias = _dense(weight, bias)
    y = torch.empty_like(x)
    mean, rstd = (x.new_empty(grid.images * grid.length, dtype=torch.float32) for _ in range(2))
    layer_kernels.layer_output[(grid.images * blocks,)](
        x, y, mean, rstd, weight, bias, grid.channels, grid.length, *grid.strides, blocks, eps,
        AFFINE=_affine(weight, bias), **block,
    )  # fmt: skip
    return y, mean, rstd


@_on_its_device
def layer_gradient(
    x: Tensor, grad_y: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor | None, ...]:
    """The gradients of x, weight and bias; `grad_y` in the memory format of x."""
    grid, blocks, block = _layer_grid(x)
    weight, bias = _dense(weight, bias)
    grad_x = torch.empty_like(x)
    affine = _affine(weight, bias)
    partial = x.new_empty((2, grid.images * blocks, grid.channels), dtype=torch.float32) if affine else None
    layer_kernels.layer_gradient[(grid.images * blocks,)](
        x, grad_y, grad_x, mean, rstd, weight, partial, grid.channels, grid.length, *grid.strides, blocks,
        AFFINE=affine, **block,
    )  # fmt: skip
    sums = (None, None) if partial is None else partial.sum(1)
    return grad_x, *(
        None if vector is None else total.to(vector.dtype) for vector, total in zip((weight, bias), sums, strict=True)
    )
