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
from tests.processes import Ended

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


@pytest.fixture
def brisque(cache: Path) -> Path:
    """Random weights of BRISQUE."""
    random = torch.Generator().manual_seed(0)
    support = torch.rand(770, generator=random), torch.rand(770, 36, generator=random)
    torch.save(support, cache / "brisque_svm_weights.pt")
    return cache / "brisque_svm_weights.pt"


@pytest.fixture
def niqe(cache: Path) -> Path:
    """Weights of NIQE that rank nothing."""
    torch.save({"mu": torch.zeros(36), "cov": torch.eye(36)}, cache / "niqe_weights.pt")
    return cache / "niqe_weights.pt"


def test_damage_is_seen(run_script: Callable[..., Ended], photos: Path, cache: Path, brisque: Path) -> None:
    NIQE(weights_path=None, round_tensor=True).create_weights(Photographs(), save_path=str(cache / "niqe_weights.pt"))
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


def test_a_broken_photo_is_named_after_the_others(run_script: Callable[..., Ended], photos: Path, niqe: Path) -> None:
    (photos / "broken.png").write_bytes(b"no image")
    ended = run_script(SCRIPT, photos)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {photos / 'broken.png'}: ")
    assert "BRISQUE: " in ended.out  # its weights are missing, which keeps nobody from NIQE
    assert set(scores(ended)) >= {"clean.png", "blurred.png", "noisy.png", "small.png"}


def night(height: int, width: int, lit: int) -> np.ndarray:
    """Black but for `lit` squares of noise."""
    image = np.zeros((height, width, 3), np.uint8)
    for left in range(10, 10 + 100 * lit, 100):
        image[10:30, left : left + 20] = np.random.default_rng(0).integers(0, 256, (20, 20, 3))
    return image


@pytest.mark.parametrize(
    ("image", "measured"),
    [
        (night(200, 300, lit=0), [False, False]),
        (np.full((200, 300, 3), 128, np.uint8), [False, False]),
        (np.repeat([0, 255], 150)[None, :, None].repeat(200, 0).repeat(3, 2).astype(np.uint8), [False, False]),
        (night(200, 300, lit=1), [False, True]),  # detail in one patch alone, of which there is no covariance
        (night(200, 300, lit=2), [True, True]),
        (night(3, 3, lit=0), [False, False]),
        (np.random.default_rng(0).integers(0, 256, (1, 1, 3)).astype(np.uint8), [False, False]),
        (np.random.default_rng(0).integers(0, 256, (6, 300, 3)).astype(np.uint8), [False, False]),
        (np.random.default_rng(0).integers(0, 256, (300, 7, 3)).astype(np.uint8), [False, False]),
        (np.random.default_rng(0).integers(0, 256, (8, 300, 3)).astype(np.uint8), [False, True]),
    ],
    ids=["black", "grey", "halves", "one light", "two lights", "3x3", "1x1", "6x300", "300x7", "8x300"],
)
def test_where_there_is_nothing_to_measure_the_others_go_on(
    run_script: Callable[..., Ended], photos: Path, niqe: Path, brisque: Path, image: np.ndarray, measured: list[bool]
) -> None:
    Image.fromarray(image).save(photos / "a.png")
    ended = run_script(SCRIPT, photos)
    assert ended.code == 0, ended.err
    found = scores(ended)
    assert [value != "-" for value in found["a.png"]] == measured
    assert all(np.isfinite(float(value)) for value in found["a.png"] if value != "-")
    assert "-" not in found["clean.png"]
    assert ended.out.splitlines()[-1].startswith(f"mean of {photos}")
    assert "nan" not in ended.out


def test_a_score_that_is_no_number_is_not_told(
    run_script: Callable[..., Ended], photos: Path, niqe: Path, brisque: Path
) -> None:
    torch.save((torch.full((770,), torch.nan), torch.rand(770, 36)), brisque)
    ended = run_script(SCRIPT, photos)
    assert ended.code == 0, ended.err
    assert scores(ended)["clean.png"][1] == "-"
    assert ended.out.splitlines()[-1].split()[-1] == "-"


DAMAGES = {
    "a web page": lambda file: file.write_text("<!DOCTYPE html><html>Not found</html>"),
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:500]),
    "of another shape": lambda file: torch.save({"mu": torch.zeros(3), "cov": torch.eye(3)}, file),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_told_before_the_table(
    run_script: Callable[..., Ended], photos: Path, niqe: Path, brisque: Path, damage: str
) -> None:
    DAMAGES[damage](brisque)
    ended = run_script(SCRIPT, photos)
    assert ended.code == 0, ended.err
    told, header = ended.out.splitlines()[:2]
    assert told.startswith(f"BRISQUE: {brisque} does not hold its weights (")
    assert "delete it, and get it again from https://github.com/" in told
    assert header.split() == ["NIQE"]

    DAMAGES[damage](niqe)
    ended = run_script(SCRIPT, photos)
    assert ended.code == 2
    assert ended.out == ""
    first, second = ended.err.splitlines()
    assert first.startswith(f"error: NIQE: {niqe} does not hold its weights (")
    assert second == told
