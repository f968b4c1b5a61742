"""Frozen batch normalization: running statistics in training too (He et al. 2016, arXiv 1512.03385, appendix A)."""

from enhance.norm.batch import BatchNorm


class FrozenBatchNorm(BatchNorm):
    """`BatchNorm` that is always in evaluation mode: it standardizes by its running statistics, and none ever moves.

    What is left is a learned scale and shift per channel of an input with fixed statistics; every image, and a single
    position too, is treated by itself. A new layer has mean 0 and variance 1, and is worth something only after the
    `state_dict` of a trained `BatchNorm` was loaded, whose names it shares.

    Args:
        num_features, eps, affine: as of `BatchNorm`.

    Example:
        >>> layer = FrozenBatchNorm(8)
        >>> layer.load_state_dict(BatchNorm(8).state_dict())
        <All keys matched successfully>
        >>> layer.train().training
        False
    """

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__(num_features, eps, affine=affine)
        self.train()

    def train(self, mode: bool = True) -> "FrozenBatchNorm":
        """Stays in evaluation mode, whatever the mode of the model around it."""
        super().train(False)
        return self

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, affine={self.weight is not None}"
