"""Pictures as people have them in a program: PIL images, and arrays of numpy and torch."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

Picture = TypeVar("Picture", Image.Image, "np.ndarray[Any, Any]", Tensor)
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # of PIL images, by channels
_WHITE = {torch.uint8: 255, torch.uint16: 65535}  # of integer types


def each(picture: Picture, change: Callable[[Tensor], Tensor], channels: int = 3) -> Picture:
    """`change` done to a picture, or to each of a batch; the result is of the picture's kind, type and layout.

    Args:
        picture: a PIL image, which comes back upright and RGB; or an array of numpy or torch, (H, W, C), (C, H, W), a
            batch of either, or grey (H, W); uint8, uint16, or floating-point in [0, 1].
        change: (C, H, W), float32 in [0, 1], to the same.
        channels: C, 3; with 1 a PIL image comes back grey, and with 4 it, and an array, has four itself.

    Raises:
        TypeError: another kind or type.
        ValueError: another shape, or floating-point values that are not in [0, 1].
    """
    if isinstance(picture, Image.Image):
        if channels == 4 and picture.mode != "RGBA":
            raise ValueError(f"a picture of mode {picture.mode}: the model takes four channels, mode RGBA")
        upright = ImageOps.exif_transpose(picture).convert(_MODES[channels])
        return Image.fromarray(each(np.array(upright), change, channels))
    if isinstance(picture, np.ndarray):
        return each(torch.from_numpy(np.ascontiguousarray(picture)), change, channels).numpy()
    if not isinstance(picture, Tensor):
        raise TypeError(f"a picture is a PIL image or an array of numpy or torch, not {type(picture).__name__}")
    white = 1 if picture.is_floating_point() else _WHITE.get(picture.dtype)
    if white is None:
        raise TypeError(
            f"a picture is uint8, uint16 or floating-point, not {str(picture.dtype).removeprefix('torch.')}"
        )
    batch = _channels_first(picture, channels)
    values = batch.float() / white
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise ValueError("floating-point values of a picture are in [0, 1]: divide those of 8 bits by 255")
    changed = torch.stack([change(image) for image in values]) * white
    return _as_it_was(changed if picture.is_floating_point() else changed.round(), picture, channels)


def _channels_first(picture: Tensor, channels: int) -> Tensor:
    """(N, C, H, W)."""
    if picture.dim() == 2 and channels < 4:
        return picture.expand(1, channels, -1, -1)
    batch = picture if picture.dim() == 4 else picture[None]
    if picture.dim() in (3, 4) and picture.numel():
        if batch.shape[1] == channels:
            return batch
        if batch.shape[3] == channels:
            return batch.permute(0, 3, 1, 2)
    wanted = f"(H, W, {channels}), ({channels}, H, W), a batch of either{', or grey (H, W)' * (channels < 4)}"
    cure = {1: "; make colours grey", 3: "; drop an alpha channel", 4: ", as the model has learned"}[channels]
    raise ValueError(f"a picture of shape {tuple(picture.shape)}: it is {wanted}{cure}")


def _as_it_was(changed: Tensor, picture: Tensor, channels: int) -> Tensor:
    """(N, C, H, W) in the shape and type of `picture`; of a grey one the mean of the channels."""
    if picture.dim() == 2:
        changed = changed.mean(1)
        changed = changed if picture.is_floating_point() else changed.round()
    elif picture.shape[-3] != channels:
        changed = changed.permute(0, 2, 3, 1)
    return changed.reshape(picture.shape).to(picture.dtype)
