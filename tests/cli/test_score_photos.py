"""`scripts/score_photos.py`: NIQE and BRISQUE, with nothing but what the project brings."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from enhance.data.demo import validation_photographs
from tests.processes import Ended

SCRIPT = "scripts/score_photos.py"


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


def scores(ended: Ended) -> dict[str, list[str]]:
    lines = [line.split() for line in ended.out.splitlines()]
    return {Path(words[0]).name: words[1:] for words in lines if words[:1] != ["mean"]}


def test_damage_is_seen(
    run_script: Callable[..., Ended], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))  # empty: nothing of it is needed
    ended = run_script(SCRIPT, photos)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0].split() == ["NIQE", "BRISQUE"]
    found = scores(ended)
    for column in (0, 1):
        clean, blurred, noisy = (float(found[f"{name}.png"][column]) for name in ("clean", "blurred", "noisy"))
        assert clean < 0.7 * min(blurred, noisy)
    assert found["small.png"][0] == "-"
    assert all(np.isfinite(float(found[name][1])) for name in ("clean.png", "small.png"))
    mean = ended.out.splitlines()[-1].split()
    assert mean[:2] == ["mean", "of"]
    assert float(mean[3]) == pytest.approx(
        np.mean([float(found[f"{name}.png"][0]) for name in ("clean", "blurred", "noisy")]), abs=0.01
    )
    assert not (tmp_path / "torch").exists()


def test_a_broken_photo_is_named_after_the_others(run_script: Callable[..., Ended], photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"no image")
    ended = run_script(SCRIPT, photos)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {photos / 'broken.png'}: ")
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
    run_script: Callable[..., Ended], photos: Path, image: np.ndarray, measured: list[bool]
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
