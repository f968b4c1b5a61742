"""Overall brightness: the mean grey value, and an image brought to another one."""

import numpy as np
import pytest
import torch
from PIL import Image

from enhance.models.brightness import at_brightness, factor_to, mean_grey

BLACK_AND_LIT = torch.stack([torch.zeros(3, 8, 12), torch.full((3, 8, 12), 0.25)])


@pytest.mark.parametrize(("colour", "grey"), [((255, 0, 0), 0.299), ((0, 255, 0), 0.587), ((0, 0, 255), 0.114)])
def test_the_weights_of_red_green_and_blue(colour: tuple[int, int, int], grey: float) -> None:
    half = Image.new("RGB", (4, 6))
    half.paste(colour, (0, 0, 4, 3))
    image = torch.from_numpy(np.array(half)).permute(2, 0, 1)[None] / 255
    assert mean_grey(image).item() == pytest.approx(grey / 2)


def test_each_image_has_its_own() -> None:
    images = torch.rand(3, 3, 20, 24)
    greys = mean_grey(images)
    assert greys.shape == (3, 1, 1, 1)
    for image, grey in zip(images, greys, strict=True):
        pillow = Image.fromarray((255 * image).byte().permute(1, 2, 0).numpy()).convert("L")
        assert grey.item() == pytest.approx(np.asarray(pillow).mean() / 255, abs=2 / 255)  # which rounds down, twice


def test_one_channel_is_its_own_grey_and_a_fourth_does_not_count() -> None:
    image = torch.rand(2, 4, 20, 24)
    torch.testing.assert_close(mean_grey(image[:, :1]), image[:, :1].mean((2, 3), keepdim=True))
    assert torch.equal(mean_grey(image), mean_grey(image[:, :3]))
    grey = image[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(mean_grey(grey), mean_grey(image[:, :1]))


def test_an_image_comes_to_the_brightness_and_keeps_its_colours() -> None:
    images = 0.8 * torch.rand(2, 3, 20, 24)
    before = images.clone()
    wanted = torch.tensor([0.1, 0.9]).view(2, 1, 1, 1)
    output = at_brightness(images, wanted)
    torch.testing.assert_close(mean_grey(output), wanted)
    assert output[1].max() > 1  # not clamped, or it would be darker
    ratio = output / images
    torch.testing.assert_close(ratio, ratio[:, :1, :1, :1].expand_as(ratio))
    assert torch.equal(images, before)


def test_what_cannot_be_shown_does_not_count() -> None:
    image = torch.rand(1, 3, 20, 24)
    beyond = torch.where(image > 0.9, image + 5, torch.where(image < 0.1, image - 5, image))
    wanted = torch.full((1, 1, 1, 1), 0.3)
    torch.testing.assert_close(at_brightness(beyond, wanted), at_brightness(beyond.clamp(0, 1), wanted))
    torch.testing.assert_close(mean_grey(at_brightness(beyond, wanted)), wanted)


def test_black_stays_black_and_the_others_are_scaled() -> None:
    wanted = torch.full((2, 1, 1, 1), 0.5)
    assert factor_to(BLACK_AND_LIT, wanted).flatten().tolist() == pytest.approx([1, 2])
    assert factor_to(BLACK_AND_LIT, 0.5).flatten().tolist() == pytest.approx([1, 2])
    black, lit = at_brightness(BLACK_AND_LIT, wanted)
    assert black.eq(0).all()
    torch.testing.assert_close(lit, torch.full_like(lit, 0.5))


def test_black_has_a_finite_gradient() -> None:
    """A dark crop may be black everywhere, and its step is one like others."""
    images = BLACK_AND_LIT.clone().requires_grad_()
    (images * factor_to(images, torch.full((2, 1, 1, 1), 0.5))).square().sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert images.grad[0].eq(0).all()
