"""Brightness that the user chooses."""

import pytest
import torch
from torch import nn

from enhance.errors import SettingsError
from enhance.inference.brightness import Brightness
from enhance.models.brightness import mean_grey


def scene() -> torch.Tensor:
    """With black and white in it, and larger than what is exposed at once."""
    torch.manual_seed(0)
    image = nn.functional.interpolate(torch.rand(1, 3, 6, 5), (300, 40), mode="bilinear")[0]
    image[:, :20, :20], image[:, -20:, -20:] = 0, 1
    return image


@pytest.mark.parametrize("wanted", [0.2, 0.5, 0.8])
def test_a_mean_grey_value(wanted: float) -> None:
    image = Brightness.of(str(wanted)).set(scene())
    assert mean_grey(image[None]).item() == pytest.approx(wanted, abs=0.02)
    assert image[:, :20, :20].eq(0).all()
    torch.testing.assert_close(image[:, -20:, -20:], torch.ones(3, 20, 20))


def test_stops_more_or_less() -> None:
    greys = [mean_grey(Brightness.of(text).set(scene())[None]).item() for text in ("-1EV", "auto", "+0.5EV", "2 ev")]
    assert greys == sorted(greys)
    assert len(set(greys)) == 4
    torch.testing.assert_close(Brightness.of("auto").set(scene()), scene(), rtol=0, atol=0)


@pytest.mark.parametrize("text", ["", "bright", "0", "1", "1.5", "-0.5", "+20EV", "EV", "nan"])
def test_others_are_told(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^brightness"):
        Brightness.of(text)
