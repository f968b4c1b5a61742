"""`scripts/score_photos.py`. The published weights are not at hand here: NIQE's are fitted to a few photographs, and
BRISQUE's are random, so that the one ranks photographs and the other shows that its file is read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from deepinv.loss.metric import NIQE
from PIL import Image, ImageFilter

from enhance.data.demo import training_photographs, validation_photographs
from tests.cli.conftest import Ended

SCRIPT = "scripts/score_photos.py"


class Photographs(torch.utils.data.Dataset):
    """float (3, H, W) in [0, 255]."""

    images = tuple(training_photographs().values())

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.images[index]).permute(2, 0, 1).float()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    clean = Image.fromarray(validation_photographs()["coffee-1"])
    clean.save(folder / "clean.png")
    clean.filter(ImageFilter.GaussianBlur(3)).save(folder / "blurred.png")
    noise = np.random.default_rng(0).normal(0, 30, np.asarray(clean).shape)
    Image.fromarray(np.clip(np.asarray(clean) + noise, 0, 255).astype(np.uint8)).save(folder / "noisy.png")
    clean.crop((0, 0, 120, 100)).save(folder / "small.png")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torch's cache, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def scores(ended: Ended) -> dict[str, list[str]]:
    lines = [line.split() for line in ended.out.splitlines()]
    return {Path(words[0]).name: words[1:] for words in lines if words[:1] != ["mean"]}


def test_damage_is_seen(run_script: Callable[..., Ended], photos: Path, cache: Path) -> None:
    NIQE(weights_path=None, round_tensor=True).create_weights(Photographs(), save_path=str(cache / "niqe_weights.pt"))
    random = torch.Generator().manual_seed(0)
    support = torch.rand(770, generator=random), torch.rand(770, 36, generator=random)
    torch.save(support, cache / "brisque_svm_weights.pt")
    ended = run_script(SCRIPT, photos)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0].split() == ["NIQE", "BRISQUE"]
    found = scores(ended)
    assert float(found["clean.png"][0]) < float(found["blurred.png"][0])
    assert float(found["clean.png"][0]) < float(found["noisy.png"][0])
    assert found["small.png"][0] == "-"
    assert all(np.isfinite(float(found[name][1])) for name in ("clean.png", "small.png"))
    mean = ended.out.splitlines()[-1].split()
    assert mean[:2] == ["mean", "of"]
    assert float(mean[3]) == pytest.approx(
        np.mean([float(found[f"{name}.png"][0]) for name in ("clean", "blurred", "noisy")]), abs=0.01
    )


def test_missing_weights_are_named(run_script: Callable[..., Ended], photos: Path, cache: Path) -> None:
    ended = run_script(SCRIPT, photos)
    assert ended.code == 2
    assert f"{cache / 'niqe_weights.pt'} is missing: get it from https://" in ended.err
    assert f"{cache / 'brisque_svm_weights.pt'} is missing" in ended.err
    assert list(cache.iterdir()) == []


def test_a_broken_photo_is_named_after_the_others(run_script: Callable[..., Ended], photos: Path, cache: Path) -> None:
    torch.save({"mu": torch.zeros(36), "cov": torch.eye(36)}, cache / "niqe_weights.pt")
    (photos / "broken.png").write_bytes(b"no image")
    ended = run_script(SCRIPT, photos)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {photos / 'broken.png'}: ")
    assert "BRISQUE: " in ended.out  # its weights are missing, which keeps nobody from NIQE
    assert set(scores(ended)) >= {"clean.png", "blurred.png", "noisy.png", "small.png"}
