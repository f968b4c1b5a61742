"""The norms by name."""

import pytest
import torch
from torch import nn

from enhance.norm.registry import NORMS, build_norm


@pytest.mark.parametrize("name", NORMS)
def test_every_name_builds_a_layer_that_keeps_the_shape(name: str) -> None:
    x = torch.randn(2, 16, 5, 7)
    assert build_norm(name, 16)(x).shape == x.shape


def test_options_reach_the_layer() -> None:
    layer = build_norm("bn", 16, eps=1e-3, momentum=0.2, affine=False, track_running_stats=False)
    assert (layer.eps, layer.momentum, layer.weight, layer.running_mean) == (1e-3, 0.2, None, None)
    assert build_norm("gn", 16, num_groups=4).num_groups == 4
    assert isinstance(build_norm("none", 16), nn.Identity)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("batch", {}, "name=batch is unknown: choose one of bn, bn_act, in, gn, ln, none"),
        ("in", {"momentum": 0.1}, "momentum=0.1 is no option of name=in: it has eps, affine"),
        ("none", {"eps": 0.1}, "eps=0.1 is no option of name=none: it has no options"),
        ("gn", {"num_groups": 3}, "num_groups=3 does not divide the 16 channels of a layer"),
    ],
)
def test_mistakes_are_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_norm(name, 16, **options)
