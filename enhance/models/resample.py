"""Half and twice the resolution. Layers without parameters, which torch.compile gets in another form than eager mode
runs: its own code for max-pooling and for the gradient of an interpolation takes many times as long on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance.norm.layout import memory_format


class HalveByMax(nn.Module):
    """The largest of each square of 2x2 positions: (N, C, H, W) -> (N, C, H / 2, W / 2), rounded down."""

    def forward(self, x: Tensor) -> Tensor:
        return _max_pool(x)[0] if _compiled() else F.max_pool2d(x, 2)


class DoubleBilinear(nn.Module):
    """Bilinear interpolation, corners not aligned: (N, C, H, W) -> (N, C, 2 H, 2 W)."""

    def forward(self, x: Tensor) -> Tensor:
        if _compiled():
            return _double(_double(x, 2), 3)
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _compiled() -> bool:
    """Whether torch.compile is at work; an exported model keeps to torch's own operations."""
    return torch.compiler.is_compiling() and not torch.compiler.is_exporting()


def _double(x: Tensor, axis: int) -> Tensor:
    """Linear interpolation to twice the length of an axis: each output lies three quarters at one input and one quarter
    at the input beside it, or at the same one where there is none beside it."""
    length = x.shape[axis]
    before = torch.cat((x.narrow(axis, 0, 1), x.narrow(axis, 0, length - 1)), axis)
    after = torch.cat((x.narrow(axis, 1, length - 1), x.narrow(axis, length - 1, 1)), axis)
    pairs = torch.stack((0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after), axis + 1)
    return pairs.flatten(axis, axis + 1)


@torch.library.custom_op("enhance::max_pool", mutates_args=())
def _max_pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """The pooled values and their places, as torch's own operation, which a compiler does not look into."""
    pooled, places = F.max_pool2d_with_indices(x, (2, 2))
    return _like(pooled, x), _like(places, x)


@_max_pool.register_fake
def _(x: Tensor) -> tuple[Tensor, Tensor]:
    pooled = x.new_empty((*x.shape[:2], x.shape[2] // 2, x.shape[3] // 2))
    return _like(pooled, x), _like(torch.empty_like(pooled, dtype=torch.int64), x)


@torch.library.custom_op("enhance::max_pool_backward", mutates_args=())
def _max_pool_backward(grad: Tensor, x: Tensor, places: Tensor) -> Tensor:
    grad_x = torch.ops.aten.max_pool2d_with_indices_backward(
        _like(grad, x), x, [2, 2], [2, 2], [0, 0], [1, 1], False, places
    )
    return _like(grad_x, x)


@_max_pool_backward.register_fake
def _(grad: Tensor, x: Tensor, places: Tensor) -> Tensor:
    return _like(torch.empty_like(x), x)


_max_pool.register_autograd(
    lambda ctx, grad, _: _max_pool_backward(grad, *ctx.saved_tensors),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(inputs[0], output[1]),
)


def _like(values: Tensor, x: Tensor) -> Tensor:
    """In the memory format of x, as `register_fake` promises the compiler."""
    return values.contiguous(memory_format=memory_format(x))
