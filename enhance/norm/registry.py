"""Name -> layer: the one list of the norms."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from enhance.norm.batch import BatchNorm, FrozenBatchNorm
from enhance.norm.batch_act import BatchNormAct
from enhance.norm.frn import FilterResponseNorm
from enhance.norm.ghost import GhostBatchNorm
from enhance.norm.image import GroupNorm, HalfInstanceNorm, InstanceNorm, LayerNorm2d
from enhance.norm.renorm import BatchRenorm
from enhance.norm.sync import SyncBatchNorm

NORMS: dict[str, type[nn.Module]] = {
    "bn": BatchNorm,
    "bn_act": BatchNormAct,
    "in": InstanceNorm,
    "gn": GroupNorm,
    "ln": LayerNorm2d,
    "none": nn.Identity,
    "bn_ghost": GhostBatchNorm,
    "hin": HalfInstanceNorm,
    "frn": FilterResponseNorm,
    "brn": BatchRenorm,
    "bn_frozen": FrozenBatchNorm,
    "sync_bn": SyncBatchNorm,
}


def build_norm(name: str | Callable[..., nn.Module], num_channels: int, **options: Any) -> nn.Module:
    """A layer for `num_channels` channels.

    Args:
        name: of `NORMS`, of which `none` is the identity; or a class, or a partial of one, that takes the number first.

    Raises:
        ValueError: an unknown name, or an option that the layer lacks; lists the choices. Or from the layer: options
            that do not go together.
    """
    if not isinstance(name, str):
        return name(num_channels, **options)
    if name not in NORMS:
        raise ValueError(f"name={name} is unknown: choose one of {', '.join(NORMS)}")
    layer = NORMS[name]
    known = [] if layer is nn.Identity else list(inspect.signature(layer).parameters)[1:]
    for option, value in options.items():
        if option not in known:
            choices = f"it has {', '.join(known)}" if known else "it has no options"
            raise ValueError(f"{option}={value} is no option of name={name}: {choices}")
    return nn.Identity() if layer is nn.Identity else layer(num_channels, **options)
