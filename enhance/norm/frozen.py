"""Frozen batch normalization: running statistics in training too (He et al. 2016, arXiv 1512.03385, appendix A)."""

from torch import nn

from enhance.norm.base import ChannelNorm
from enhance.norm.batch import BatchNorm


class FrozenBatchNorm(BatchNorm):
    """`BatchNorm` that standardizes by its running statistics in training as in evaluation, and none ever moves.

    What is left is a learned scale and shift per channel of an input with fixed statistics; every image, and a single
    position too, is treated by itself. A new layer has mean 0 and variance 1, and is worth something only after the
    `state_dict` of a trained `BatchNorm` was loaded, whose names it shares.

    Args:
        num_features, eps, affine: as of `BatchNorm`.

    Example:
        >>> layer = FrozenBatchNorm(8)
        >>> layer.load_state_dict(BatchNorm(8).state_dict())
        <All keys matched successfully>
    """

    frozen = True

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__(num_features, eps, affine=affine)

    def extra_repr(self) -> str:
        return ChannelNorm.extra_repr(self)


def freeze(model: nn.Module) -> None:
    """From now on the model's batch norms do as `FrozenBatchNorm` does; those without running statistics stay as they
    are."""
    for module in model.modules():
        if isinstance(module, BatchNorm) and module.running_mean is not None:
            module.frozen = True
