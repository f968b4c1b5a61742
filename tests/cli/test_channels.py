"""`model.channels=1` and 4, as a user goes: train, evaluate, enhance, export; and what fits no such model."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from enhance.inference import Enhancer
from enhance.run import checkpoint
from tests.cli.conftest import read_report
from tests.processes import Ended
from tests.small_data import SMALL, draw_scene

Run = Callable[..., Ended]


def picture(seed: int, channels: int) -> Image.Image:
    """Of four channels the last one is another scene, and 0 in a corner: what alpha would hide."""
    scene = draw_scene(seed)
    if channels == 4:
        fourth = draw_scene(1000 + seed)[..., :1].copy()
        fourth[:8, :8] = 0
        scene = np.concatenate((scene, fourth), 2)
    return Image.fromarray(scene)


@pytest.fixture
def pairs(tmp_path: Path) -> Callable[[int], Path]:
    def write(channels: int) -> Path:
        root = tmp_path / f"pairs{channels}"
        for part, divisor in (("low", 5), ("high", 1)):
            (root / "our485" / part).mkdir(parents=True)
            for seed in range(8):
                pixels = np.asarray(picture(seed, channels)) // divisor
                Image.fromarray(pixels).save(root / "our485" / part / f"{seed}.png")
        return root

    return write


@pytest.fixture
def train(run_script: Run, tmp_path: Path) -> Run:
    def run(*words: str) -> Ended:
        steps = ("schedule.steps=2", "model.exposure=true", "device=cpu", "threads=1", f"runs={tmp_path / 'runs'}")
        return run_script("train.py", *SMALL, *steps, *words)

    return run


def as_channels(file: Path, channels: int) -> np.ndarray:
    """The file in [0, 1] by Pillow, (H, W, C)."""
    with Image.open(file) as image:
        return (
            np.asarray(image.convert({1: "L", 4: "RGBA"}[channels]), float).reshape(*image.size[::-1], channels) / 255
        )


@pytest.mark.parametrize("channels", [1, 4])
def test_a_run_from_training_to_onnx(
    train: Run, run_script: Run, pairs: Callable[[int], Path], tmp_path: Path, channels: int
) -> None:
    root = pairs(4 if channels == 4 else 3)
    cache = f"data.cache={tmp_path / 'cache'}"
    ended = train(f"model.channels={channels}", f"data.root={root}", cache, "name=mine", "model.exposure=false")
    assert ended.code == 0, ended.err
    (run,) = (tmp_path / "runs").iterdir()

    out = tmp_path / "report"
    ended = run_script("evaluate.py", f"checkpoint={run}", "protocol=all", "device=cpu", f"out={out}")
    assert ended.code == 0, ended.err
    assert f"AlexNet needs 3 channels, and these images have {channels}" in ended.out
    report = read_report(out)
    assert len(report["scores"]) == 2
    for image in report["scores"]:
        low, high = (as_channels(root / "our485" / part / f"{image['name']}.png", channels) for part in ("low", "high"))
        assert image["psnr_input"] == pytest.approx(-10 * math.log10(np.mean((low - high) ** 2)), abs=1e-3)
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.mode == "RGB"

    dark = root / "our485" / "low" / "0.png"
    for strength in ("0", "1"):
        result = tmp_path / f"{strength}.png"
        ended = run_script("scripts/enhance_photos.py", run, dark, result, "--strength", strength, "--device", "cpu")
        assert ended.code == 0, ended.err
        with Image.open(result) as image:
            assert image.mode == {1: "L", 4: "RGBA"}[channels]
    np.testing.assert_array_equal(as_channels(tmp_path / "0.png", channels), as_channels(dark, channels))

    ended = run_script("scripts/export_onnx.py", run, tmp_path / "model.onnx")
    assert ended.code == 0, ended.err
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["input"]["shape"] == card["output"]["shape"] == ["batch", channels, "height", "width"]
    enhancer = Enhancer.load(run, "cpu")
    image = torch.from_numpy(as_channels(dark, channels)).float().permute(2, 0, 1)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (enhanced,) = session.run(["enhanced"], {"image": image[None].numpy()})
    torch.testing.assert_close(torch.from_numpy(enhanced[0]), enhancer.enhance(image), rtol=0, atol=1e-4)
    written = torch.from_numpy(as_channels(tmp_path / "1.png", channels)).float().permute(2, 0, 1)
    torch.testing.assert_close(written, enhancer.enhance(image), rtol=0, atol=0.51 / 255)


def test_what_has_not_four_is_named_with_the_cure(
    train: Run, run_script: Run, pairs: Callable[[int], Path], tmp_path: Path
) -> None:
    ended = train("model.channels=4", f"data.root={pairs(3)}")
    assert ended.code == 2
    assert "0.png: its channels are RGB, and model.channels=4 takes RGB and a fourth" in ended.err
    assert "model.channels=3" in ended.err
    assert not (tmp_path / "runs").exists()
    ended = train("model.channels=4", "data=demo")
    assert ended.code == 2
    assert "data=demo has three" in ended.err

    assert train("model.channels=4", f"data.root={pairs(4)}", "name=four").code == 0
    (run,) = (tmp_path / "runs").iterdir()
    picture(0, 3).save(tmp_path / "three.jpg")
    ended = run_script("scripts/enhance_photos.py", run, tmp_path / "three.jpg", tmp_path / "out", "--device", "cpu")
    assert ended.code == 2
    assert f"{tmp_path / 'three.jpg'}: its channels are RGB" in ended.err
    picture(0, 4).save(tmp_path / "four.png")
    ended = run_script("scripts/enhance_photos.py", run, tmp_path / "four.png", tmp_path / "a.jpg", "--device", "cpu")
    assert ended.code == 2
    assert "a.jpg: JPEG does not keep four channels" in ended.err
    assert not (tmp_path / "a.jpg").exists()


def test_photographs_are_dimmed_in_colour_and_learned_in_grey(train: Run, pairs: Callable[[int], Path]) -> None:
    """And the weights of a run of other channels begin one, but for what sees and makes the channels."""
    root = pairs(3)
    assert train("data=photos", f"data.root={root / 'our485' / 'high'}", "name=rgb").code == 0
    words = ("data=photos", f"data.root={root / 'our485' / 'high'}", "model.channels=1", "name=grey")
    runs = root.parent / "runs"
    (rgb,) = runs.iterdir()
    ended = train(*words, f"init_from={rgb}")
    assert ended.code == 0, ended.err
    (fit,) = [line for line in ended.out.splitlines() if line.startswith("do not fit, left out")]
    for name in ("network.unet.entry.0.weight", "network.unet.output.weight", "exposure.unet.entry.0.weight"):
        assert name in fit
    (grey,) = set(runs.iterdir()) - {rgb}
    saved = checkpoint.load(grey / checkpoint.BEST)
    assert saved.model["network.unet.output.weight"].shape[0] == 2**2  # one channel of a square of four pixels


def test_runs_of_other_channels_are_not_compared(
    train: Run, run_script: Run, pairs: Callable[[int], Path], tmp_path: Path
) -> None:
    root = pairs(3)
    for channels in (1, 3):
        assert train(f"model.channels={channels}", f"data.root={root}", f"name={channels}").code == 0
    runs = sorted((tmp_path / "runs").iterdir())
    compare = ("scripts/compare_checkpoints.py", *runs, "--device", "cpu")
    side_by_side = ("scripts/side_by_side.py", *runs, "--out", tmp_path / "a.png", "--device", "cpu")
    for command in (compare, side_by_side):
        ended = run_script(*command)
        assert ended.code == 2
        assert "model.channels: 1 and 3" in ended.err
    outputs = root / "our485" / "high"  # another method's, read as grey as the run's images are
    grey = [run for run in runs if checkpoint.load(run / checkpoint.BEST).settings.model.channels == 1]
    ended = run_script("scripts/compare_checkpoints.py", *grey, outputs, "--device", "cpu")
    assert ended.code == 0, ended.err
    assert "B     inf" in ended.out
