"""The overall brightness of the result is that of a second network's output."""

from torch import Tensor, nn

from enhance.models.brightness import at_brightness, factor_to, mean_grey
from enhance.models.model import EnhancementModel, RunNetwork
from enhance.models.residual import ResidualUNet

_MOST_BRIGHTER = 5.0


class ExposureModel(EnhancementModel):
    """The output of `network`, at the mean grey value of what `exposure` makes of the same image.

    What standardizes an image, or looks at the whole of it, predicts overall brightness no better than a constant
    (docs/results.md). A small U-Net without norm and context does better.

    In training the objective sees the network's output at the target's brightness. The exposure network learns beside
    it, by the mean absolute error of its own output: position by position, for it would overfit the few brightnesses
    that a data set has. For the same reason it stops early.
    """

    def __init__(self, network: ResidualUNet, exposure: ResidualUNet) -> None:
        super().__init__(network)
        self.exposure = exposure

    def enhance(self, image: Tensor, run: RunNetwork) -> Tensor:
        wanted = mean_grey(run(self.exposure, image).clamp(0, 1))
        return at_brightness(run(self.network, image), wanted)

    def networks(self) -> list[ResidualUNet]:
        return [self.network, self.exposure]

    def training_output(self, low: Tensor, normal: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, exposed = self.network(low).float(), self.exposure(low).float()
        # Limited, so that the output itself becomes bright: the first ones are as dark as the input.
        factor = factor_to(output.clamp(0, 1), mean_grey(normal)).clamp(max=_MOST_BRIGHTER)
        return output * factor, {"exposure": (exposed - normal).abs().mean()}

    def early_parameters(self) -> list[nn.Parameter]:
        return list(self.exposure.parameters())
