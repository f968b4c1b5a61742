"""The enhancer takes any size and gives what the U-Net gives, in [0, 1]."""

from pathlib import Path

import pytest
import torch

from enhance.inference.enhancer import Enhancer
from enhance.models.build import build_model
from enhance.models.model import EnhancementModel
from enhance.norm.recalibrate import running_statistics
from enhance.run.checkpoint import Checkpoint, save
from enhance.settings.schema import ModelSettings, NormSettings, Settings

CPU = torch.device("cpu")


def random_unet(settings: Settings) -> EnhancementModel:
    """The output convolution of a new U-Net is zero, which would hide everything before it."""
    torch.manual_seed(0)
    model = build_model(settings.model, settings.norm)
    torch.nn.init.normal_(model.network.unet.output.weight, std=0.5)
    return model


@pytest.fixture
def settings() -> Settings:
    return Settings(model=ModelSettings(width=8, depth=2), norm=NormSettings(name="bn"))


@pytest.mark.parametrize("size", [(17, 31), (16, 16), (64, 48), (5, 40), (40, 3), (1, 1)])
def test_any_size_comes_back_in_its_size_and_in_range(settings: Settings, size: tuple[int, int]) -> None:
    enhanced = Enhancer(random_unet(settings), CPU).enhance(torch.rand(3, *size))
    assert enhanced.shape == (3, *size)
    assert enhanced.min() >= 0
    assert enhanced.max() <= 1


def test_the_result_is_the_model_in_evaluation_mode_clamped(settings: Settings) -> None:
    settings.model.exposure = False  # else the output is not below 0
    model = random_unet(settings)
    image = torch.rand(3, 24, 40)
    enhanced = Enhancer(model, CPU).enhance(image)
    with torch.no_grad():
        output = model.eval()(image[None])[0]
    assert output.min() < 0 < 1 < output.max()
    torch.testing.assert_close(enhanced, output.clamp(0, 1))


def test_load_gives_the_saved_model(settings: Settings, tmp_path: Path) -> None:
    model = random_unet(settings)
    save(Checkpoint(settings, 1, model.state_dict(), running_statistics(model)), tmp_path / "a.pt")
    image = torch.rand(3, 20, 20)
    loaded = Enhancer.load(tmp_path / "a.pt", CPU)
    assert torch.equal(loaded.enhance(image), Enhancer(model, CPU).enhance(image))
