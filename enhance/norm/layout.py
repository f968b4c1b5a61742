"""How the arithmetic of the norms is laid out: memory formats, results in place, and work in parts for the CPU's cache.

What is computed is no concern of this module. It sees tensors as (N, G, K, L): N images, G groups of K channels, L
positions (`split_channels`). Vectors broadcast over them, and sums keep their axes with size 1.
"""

import math
from typing import Any

import torch
from torch import Tensor

Axes = tuple[int, ...]
_PART_VALUES = 2**20  # 4 MiB of float32, which stay in a processor's cache


def has_values(x: Tensor) -> bool:
    """Whether x is more than a shape, type and strides, as meta tensors are, and those that pass through a model to
    count its memory or to trace it, and as those of torch.func are. `torch.compile` stands for tensors with values."""
    if torch.compiler.is_dynamo_compiling():
        return True
    return not torch._C._functorch.is_functorch_wrapped_tensor(x) and x.untyped_storage().device.type != "meta"


def on_cpu(x: Tensor) -> bool:
    """Whether some forms of operations are slow: mixed types, which are converted first, one after the other; var_mean;
    and addcmul by vectors along a contiguous x, which goes number by number."""
    return x.device.type == "cpu"


def memory_format(x: Tensor) -> torch.memory_format:
    """channels_last where x lies so, else contiguous."""
    channels_last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.dim())
    if channels_last is None or x.is_contiguous() or not x.is_contiguous(memory_format=channels_last):
        return torch.contiguous_format
    return channels_last


def dense_copy(x: Tensor) -> Tensor:
    """A copy to compute on: float32, or float64 where x is, since half types must not accumulate in themselves."""
    return x.to(wide_type(x), copy=True, memory_format=memory_format(x))


def wide_type(x: Tensor) -> torch.dtype:
    """float32, or float64 where x is."""
    return torch.promote_types(x.dtype, torch.float32)


def to_float64(x: Tensor) -> Tensor:
    """float64, or float32 on Apple's graphics processors, which have no float64."""
    return x.float() if x.device.type == "mps" else x.double()


def dense(x: Tensor) -> Tensor:
    """x, or a copy of it where it lies dense in neither memory format."""
    return x.contiguous(memory_format=memory_format(x))


def dense_like(grad: Tensor, result: Tensor) -> Tensor:
    """An upstream gradient in the type and memory format of the dense tensor that becomes the result."""
    return grad.to(result.dtype).contiguous(memory_format=memory_format(result))


