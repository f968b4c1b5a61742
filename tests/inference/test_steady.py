"""What a model does to the frames of a video: brightness stays where the scene does."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from enhance.inference.brightness import Brightness
from enhance.inference.enhancer import Enhancer
from enhance.inference.steady import Steady
from enhance.models.brightness import mean_grey
from enhance.models.build import build_model
from enhance.models.exposure import expose, level
from enhance.models.model import EnhancementModel
from enhance.settings.schema import ModelSettings, NormSettings

CPU = torch.device("cpu")
FRAME = 1 / 25  # seconds
EXPOSED = {"exposed": True, "exposure": False, "brightened": False}
EXPOSURE = {"exposure": True, "brightened": True}
PLAIN = {"exposure": False, "brightened": False, "context": True}


def model_of(kind: dict[str, bool], std: float = 0.0) -> EnhancementModel:
    """Its U-Nets put out nothing, as first weights do, or a random little."""
    torch.manual_seed(0)
    model = build_model(ModelSettings(width=8, depth=1, **kind), NormSettings(name="gn"))
    for network in model.networks():
        torch.nn.init.normal_(network.unet.output.weight, std=std)
    return model.eval()


def scene(seed: int, brightest: float = 0.25, shift: int = 0) -> Tensor:
    """A smooth dark picture, (3, 72, 128), moved to the left."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 12, generator=generator) ** 3
    wide = torch.nn.functional.interpolate(coarse, (72, 160), mode="bilinear")[0] * brightest + 0.02
    return wide[:, :, shift : shift + 128]


def with_lamp(frame: Tensor) -> Tensor:
    lit = frame.clone()
    lit[:, 8:48, 80:124] = 0.95
    return lit


REST = (slice(None), slice(None), slice(0, 70))  # where no lamp is


def changes(frames: list[Tensor]) -> list[float]:
    """Relative change of the mean of the rest, from frame to frame."""
    means = [frame[REST].mean().item() for frame in frames]
    return [abs(after / before - 1) for before, after in itertools.pairwise(means)]


def test_level_is_where_exposure_adds() -> None:
    image, stops = torch.linspace(0.01, 0.97, 60).view(1, 3, 4, 5), torch.full((1, 1, 1, 1), 1.7)
    torch.testing.assert_close(level(expose(image, stops)), level(image) + 1.7, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", [EXPOSED, EXPOSURE, PLAIN], ids=["exposed", "exposure", "plain"])
@pytest.mark.parametrize("brightness", ["auto", "0.5"])
def test_a_lamp_is_no_cut_and_changes_the_rest_slowly(kind: dict[str, bool], brightness: str) -> None:
    model = model_of(kind, std=0.0005)
    dark = scene(0)
    frames = [dark] * 2 + [with_lamp(dark)] * 5 + [dark] * 3
    enhancer = Enhancer(model, CPU)
    wanted = Brightness.of(brightness)
    steady = Steady(enhancer, wanted)
    results = [steady(frame, FRAME) for frame in frames]
    assert max(changes(results)) < 0.02
    torch.testing.assert_close(results[0], enhancer.enhance(dark, wanted), atol=1e-4, rtol=0)


def test_a_lamp_that_makes_the_scene_bright_ends_enhancement_slowly() -> None:
    model, dark = model_of(EXPOSED), scene(1)
    lit = dark.clone()
    lit[:, :, 75:] = 0.9  # the photograph alone would stay as it is
    enhancer = Enhancer(model, CPU)
    assert mean_grey(lit[None]) > 0.35
    steady = Steady(enhancer)
    results = [steady(frame, FRAME) for frame in [dark] * 3 + [lit] * 150]
    assert max(changes(results)) < 0.02
    # After a while a frame is what the photograph would be.
    torch.testing.assert_close(results[-1], enhancer.enhance(lit), atol=0.02, rtol=0)


def test_a_cut_begins_anew() -> None:
    enhancer = Enhancer(model_of(EXPOSED), CPU)
    steady = Steady(enhancer)
    for frame in [scene(0)] * 3 + [with_lamp(scene(0))] * 2:
        steady(frame, FRAME)
    for other in (scene(5, brightest=0.6), scene(6, brightest=0.05), torch.zeros(3, 72, 128), scene(7)):
        torch.testing.assert_close(steady(other, FRAME), enhancer.enhance(other), atol=1e-4, rtol=0)


def test_a_fade_and_a_light_switched_on_are_followed_at_once() -> None:
    model = model_of(EXPOSED)
    steady, bright = Steady(Enhancer(model, CPU)), scene(2, brightest=0.3)
    fade = [expose(bright[None], torch.full((1, 1, 1, 1), -3 + step / 8))[0] for step in range(25)]
    greys = [mean_grey(steady(frame, FRAME)[None]).item() for frame in [fade[0], *fade, fade[0], fade[-1]]]
    assert all(grey == pytest.approx(0.45, abs=0.04) for grey in greys)


def test_the_camera_may_move() -> None:
    """What the model would set differs from frame to frame; the results differ less."""
    enhancer = Enhancer(model_of(EXPOSED), CPU)
    steady = Steady(enhancer)
    frames = [scene(3, shift=shift) for shift in range(30)]
    results = [steady(frame, FRAME) for frame in frames]
    for frame, result in zip(frames, results, strict=True):
        torch.testing.assert_close(result, enhancer.enhance(frame), atol=0.05, rtol=0)


@pytest.mark.parametrize("kind", [EXPOSED, EXPOSURE, PLAIN], ids=["exposed", "exposure", "plain"])
def test_noise_flickers_no_more_than_the_gain_makes_it(kind: dict[str, bool]) -> None:
    model, clean = model_of(kind, std=0.0), scene(4)
    generator = torch.Generator().manual_seed(0)
    steady, sigma = Steady(Enhancer(model, CPU)), 0.01
    noisy = [clean + sigma * torch.randn(clean.shape, generator=generator) for _ in range(16)]
    results = torch.stack([steady(frame.clamp(0, 1), FRAME) for frame in noisy])
    fixed = Steady(Enhancer(model, CPU))
    pattern = sigma * (-1) ** torch.arange(72 * 128).view(72, 128)  # which no mean sees
    slope = (fixed(clean + pattern, FRAME) - fixed(clean - pattern, FRAME)) / (2 * pattern)
    flicker = results.std(0).mean()
    assert flicker < 1.05 * (slope * torch.stack(noisy).clamp(0, 1).std(0)).mean()
    assert results.mean((1, 2, 3)).std() < 2e-3


def test_time_counts_and_not_frames() -> None:
    """A second after a lamp came, it is let in as far at 10 frames a second as at 50."""
    means = []
    for rate in (10, 50):
        steady = Steady(Enhancer(model_of(EXPOSED), CPU))
        for _ in range(3):
            steady(scene(0), 1 / rate)
        for _ in range(rate):
            result = steady(with_lamp(scene(0)), 1 / rate)
        means.append(result[REST].mean().item())
    assert math.isclose(*means, rel_tol=0.04)


def test_tiles_give_the_same_frames() -> None:
    model = model_of(EXPOSED | {"context": True}, std=0.02)
    frame = torch.nn.functional.interpolate(scene(0)[None], (400, 600), mode="bilinear")[0]
    whole, tiled = Steady(Enhancer(model, CPU)), Steady(Enhancer(model, CPU, max_gib=0.02))
    assert tiled.enhancer.side**2 < 400 * 600
    for step in (frame, frame * 1.5):
        torch.testing.assert_close(tiled(step, FRAME), whole(step, FRAME), atol=1e-4, rtol=0)
