"""LPIPS, where torch's cache holds AlexNet's weights. Those of the authors are not at hand: they are random here."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor

from enhance.evaluation.cached_weights import LPIPS, LPIPS_GT_MEAN, cached_file, lpips
from enhance.evaluation.protocols import PROTOCOLS
from tests.evaluation.test_protocols import CPU, Two, score_protocols


def test_missing_weights_are_named_and_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    protocols, remarks = score_protocols(Two())
    assert LPIPS not in protocols
    assert len(remarks) == 1
    assert str(tmp_path / "checkpoints" / "alexnet") in remarks[0]
    assert list(tmp_path.iterdir()) == []


def alexnet_file(folder: Path) -> Path:
    """Where torch's cache in `folder` keeps AlexNet."""
    name = torchvision.models.AlexNet_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1]
    return folder / "hub" / "checkpoints" / name


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of torch with untrained weights; those of the classifier, which LPIPS leaves aside, take no room."""
    folder = tmp_path_factory.mktemp("torch")
    alexnet_file(folder).parent.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = torchvision.models.alexnet().state_dict()
    for name, value in state.items():
        if name.startswith("classifier"):
            state[name] = torch.zeros(1).expand(value.shape)
    torch.save(state, alexnet_file(folder))
    return folder


def test_lpips_where_weights_are_at_hand(monkeypatch: pytest.MonkeyPatch, alexnet: Path) -> None:
    """With untrained weights: that the file is read, and that equal images have no distance."""
    monkeypatch.setenv("TORCH_HOME", str(alexnet))
    protocols, remarks = score_protocols(Two())
    assert remarks == []
    assert protocols[LPIPS]["lpips"].mean > 1e-4
    assert protocols[LPIPS]["lpips"].mean == np.mean(protocols[LPIPS]["lpips"].images)

    class Same(Two):
        factor = 1.0

        def whole(self, index: int) -> tuple[Tensor, Tensor]:
            _, target = super().whole(index)
            return target * self.factor, target

    equal, _ = score_protocols(Same())
    assert equal[LPIPS]["lpips"].images == pytest.approx([0, 0], abs=1e-6)

    Same.factor = 0.5
    darker, _ = score_protocols(Same())
    assert darker[LPIPS]["lpips"].mean > 1e-4
    assert darker[LPIPS_GT_MEAN]["lpips"].images == pytest.approx([0, 0], abs=1e-6)


def test_lpips_is_left_out_where_an_image_is_too_small(monkeypatch: pytest.MonkeyPatch, alexnet: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(alexnet))
    protocols, remarks = score_protocols(Two(31, 40))
    assert remarks == []
    assert len(protocols[LPIPS]["lpips"].images) == 2

    class SecondIsSmall(Two):
        def __init__(self) -> None:
            self.sizes = [(40, 31), (40, 30)]

        def whole(self, index: int) -> tuple[Tensor, Tensor]:
            return Two(40, 31 - index).whole(index)

    protocols, remarks = score_protocols(SecondIsSmall())
    assert remarks == ["LPIPS: left out: b is 30x40 px, and AlexNet needs 31 a side"]
    assert set(protocols) == set(PROTOCOLS)
    assert len(protocols["RGB"]["psnr"].images) == 2


@pytest.mark.parametrize("damage", ["a web page", "cut short", "of another model"])
def test_damaged_weights_are_named_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, alexnet: Path, damage: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = alexnet_file(tmp_path)
    file.parent.mkdir(parents=True)
    if damage == "a web page":
        file.write_text("<!DOCTYPE html><html>Not protocols</html>")
    elif damage == "cut short":
        file.write_bytes(alexnet_file(alexnet).read_bytes()[:100_000])
    else:
        torch.save({"weight": torch.zeros(3)}, file)
    protocols, (remark,) = score_protocols(Two())
    assert remark.startswith(f"LPIPS: {file} does not hold its weights (")
    assert "delete it, and get it again from https://download.pytorch.org/" in remark
    assert len(remark.splitlines()) == 1
    assert set(protocols) == set(PROTOCOLS)


def test_a_file_lies_where_torch_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / "weights.pt"
    assert cached_file("https://example.org/a/weights.pt?download=true") == place


def test_lpips_without_its_library(monkeypatch: pytest.MonkeyPatch, alexnet: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(alexnet))
    monkeypatch.setitem(sys.modules, "torchmetrics.image.lpip", None)
    measures, (remark,) = lpips(Two(), CPU)
    assert measures == {}
    assert remark.startswith("LPIPS: torchmetrics")
    assert remark.endswith(" is missing: pip install -e '.[scores]'")
