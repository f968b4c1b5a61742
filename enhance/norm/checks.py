"""What a norm refuses to take in."""

import math

from torch import Tensor, nn

from enhance.errors import UserError


def check_channels(layer: nn.Module, x: Tensor, num_channels: int) -> None:
    """
    Raises:
        ValueError: x is not (N, num_channels, *).
    """
    if x.dim() < 2 or x.shape[1] != num_channels:
        raise ValueError(f"{layer}: input (N, {num_channels}, ...) expected, got {tuple(x.shape)}")


def refuse_one_position(kind: str, x: Tensor) -> None:
    """
    Raises:
        UserError: a channel of an image of x (N, C, *) has fewer than two values.
    """
    if math.prod(x.shape[2:]) < 2:
        raise one_value(kind, x, 1, "raise data.crop")


def one_value(kind: str, x: Tensor, count: int, more_values: str) -> UserError:
    """The refusal of x (N, C, *), of whose `count` values per channel no variance can be taken."""
    return UserError(
        f"{kind} of {x.shape[1]} channels sees {count} value per channel, input {tuple(x.shape)}: {more_values}, "
        "lower model.depth, or choose another norm (norm=gn)"
    )
