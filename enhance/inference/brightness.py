"""How bright a result is to be: brightness is a choice, and nobody knows it better than who looks at the picture."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from enhance.errors import SettingsError
from enhance.models.exposure import MOST_STOPS, expose, stops_to

_SAMPLED = 96  # pixels a side that tell the brightness of all
_ROWS = 256  # that are exposed at once: a photograph may be large


@dataclass(frozen=True)
class Brightness:
    """As the model sets it where nothing is given. Black and white stay, see `expose`."""

    grey: float | None = None  # the mean grey value, between 0 and 1
    stops: float = 0.0  # more than the model's own, or less

    @classmethod
    def of(cls, value: "Brightness | str | float") -> "Brightness":
        """`auto`, a mean grey value such as 0.5, or stops such as +1EV and -0.5EV; a `SettingsError` for others."""
        if isinstance(value, Brightness):
            return value
        text = str(value).strip()
        if text == "auto":
            return cls()
        if stops := re.fullmatch(r"([+-]?\d*\.?\d+) ?EV", text, re.IGNORECASE):
            if abs(float(stops[1])) > MOST_STOPS:
                raise SettingsError(f"brightness {text} is out of range: at most {MOST_STOPS:g}EV more or less")
            return cls(stops=float(stops[1]))
        if re.fullmatch(r"\d*\.?\d+", text) and 0 < float(text) < 1:
            return cls(grey=float(text))
        raise SettingsError(f"brightness {text}: give auto, a mean grey value between 0 and 1, or stops such as +1EV")

    @torch.inference_mode()
    def set(self, image: Tensor) -> Tensor:
        """(C, H, W) in [0, 1], in place."""
        if self.grey is not None:
            # Of single pixels: means of several would be those of a smoother image.
            sample = F.interpolate(image[None], (_SAMPLED, _SAMPLED), mode="nearest")
            stops = stops_to(sample, self.grey)
        elif self.stops:
            stops = image.new_full((1, 1, 1, 1), self.stops)
        else:
            return image
        for rows in image.split(_ROWS, dim=1):
            rows.copy_(expose(rows[None], stops)[0])
        return image


AUTO = Brightness()
