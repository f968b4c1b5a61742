"""The norm that the settings choose, and its errors with the keys of the settings."""

import pytest
import torch
from torch import nn

from enhance.errors import SettingsError, UserError
from enhance.models.build import build_model
from enhance.models.norm_factory import norm_factory, too_few_values_explained
from enhance.norm.batch_act import BatchNormAct
from enhance.norm.registry import NORMS, build_norm
from enhance.settings.schema import Activation, ModelSettings, NormSettings

BATCH_CURE = ": raise batch_size or data.crop, lower model.depth, or choose another norm (norm=gn)"
GHOST_CURE = (
    ": make batch_size a multiple of norm.virtual_batch, and that at least 2, raise data.crop, lower model.depth, "
    "or choose another norm (norm=gn)"
)
CROP_CURE = ": raise data.crop, lower model.depth, or choose another norm (norm=gn)"


@pytest.mark.parametrize("name", NORMS)
def test_every_norm_is_built(name: str) -> None:
    assert type(norm_factory(ModelSettings(), NormSettings(name))(16)) is NORMS[name]


def test_options_and_activation_reach_the_layer() -> None:
    assert norm_factory(ModelSettings(), NormSettings("gn", num_groups=4))(16).num_groups == 4
    layer = norm_factory(ModelSettings(activation=Activation.elu), NormSettings("bn_act", eps=1e-3))(16)
    assert isinstance(layer, BatchNormAct)
    assert (layer.activation, layer.eps) == ("elu", 1e-3)


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        (NormSettings("batch"), "norm=batch is unknown: choose one of bn, bn_act, in, gn, ln, none"),
        (NormSettings("in", momentum=0.1), "norm.momentum=0.1 is no option of norm=in: it has eps, affine"),
        (NormSettings("none", eps=0.1), "norm.eps=0.1 is no option of norm=none: it has no options"),
        (
            NormSettings("gn", num_groups=3),
            "norm.num_groups=3 does not divide the 16 channels of a layer: change it or model.width",
        ),
        (
            NormSettings("bn_act"),
            "model.activation=gelu does not work with norm=bn_act: choose leaky_relu or elu, or norm=bn",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, NormSettings) else "",
)
def test_mistakes_name_the_keys(norm: NormSettings, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        build_model(ModelSettings(width=16, activation=Activation.gelu), norm)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("bn", f"batch norm of 6 channels sees 1 value per channel, input (1, 6, 1, 1){BATCH_CURE}"),
        ("sync_bn", BATCH_CURE),
        ("brn", BATCH_CURE),
        ("bn_ghost", f"ghost batch norm of 6 channels sees 1 value per channel, input (1, 6, 1, 1){GHOST_CURE}"),
        ("in", f"instance norm of 6 channels sees 1 value per channel, input (1, 6, 1, 1){CROP_CURE}"),
        ("hin", CROP_CURE),
        ("frn", CROP_CURE),
    ],
)
def test_too_few_values_name_the_cure(name: str, cure: str) -> None:
    with pytest.raises(UserError) as refused, too_few_values_explained():
        build_norm(name, 6)(torch.randn(1, 6, 1, 1))
    assert str(refused.value).endswith(cure)


def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="expected"), too_few_values_explained():
        nn.Sequential(build_norm("bn", 6))(torch.randn(1, 5, 4, 4))
