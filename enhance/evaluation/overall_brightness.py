"""How much of an error is overall brightness, and whether the network does better at it than a constant."""

import math
from dataclasses import dataclass
from statistics import fmean

from torch import Tensor

from enhance.data.pairs import PairSource
from enhance.evaluation.scores import ImageScore, Measure, psnr_and_ssim
from enhance.models.brightness import at_brightness, mean_grey

GREY = "mean grey"  # name of the measure of both images' brightness
CONSTANT = "RGB, constant brightness"  # of the scores with every output scaled to one, which a user may do as well
_LEAST = 1e-6  # of a brightness whose log is taken: an image may be black everywhere


@dataclass(frozen=True)
class Brightness:
    """Of outputs and references; brightness is the mean grey value."""

    constant: float  # the geometric mean of the training targets' brightness
    error: float  # root mean square of the log of output over reference brightness
    error_constant: float  # of the constant over reference brightness
    explained: float  # share of the variation of the references' log brightness that the model predicts:
    # 1 - (error / error_constant)^2; at or below 0, it does no better than the constant

    def line(self) -> str:
        return (
            f"overall brightness (mean grey): rms of log(output / reference) {self.error:.3f}, and "
            f"{self.error_constant:.3f} of the constant {self.constant:.3f}, the geometric mean of the training "
            f"targets; explained {self.explained:.2f}."
        )


def training_brightness(training: PairSource) -> float:
    """The geometric mean of the training targets' mean grey values."""
    greys = (mean_grey(training.whole(index)[1][None]).item() for index in range(len(training)))
    return math.exp(fmean(math.log(max(grey, _LEAST)) for grey in greys))


def brightness_measures(constant: float) -> dict[str, Measure]:
    """The scores of outputs scaled to a constant brightness, and the brightness of output and reference."""

    def at_constant(output: Tensor, target: Tensor) -> dict[str, float]:
        return psnr_and_ssim(at_brightness(output, target.new_full((1, 1, 1, 1), constant)), target)

    def greys(output: Tensor, target: Tensor) -> dict[str, float]:
        return {"output": mean_grey(output.clamp(0, 1)).item(), "reference": mean_grey(target).item()}

    return {CONSTANT: at_constant, GREY: greys}


def brightness(scores: list[ImageScore], constant: float) -> Brightness:
    """From scores with the `brightness_measures` of that constant."""

    def rms(ratios: list[float]) -> float:
        return math.sqrt(fmean(math.log(ratio) ** 2 for ratio in ratios))

    greys = [image.measures[GREY] for image in scores]
    references = [max(grey["reference"], _LEAST) for grey in greys]
    error = rms([max(grey["output"], _LEAST) / wanted for grey, wanted in zip(greys, references, strict=True)])
    error_constant = rms([constant / wanted for wanted in references])
    explained = 1 - (error / error_constant) ** 2 if error_constant else math.nan
    return Brightness(constant, error, error_constant, explained)
