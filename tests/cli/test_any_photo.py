"""The weights in the box stand wherever a run does, and a run becomes such a file."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from enhance.inference import Enhancer
from tests.cli.conftest import read_report
from tests.processes import Ended

Run = Callable[..., Ended]


@pytest.fixture
def inside(run_script: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a script in a folder of the user's."""
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    return run_script


@pytest.mark.parametrize("name", ["any_photo", "any_photo_small"])
def test_it_is_scored(inside: Run, pairs_root: Path, name: str) -> None:
    ended = inside("evaluate.py", f"checkpoint={name}", "data=lol_v1", f"data.root={pairs_root}", "device=cpu")
    assert ended.code == 0, ended.err
    (folder,) = Path().iterdir()
    assert folder.name == f"{name}-evaluation-lol_v1-all"
    report = read_report(folder)
    assert report["mean"]["psnr"] > report["mean"]["psnr_input"]


def test_without_data_it_is_asked_for_some(inside: Run) -> None:
    ended = inside("evaluate.py", "checkpoint=any_photo")
    assert (ended.code, "data.root is missing" in ended.err) == (2, True)


def test_a_run_begins_with_it(inside: Run, pairs_root: Path) -> None:
    words = ("model=unet_exposed", "norm=bn", "data=lol_v1", f"data.root={pairs_root}", "data.crop=32", "batch_size=2")
    ended = inside("train.py", "init_from=any_photo", *words, "schedule.steps=1", "device=cpu")
    assert ended.code == 0, ended.err
    assert "any_photo.safetensors: begins with the averaged weights" in ended.out
    assert "do not fit" not in ended.out


def test_it_is_exported(inside: Run) -> None:
    ended = inside("scripts/export_onnx.py", "photo.onnx", "--size", "64x48")
    assert ended.code == 0, ended.err
    assert Path("photo.onnx").stat().st_size > 1e6


def test_a_run_is_packed_and_stands_for_itself(inside: Run, make_run: Callable[..., Path]) -> None:
    run, image = make_run(), 0.4 + torch.rand(3, 40, 50) / 5  # far from black and white
    words = ("scripts/pack_weights.py", run, "mine.safetensors")
    ended = inside(*words)
    assert ended.code == 0, ended.err
    assert "mine.safetensors: 0.0" in ended.out
    packed = Enhancer.load("mine.safetensors", "cpu")
    torch.testing.assert_close(packed.enhance(image), Enhancer.load(run, "cpu").enhance(image), rtol=0, atol=1e-3)
    assert str(run) not in Path("mine.safetensors").read_bytes().decode("latin1")
    ended = inside(*words)
    assert (ended.code, "mine.safetensors: already there" in ended.err) == (2, True)
    assert inside(*words, "--overwrite", "--change", "0.5").code == 0
    half = Enhancer.load("mine.safetensors", "cpu").enhance(image)
    torch.testing.assert_close(half, (image + packed.enhance(image)) / 2, rtol=0, atol=0.01)
    ended = inside(*words, "--overwrite", "--change", "1.5")
    assert (ended.code, "--change 1.5 is out of range" in ended.err) == (2, True)
    ended = inside("scripts/pack_weights.py", run, "mine.bin")
    assert (ended.code, "mine.bin: give a name that ends in .safetensors" in ended.err) == (2, True)
