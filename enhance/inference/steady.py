"""Brightness over time: a model sets it frame by frame, and none of its changes of mind is to be seen as pumping.

All is told in stops on the curve of `expose`, position by position on a small copy: how much brighter a frame is
than the one before, and how much more of that is the model's doing. Both are medians, so that a lamp, or a person who
walks in, counts for nothing where most of the picture stays.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from enhance.inference.brightness import AUTO, Brightness
from enhance.inference.enhancer import AnySize
from enhance.models.exposure import LEAST_STOPS, MOST_STOPS, level

_SIZE = (18, 32)  # of the small copy, in pixels
_BLACK, _WHITE = 1 / 255, 1 - 1 / 255  # values beyond which brightness cannot be seen
_LIT = 0.05  # share of positions that must be between them
_OTHER_STOPS, _OTHER_SHARE = 0.7, 0.45  # a cut: so much of the picture changed by so much more than the rest did
_SECONDS = 0.7  # in which what is held falls to 1/e
_SPEED = 0.75  # stops a second at most: at 25 frames a second no value changes by 2 %


class Steady:
    """A model on one frame after another, without pumping.

    What it takes for its exposure is held before its U-Net, so that this sees what the result is made from; and
    whatever else it does to brightness, after it. In a scene that stays, a frame is soon what the photograph would be.

    Args:
        brightness: of each frame, before it is held.
    """

    def __init__(self, enhancer: AnySize, brightness: Brightness = AUTO) -> None:
        self.enhancer, self.brightness = enhancer, brightness
        self._exposure, self._result = Held(), Held()
        self._share: Tensor | None = None

    @torch.inference_mode()
    def __call__(self, frame: Tensor, seconds: float) -> Tensor:
        """The enhanced frame, (C, H, W) in [0, 1] of any size, as `AnySize.enhance` has it.

        Args:
            seconds: since the frame before.
        """
        frame = frame.to(self.enhancer.home(frame))
        seen = levels(frame)
        light = self.enhancer.model.light(frame[None])
        if light is not None:
            stops, share = light.split(1, dim=1)
            same_scene = self._exposure.follow(seen, seen + stops[0], seconds)
            if same_scene and self._share is not None:
                share = share.lerp(self._share, math.exp(-seconds / _SECONDS))
            self._share = share
            light = torch.cat(((stops + self._exposure.stops).clamp(LEAST_STOPS, MOST_STOPS), share), dim=1)
        # An Enhancer's own `enhance` takes no light.
        result = self.brightness.set(AnySize.enhance(self.enhancer, frame, light))
        self._result.follow(seen, levels(result), seconds)
        return Brightness(stops=self._result.stops).set(result)


class Held:
    """Stops that hold the brightness of a scene, and let go of it slowly.

    What a model does to the brightness changes from frame to frame. As far as most of the picture shows that, it is
    taken back at once, and then given free, exponentially and by `_SPEED` at most. A model that follows the light of
    the scene, as in a fade or where a room is lit, changes what it does so that the picture stays: nothing is held. At
    a cut all is forgotten.
    """

    def __init__(self) -> None:
        self.stops = 0.0
        self._before: Tensor | None = None

    def follow(self, seen: Tensor, shown: Tensor, seconds: float) -> bool:
        """Take the next frame in, and set `stops`, by which its result is to be exposed. Returns whether it shows the
        scene of the frame before.

        Args:
            seen: `levels` of the frame.
            shown: those of the model's result without `stops`.
            seconds: since the frame before.
        """
        levels, before = torch.stack((seen, shown)), self._before
        self._before = levels
        change = levels - (levels if before is None else before)
        change = change[:, ~change.isnan().any(0)]
        if before is None or change.shape[1] < _LIT * seen.numel() or _is_cut(change[0]):
            self.stops = 0.0
            return False
        scene, result = change.median(dim=1).values.tolist()
        model = result - scene
        if model * result > 0:
            self.stops -= math.copysign(min(abs(model), abs(result)), model)
        size = abs(self.stops)
        self.stops = math.copysign(max(size * math.exp(-seconds / _SECONDS), size - _SPEED * seconds), self.stops)
        return True


def levels(image: Tensor) -> Tensor:
    """`level` of a small copy of a frame, (C, H, W) in [0, 1]; NaN where it is black or white. Channel by channel, as
    `expose` works: of grey values, what it does to a colour would be something else."""
    small = F.adaptive_avg_pool2d(image[:3], _SIZE)
    return torch.where((small > _BLACK) & (small < _WHITE), level(small), math.nan)


def _is_cut(change: Tensor) -> bool:
    """Whether two frames show different scenes, by the difference of their `levels`. A dark room and the same room with
    the light on are one."""
    return bool(((change - change.median()).abs() > _OTHER_STOPS).float().mean() > _OTHER_SHARE)
