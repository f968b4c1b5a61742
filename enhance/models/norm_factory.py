"""The norm that the settings choose: how the U-Net builds it, and what it refuses, with the keys of the settings."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from enhance.errors import SettingsError, UserError
from enhance.models.blocks import NormFactory
from enhance.norm.base import TooFewValues
from enhance.norm.batch import BatchNorm
from enhance.norm.batch_act import ACTIVATIONS, BatchNormAct
from enhance.norm.ghost import GhostBatchNorm
from enhance.norm.registry import NORMS, build_norm
from enhance.settings import ModelSettings, NormSettings


def norm_factory(model: ModelSettings, norm: NormSettings) -> NormFactory:
    """Number of channels -> layer.

    Raises:
        SettingsError: (also from the factory) an unknown norm, an option that it lacks, options that do not go together
            or with the number of channels, or an activation that it cannot take in.
    """
    options = norm.options()
    if NORMS.get(norm.name) is BatchNormAct:
        if model.activation not in ACTIVATIONS:
            raise SettingsError(
                f"model.activation={model.activation} does not work with norm={norm.name}: choose "
                f"{' or '.join(ACTIVATIONS)}, or norm=bn"
            )
        options["activation"] = model.activation

    def build(num_channels: int) -> nn.Module:
        try:
            return build_norm(norm.name, num_channels, **options)
        except ValueError as error:
            raise SettingsError(_with_keys(str(error))) from error

    return build


def _with_keys(message: str) -> str:
    """`option=` in a norm's message becomes `norm.option=`, and `name=` becomes `norm=`."""
    keyed = re.sub(r"\b(\w+)=", lambda option: "norm=" if option[1] == "name" else f"norm.{option[0]}", message)
    return f"{keyed}: change it or model.width" if message.startswith("num_groups=") else keyed


@contextmanager
def too_few_values_explained() -> Iterator[None]:
    """Within, a norm that sees too few values of a batch ends in a `UserError` that names the settings to change."""
    try:
        yield
    except TooFewValues as error:
        more = "raise data.crop"
        if isinstance(error.layer, GhostBatchNorm):
            more = "make batch_size a multiple of norm.virtual_batch, and that at least 2, raise data.crop"
        elif isinstance(error.layer, BatchNorm):
            more = "raise batch_size or data.crop"
        raise UserError(f"{error}: {more}, lower model.depth, or choose another norm (norm=gn)") from error
