"""A curve that exposes a photograph anew, and how far."""

import pytest
import torch
from torch import nn

from enhance.models.brightness import mean_grey
from enhance.models.exposure import MOST_STOPS, expose, stops_to

STOPS = [-5.0, -1.0, 0.0, 1e-4, 0.5, 1.0, 4.0, 10.0]


def light(srgb: torch.Tensor) -> torch.Tensor:
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("stops", STOPS)
def test_black_and_white_stay_and_more_light_is_more(stops: float) -> None:
    ramp = torch.linspace(0, 1, 256).view(1, 1, 1, 256).expand(1, 3, 1, 256)
    exposed = expose(ramp, torch.full((1, 1, 1, 1), stops))
    torch.testing.assert_close(exposed[..., 0], torch.zeros(1, 3, 1))
    torch.testing.assert_close(exposed[..., -1], torch.ones(1, 3, 1))
    assert (exposed.diff() >= 0).all()
    if stops == 0:
        torch.testing.assert_close(exposed, ramp, rtol=0, atol=1e-3)
    else:
        assert (exposed >= ramp - 1e-3).all() if stops > 0 else (exposed <= ramp + 1e-3).all()


@pytest.mark.parametrize(("one", "other"), [(3.0, -3.0), (0.5, 1.5), (-2.0, 4.0)])
def test_exposures_add_up(one: float, other: float) -> None:
    image = torch.rand(1, 3, 8, 8)
    first, second = (torch.tensor(stops).view(1, 1, 1, 1) for stops in (one, other))
    both = expose(expose(image, first), second)
    torch.testing.assert_close(both, expose(image, first + second), rtol=0, atol=1e-4)


@pytest.mark.parametrize("stops", [3.0, 6.0, 9.0])
def test_shadows_become_as_much_lighter_as_the_stops_say(stops: float) -> None:
    shadow = torch.full((1, 3, 2, 2), 0.0005)
    gained = light(expose(shadow, torch.tensor(stops).view(1, 1, 1, 1))) / light(shadow)
    torch.testing.assert_close(gained.log2(), torch.full((1, 3, 2, 2), stops), rtol=0, atol=0.2)


def test_stops_differ_by_place() -> None:
    image = torch.rand(2, 3, 4, 6)
    stops = torch.linspace(-2, 6, 48).view(2, 1, 4, 6)
    exposed = expose(image, stops)
    for n, y, x in ((0, 0, 0), (1, 3, 5), (1, 0, 2)):
        alone = expose(image[n : n + 1, :, y : y + 1, x : x + 1], stops[n : n + 1, :, y : y + 1, x : x + 1])
        torch.testing.assert_close(exposed[n, :, y, x], alone[0, :, 0, 0])


def test_gradients_are_those_of_differences() -> None:
    image = torch.rand(1, 3, 3, 3, dtype=torch.float64).mul(0.9).add(0.05).requires_grad_()
    stops = torch.tensor([[[[1.5]]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(expose, (image, stops))


def test_gradients_are_finite_at_the_ends() -> None:
    image = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).requires_grad_()
    stops = torch.zeros(1, 1, 1, 1, requires_grad=True)
    expose(image, stops).sum().backward()
    for each in (image, stops):
        assert each.grad is not None
        assert each.grad.isfinite().all()


@pytest.mark.parametrize("wanted", [0.2, 0.45, 0.8])
def test_the_brightness_that_is_wanted_is_met(wanted: float) -> None:
    torch.manual_seed(0)
    images = nn.functional.interpolate(torch.rand(3, 3, 9, 13), (90, 130), mode="bilinear")
    images *= torch.tensor([0.02, 0.3, 1.0]).view(3, 1, 1, 1)
    exposed = expose(images, stops_to(images, wanted))
    torch.testing.assert_close(mean_grey(exposed).flatten(), torch.full((3,), wanted), rtol=0, atol=0.01)


def test_a_night_with_lamps_is_exposed_less_and_a_dark_scene_is_not() -> None:
    torch.manual_seed(0)
    scene = 0.02 * nn.functional.interpolate(torch.rand(2, 3, 9, 13), (96, 128), mode="bilinear")
    scene[0, :, 32:64, 30:90] = 0.6  # lit windows
    scene[0, :, :8] = 1.0  # white already: nothing is lost there
    plain, sparing = (stops_to(scene, 0.45, sparing=sparing) for sparing in (False, True))
    assert sparing[0] < plain[0] - 0.3
    torch.testing.assert_close(sparing[1], plain[1])
    burnt = [((scene < 0.9) & (expose(scene, stops) > 0.99)).float()[0].mean() for stops in (plain, sparing)]
    assert burnt[1] < burnt[0] / 2


def test_of_black_nothing_can_be_made() -> None:
    black = torch.zeros(1, 3, 64, 64)
    stops = stops_to(black, 0.45)
    assert stops.item() == pytest.approx(MOST_STOPS, abs=0.01)
    assert expose(black, stops).eq(0).all()
