"""What training and inference know of a model: a network, and how (by a second one) brightness is set, if at all."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from enhance.models.brightness import at_brightness, factor_to, mean_grey
from enhance.models.residual import ResidualUNet

# A network, a whole image, and its `gain`, None for the network's own -> what the network makes of it.
RunNetwork = Callable[[ResidualUNet, Tensor, Tensor | None], Tensor]
MOST_GAIN = 64.0  # six stops: the mean grey value of the result over that of the photograph
MOST_BRIGHTER = 8.0  # what the network's output is multiplied by; in the first steps of a run it is up to 7
_MOST_IN_TRAINING = 5.0


class EnhancementModel(nn.Module):
    """A network whose output stays as it is: (N, C, H, W) in [0, 1] -> (N, C, H, W), not clamped; H, W >= 16.

    A subclass sets the brightness of that output in its own way. It then says what training compares, and which part of
    it learns for how long.
    """

    def __init__(self, network: ResidualUNet) -> None:
        super().__init__()
        self.network = network

    @property
    def channels(self) -> int:
        """C of the images."""
        return self.network.channels

    def forward(self, image: Tensor, light: Tensor | None = None) -> Tensor:
        return self.enhance(image, lambda network, image, gain: network(image, gain), light)

    def light(self, image: Tensor) -> Tensor | None:
        """Numbers of the whole image by which `enhance` sets brightness, (N, K, 1, 1), which a video changes over time;
        None where there are none."""
        return None

    def enhance(self, image: Tensor, run: RunNetwork, light: Tensor | None = None) -> Tensor:
        """`forward`, with another way to run a network on an image, for example tile after tile.

        Args:
            light: None: the image's own.
        """
        return run(self.network, image, None)

    def networks(self) -> list[ResidualUNet]:
        """All that `enhance` runs."""
        return [self.network]

    def training_output(self, low: Tensor, normal: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the objective compares with `normal`, and losses of the model's own by name, which are added.

        (N, C, H, W) float32 in [0, 1], the dark image and its target -> (N, C, H, W) float32, and numbers.
        """
        return self.network(low).float(), {}

    def early_parameters(self) -> list[nn.Parameter]:
        """Those that learn in the first part of a run only; they are the last of `parameters()`."""
        return []


class ExposureModel(EnhancementModel):
    """The output of `network`, at the mean grey value of what `exposure` makes of the same image, but no brighter than
    `MOST_GAIN` and `MOST_BRIGHTER` allow: black stays black.

    What standardizes an image, or looks at the whole of it, predicts overall brightness no better than a constant
    (docs/results.md). A small U-Net without norm and context does better.

    In training the objective sees the network's output at the target's brightness. The exposure network learns beside
    it, by the mean absolute error of its own output: position by position, for it would overfit the few brightnesses
    that a data set has. For the same reason it stops early.
    """

    def __init__(self, network: ResidualUNet, exposure: ResidualUNet) -> None:
        super().__init__(network)
        self.exposure = exposure

    def enhance(self, image: Tensor, run: RunNetwork, light: Tensor | None = None) -> Tensor:
        wanted = mean_grey(run(self.exposure, image, None).clamp(0, 1))
        # Of an almost black photograph both networks make a little something, and their ratio means nothing.
        wanted = torch.minimum(wanted, MOST_GAIN * mean_grey(image))
        return at_brightness(run(self.network, image, None), wanted, MOST_BRIGHTER)

    def networks(self) -> list[ResidualUNet]:
        return [self.network, self.exposure]

    def training_output(self, low: Tensor, normal: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, exposed = self.network(low).float(), self.exposure(low).float()
        # Limited, so that the output itself becomes bright: the first ones are as dark as the input.
        factor = factor_to(output.clamp(0, 1), mean_grey(normal), _MOST_IN_TRAINING)
        return output * factor, {"exposure": (exposed - normal).abs().mean()}

    def early_parameters(self) -> list[nn.Parameter]:
        return list(self.exposure.parameters())
