"""What training and inference know of a model: a network, and how the brightness of its output is set."""

from collections.abc import Callable

from torch import Tensor, nn

from enhance.models.residual import ResidualUNet

RunNetwork = Callable[[ResidualUNet, Tensor], Tensor]  # a network and a whole image -> what the network makes of it


class EnhancementModel(nn.Module):
    """A network whose output stays as it is: (N, 3, H, W) in [0, 1] -> (N, 3, H, W), not clamped; H, W >= 16.

    A subclass sets the brightness of that output in its own way. It then says what training compares, and which part of
    it learns for how long.
    """

    def __init__(self, network: ResidualUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.enhance(image, lambda network, image: network(image))

    def enhance(self, image: Tensor, run: RunNetwork) -> Tensor:
        """`forward`, with another way to run a network on an image, for example tile after tile."""
        return run(self.network, image)

    def networks(self) -> list[ResidualUNet]:
        """All that `enhance` runs."""
        return [self.network]

    def training_output(self, low: Tensor, normal: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the objective compares with `normal`, and losses of the model's own by name, which are added.

        Args:
            low, normal: (N, 3, H, W) float32 in [0, 1], the dark image and its target.

        Returns:
            (N, 3, H, W) float32, and numbers.
        """
        return self.network(low).float(), {}

    def early_parameters(self) -> list[nn.Parameter]:
        """Those that learn in the first part of a run only; they are the last of `parameters()`."""
        return []
