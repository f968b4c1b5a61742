"""Tiles give what the whole image gives, without a seam, in bounded memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from enhance.cost.measure import peak_bytes
from enhance.errors import SettingsError
from enhance.inference.enhancer import Enhancer
from enhance.inference.tiles import cut, enhance_tiles, side_within
from enhance.models.build import build_model
from enhance.models.model import EnhancementModel
from enhance.run.checkpoint import Checkpoint, save
from enhance.settings.schema import ModelSettings, NormSettings, Settings

CPU = torch.device("cpu")
GIB = 0.0125  # too little for 700x800 px
NORMS = ("bn", "brn", "bn_act", "in", "hin", "gn", "ln", "frn", "none")


def trained(norm: NormSettings, **options) -> EnhancementModel:
    """A model whose weights and statistics are nowhere at their first values; plain, but for the options."""
    torch.manual_seed(0)
    plain = {"exposure": False, "brightened": False}
    model = build_model(ModelSettings(width=8, depth=2, **(plain | options)), norm)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.15)
        else:
            nn.init.uniform_(parameter, 0.2, 1)
    for _ in range(2):
        model(torch.rand(2, 3, 64, 64))
    return model.eval()


def two_halves(height: int, width: int) -> torch.Tensor:
    """Dark above and bright below, so that each tile's own statistics are far from the image's."""
    image = torch.rand(3, height, width) * 0.1
    image[:, height // 2 :] += 0.8
    return image


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_tiles_give_what_the_whole_image_gives(norm: str, context: bool) -> None:
    model = trained(NormSettings(norm, num_groups=4 if norm == "gn" else None), context=context)
    image = two_halves(203, 331)
    with torch.inference_mode():
        whole = model(image[None])[0]
        tiled = enhance_tiles(model, image, 216, CPU)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


def test_tiles_are_exposed_as_the_whole_is() -> None:
    model = trained(NormSettings("in"), exposed=True, context=True)
    image = 0.2 * two_halves(600, 700)
    with torch.inference_mode():
        whole, stops = model(image[None])[0], model.network.gain(image[None])
        tiled = enhance_tiles(model, image, 520, CPU)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)
    assert stops.abs().item() > 0.1


def test_the_exposure_of_tiles_is_that_of_the_whole() -> None:
    model = trained(NormSettings("in"), exposure=True, brightened=True)
    image = two_halves(600, 700)
    with torch.inference_mode():
        whole, detail = model(image[None])[0], model.network(image[None])[0]
        tiled = enhance_tiles(model, image, 520, CPU)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)
    assert (whole - detail.clamp(0, 1)).abs().max() > 0.01


@pytest.mark.parametrize("norm", ["bn", "in"])
def test_tiles_are_brightened_as_the_whole_is(norm: str) -> None:
    model = trained(NormSettings(norm), brightened=True)
    image = two_halves(203, 331)
    with torch.inference_mode():
        whole = model(image[None])[0]
        tiled = enhance_tiles(model, image, 216, CPU)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


def test_a_tile_by_itself_would_show() -> None:
    """The test above can fail: a part of the image alone comes out otherwise."""
    model = trained(NormSettings("in"))
    image = two_halves(192, 320)
    with torch.inference_mode():
        whole, part = model(image[None])[0], model(image[None, :, :96])[0]
    assert (whole[:, :16] - part[:, :16]).abs().max() > 0.1


@pytest.mark.parametrize(("height", "width"), [(16, 16), (400, 64), (960, 1200)])
def test_every_pixel_lies_in_one_tile(height: int, width: int) -> None:
    tiles = cut(height, width, side=300, reach=70, multiple=8)
    seen = torch.zeros(height, width)
    for tile in tiles:
        seen[tile.top : tile.bottom, tile.left : tile.right] += 1
        top, left, bottom, right = tile.outer
        assert bottom - top <= 300
        assert right - left <= 300
    assert (seen == 1).all()


@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_the_enhancer_takes_large_photographs_in_tiles(norm: str) -> None:
    model = trained(NormSettings(norm, num_groups=4 if norm == "gn" else None))
    image = two_halves(700, 800)
    whole, tiled = Enhancer(model, CPU), Enhancer(model, CPU, max_gib=GIB)
    assert tiled.side**2 < 700 * 800 < whole.side**2
    torch.testing.assert_close(tiled.enhance(image), whole.enhance(image), rtol=0, atol=1e-5)
    limits = [side_within(whole.model, mib / 1024, CPU) for mib in (50, 200)]
    assert limits[1] == pytest.approx(2 * limits[0], abs=1)
    taken = [peak_bytes(lambda each=each: each.enhance(image)) for each in (tiled, whole)]
    assert taken[0] < GIB * 2**30 + 3 * image.nbytes < taken[1]  # with the image padded, and the result


def test_too_little_memory_is_told() -> None:
    model = trained(NormSettings("bn"))
    with pytest.raises(SettingsError, match=r"--max-memory.*times as much"):
        Enhancer(model, CPU, max_gib=0.001).enhance(torch.rand(3, 600, 600))
    without = trained(NormSettings("bn", track_running_stats=False))
    with pytest.raises(SettingsError, match="track_running_stats"):
        Enhancer(without, CPU, max_gib=GIB).enhance(torch.rand(3, 700, 800))


@pytest.mark.slow
def test_24_megapixels_in_under_3_gib(tmp_path: Path) -> None:
    """The whole process, of a photograph that no tile divides, by a model like `unet_small`."""
    settings = Settings(model=ModelSettings(width=32), norm=NormSettings("bn"))
    save(Checkpoint(settings, 1, build_model(settings.model, settings.norm).state_dict(), {}), tmp_path / "a.pt")
    Image.effect_noise((6001, 4003), 20).convert("RGB").save(tmp_path / "a.jpg")
    script = Path(__file__).parents[2] / "scripts" / "enhance_photos.py"
    words = [sys.executable, script, tmp_path / "a.pt", tmp_path / "a.jpg", tmp_path / "out", "--device", "cpu"]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    assert float(ended.stdout.split("peak memory ")[1].split()[0]) < 3
    assert Image.open(tmp_path / "out" / "a.jpg").size == (6001, 4003)


@pytest.mark.parametrize("channels", [1, 4])
def test_of_other_channels_too(channels: int) -> None:
    torch.manual_seed(0)
    model = build_model(ModelSettings(channels=channels, width=4, depth=1, exposure=False), NormSettings("in"))
    nn.init.normal_(model.network.unet.output.weight, std=0.1)
    image = torch.rand(channels, 290, 310)
    with torch.inference_mode():
        torch.testing.assert_close(enhance_tiles(model.eval(), image, 240, CPU), model(image[None])[0])
