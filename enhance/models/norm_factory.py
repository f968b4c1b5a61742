"""The norm that the settings choose: how the U-Net builds it, and what it refuses, with the keys of the settings."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from enhance.errors import SettingsError, UserError
from enhance.models.blocks import NormFactory
from enhance.norm.base import TooFewValues
from enhance.norm.batch import AnyBatchNorm
from enhance.norm.batch_act import ACTIVATIONS, BatchNormAct
from enhance.norm.ghost import GhostBatchNorm
from enhance.norm.registry import NORMS, build_norm
from enhance.settings.schema import ModelSettings, NormSettings


def norm_factory(model: ModelSettings, norm: NormSettings) -> NormFactory:
    """Number of channels -> layer. Both raise `SettingsError`: as `build_norm`, and for an activation that the norm
    cannot take in."""
    options = norm.options()
    if NORMS.get(norm.name) is BatchNormAct:
        if model.activation not in ACTIVATIONS:
            cure = f"choose {' or '.join(ACTIVATIONS)}, or norm=bn"
            raise SettingsError(f"model.activation={model.activation} does not work with norm={norm.name}: {cure}")
        options["activation"] = model.activation

    def build(num_channels: int) -> nn.Module:
        try:
            return build_norm(norm.name, num_channels, **options)
        except ValueError as error:
            # `option=` becomes `norm.option=`, and `name=` becomes `norm=`.
            message = re.sub(r"\b(\w+)=", r"norm.\1=", str(error)).replace("norm.name=", "norm=")
            cure = ": change it or model.width" if message.startswith("norm.num_groups=") else ""
            raise SettingsError(message + cure) from error

    return build


@contextmanager
def too_few_values_explained() -> Iterator[None]:
    """Within, a norm that sees too few values of a batch ends in a `UserError` that names the settings to change."""
    try:
        yield
    except TooFewValues as error:
        more = "raise data.crop"
        if isinstance(error.layer, GhostBatchNorm):
            more = "make batch_size a multiple of norm.virtual_batch, and that at least 2, raise data.crop"
        elif isinstance(error.layer, AnyBatchNorm):
            more = "raise batch_size or data.crop"
        raise UserError(f"{error}: {more}, lower model.depth, or choose another norm (norm=gn)") from error