def prepare(x: Tensor, num_groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """A dense tensor like x, where the result is to be; and views (N, G, K, L) of x and of it.

    A compiler gets one copy for all three, in float32 or wider: it needs no help to leave copies out.
    """
    if torch.compiler.is_compiling():
        y = dense_copy(x)
        values = split_channels(y, num_groups)
        return y, values, values
    source = dense(x)
    y = torch.empty_like(source)
    return y, split_channels(source, num_groups), split_channels(y, num_groups)


def split_channels(x: Tensor, num_groups: int) -> Tensor:
    """View (N, C, *) as (N, num_groups, C / num_groups, L), with L the product of `*`.

    x is contiguous or channels_last; `num_groups` divides C.
    """
    return x.view(x.shape[0], num_groups, x.shape[1] // num_groups, math.prod(x.shape[2:]))


def per_channel(vector: Tensor | None, num_groups: int) -> Any:
    """(C,) -> (1, G, K, 1); None stays None."""
    return None if vector is None else vector.view(1, num_groups, -1, 1)


def count_over(x: Tensor, axes: Axes) -> int:
    """Number of values that one sum over `axes` takes in."""
    return math.prod([x.shape[axis] for axis in axes])  # torch.compile takes no generator here


def in_parts(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Views of the tensors, on the CPU of a few images at a time; those of (1, G, K, 1) go with each part.

    What several operations do to a part stays in the cache in between; done to the whole batch, each would read it from
    memory again, and a temporary result would cost a page fault for each 4 KiB. A compiler fuses by itself.
    """
    return _along(0, tensors)


def in_channels(axes: Axes, *tensors: Tensor | None) -> list[tuple[Any, ...]]:
    """The same over channels: views of a few groups of the tensors, where each group's statistics over `axes` are its
    own alone and its values lie together. A None goes with each part."""
    assert tensors[0] is not None
    separate = 0 in axes and 2 in axes and tensors[0].stride(3) == 1
    return _along(1, tensors) if separate else [tensors]


def _along(axis: int, tensors: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """A tensor without values goes through each operation whole, as on a graphics card."""
    first = tensors[0]
    if not on_cpu(first) or torch.compiler.is_compiling() or not has_values(first):
        return [tensors]
    size = first.shape[axis]
    length = max(1, _PART_VALUES * size // max(1, first.numel()))
    return [
        tuple(
            each if each is None or each.shape[axis] == 1 else each.narrow(axis, start, min(length, size - start))
            for each in tensors
        )
        for start in range(0, max(1, size), length)
    ]


def joined(parts: list[Tensor] | tuple[Tensor, ...], axis: int) -> Tensor:
    """The parts as one tensor; of one alone, no copy."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


def sum_over(x: Tensor, axes: Axes) -> Tensor:
    """Sum of x over `axes`, in float32 or wider."""
    if 3 in axes and on_cpu(x):
        # One sum over channels and positions of a channels_last group is 20 times slower there.
        x = x.sum(3, keepdim=True, dtype=wide_type(x))
    return x.sum(axes, keepdim=True, dtype=wide_type(x))


def sum_products(a: Tensor, b: Tensor, axes: Axes) -> Tensor:
    """Sum of a * b over `axes`."""
    within = tuple(axis for axis in axes if axis != 0)
    sums = joined([sum_over(x * y, within) for x, y in in_parts(a, b)], 0)
    return sums.sum(0, keepdim=True) if 0 in axes else sums


def for_each_channel(sums: Tensor, x: Tensor, axes: Axes) -> Tensor:
    """Sums of x over `axes`, those of a group repeated for each of its channels. As one number, they would cut the
    loops over channels_last memory into runs of a few channels. Of an exported graph OpenCV 4 cannot read that."""
    return sums.expand(-1, -1, x.shape[2], -1) if 3 in axes and not torch.compiler.is_exporting() else sums


def wide_on_cpu(x: Tensor) -> Tensor:
    """x as it is, or on the CPU in float32 where it is of a half type."""
    return x.to(wide_type(x)) if on_cpu(x) else x


def workspace(source: Tensor, result: Tensor | None) -> tuple[Tensor, Tensor]:
    """What to compute from, and where, in float32 or wider: in `result` if it is, else in a new tensor like it."""
    fits = result is not None and result.dtype == wide_type(source)
    values: Any = result if fits else torch.empty_like(source, dtype=wide_type(source))
    if source.dtype != values.dtype and on_cpu(source):
        return values, values.copy_(source)
    return source, values


def subtract(source: Tensor, values: Tensor, mean: Tensor) -> Tensor:
    """values = source - mean, of a `workspace`."""
    # One pass, where a copy and its change are two.
    return values.sub_(mean) if source is values else torch.sub(source, mean, out=values)


def affine_(x: Tensor, scale: Tensor, shift: Tensor, result: Tensor | None = None) -> Tensor:
    """x * scale + shift in place of x, or in `result`; scale and shift broadcast over the positions."""
    if torch.compiler.is_compiling() or (on_cpu(x) and x.stride(3) == 1):
        x.mul_(scale).add_(shift)
    elif result is None or on_cpu(x):
        torch.addcmul(shift, x, scale, out=x)
    else:
        return torch.addcmul(shift, x, scale, out=result)
    return x if result is None or result is x else result.copy_(x)


def combine_(values: Tensor, slope: Tensor, shift: Tensor, grad: Tensor, scale: Tensor, result: Tensor) -> None:
    """result = values * slope + shift + grad * scale: the gradient of a norm's input; `values` is changed."""
    for part, *vectors, part_grad, part_scale, part_result in in_parts(values, slope, shift, grad, scale, result):
        affine_(part, *vectors)
        if values is not result and not on_cpu(values):
            torch.addcmul(part, part_grad, part_scale, out=part_result)
            continue
        part.addcmul_(part_grad, part_scale)
        if values is not result:
            part_result.copy_(part)
