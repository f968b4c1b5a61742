"""What a norm raises besides `ValueError`."""

from torch import nn


class TooFewValues(ValueError):
    """A channel has fewer than two values, of which no variance can be taken.

    Attributes:
        layer: the one that refused its input.
    """

    def __init__(self, message: str, layer: nn.Module | None = None) -> None:
        super().__init__(message)
        self.layer = layer
