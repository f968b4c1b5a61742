"""`python scripts/export_onnx.py`: the file, its card, and what it refuses."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from enhance.inference.enhancer import Enhancer
from enhance.models.build import count_parameters
from enhance.run import checkpoint


@pytest.fixture
def export(run_script):
    return lambda *arguments: run_script("scripts/export_onnx.py", *arguments)


def test_the_file_gives_the_enhancers_image_and_the_card_says_what_it_is(export, make_run, tmp_path: Path) -> None:
    file = make_run() / "checkpoints" / "best.pt"
    saved = checkpoint.load(file)
    saved.validation = {"psnr": 19.5, "ssim": 0.875, "psnr_input": float("inf")}
    saved.settings.seed = 5
    checkpoint.save(saved, file)
    git = {"commit": "f" * 40, "dirty": True}
    (file.parents[1] / "provenance.json").write_text(json.dumps([{"resumed_at_step": 0, "git": git}]))
    out = tmp_path / "small.onnx"
    ended = export(file.parent.parent, out)
    assert ended.code == 0, ended.err
    first, second = ended.out.splitlines()
    assert first.startswith(f"{out}: differs from {file} by at most ")
    assert second.startswith("600x400 on the CPU: PyTorch ")

    enhancer = Enhancer.load(file, torch.device("cpu"))
    session = onnxruntime.InferenceSession(out)
    for size in ((17, 31), (41, 90)):
        image = torch.rand(3, *size)
        enhanced = torch.from_numpy(session.run(["enhanced"], {"image": image[None].numpy()})[0][0])
        torch.testing.assert_close(enhanced, enhancer.enhance(image), rtol=0, atol=1e-4)
        for stops in (1.5, -2):
            given = {"image": image[None].numpy(), "brightness": np.array([stops], np.float32)}
            brighter = torch.from_numpy(session.run(None, given)[0][0])
            torch.testing.assert_close(brighter, enhancer.enhance(image, f"{stops:+}EV"), rtol=0, atol=1e-4)

    card = json.loads(out.with_suffix(".json").read_text())
    assert card.pop("sha256") == hashlib.sha256(out.read_bytes()).hexdigest()
    assert card.pop("opset") == onnx.load(out).opset_import[0].version
    assert 0 <= card.pop("largest_difference_to_torch") < 1e-4
    time = card.pop("time")
    told = f"PyTorch {time.pop('torch_milliseconds'):.0f} ms, onnxruntime {time.pop('onnxruntime_milliseconds'):.0f} ms"
    assert told in second
    assert time == {"width": 600, "height": 400, "device": "cpu", "threads": torch.get_num_threads()}
    for side, name in (("input", "image"), ("output", "enhanced")):
        described = card.pop(side)
        assert described.pop("meaning")
        shape = ["batch", 3, "height", "width"]
        assert described == {"name": name, "type": "float32", "shape": shape, "range": [0, 1]}
    brightness = card.pop("brightness")
    assert brightness.pop("meaning")
    wanted = {"name": "brightness", "type": "float32", "shape": [1], "range": [-11, 11], "default": 0}
    assert brightness == wanted
    assert card == {
        "file": "small.onnx",
        "checkpoint": str(file),
        "step": 7,
        "seed": 5,
        "git": git,
        "model": saved.settings.model.name,
        "norm": "bn",
        "data": "lol_v1",
        "validation": {"psnr": 19.5, "ssim": 0.875, "psnr_input": None},
        "parameters": count_parameters(enhancer.model),
        "versions": {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__},
    }
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["small.json", "small.onnx"]


def test_a_file_of_one_size_in_float16_for_an_older_runtime(export, make_run, tmp_path: Path) -> None:
    out = tmp_path / "a.onnx"
    ended = export(make_run(), out, "--size", "40x30", "--opset", "18", "--fp16")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[1].startswith("40x30 on the CPU: ")
    card = json.loads(out.with_suffix(".json").read_text())
    assert (card["opset"], card["weights"], card["input"]["shape"]) == (18, "float16", [1, 3, 30, 40])
    assert (card["time"]["width"], card["time"]["height"]) == (40, 30)
    assert "brightness" not in card
    (image,) = onnxruntime.InferenceSession(out).get_inputs()
    assert (image.shape, image.type) == ([1, 3, 30, 40], "tensor(float)")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--size", "640", "--size 640: write WIDTHxHEIGHT, for example 640x480"),
        ("--size", "640x9", "--size 640x9 is too small: both sides are at least 16"),
        ("--opset", "17", "--opset 17: torch and onnx write 18 to "),
        ("--opset", "999", "--opset 999: torch and onnx write 18 to "),
    ],
)
def test_a_form_that_cannot_be_had_is_told(
    export, make_run, tmp_path: Path, option: str, value: str, told: str
) -> None:
    ended = export(make_run(), tmp_path / "a.onnx", option, value)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {told}")
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize("existing", ["a.onnx", "a.json"])
def test_what_is_there_is_kept_without_overwrite(export, make_run, tmp_path: Path, existing: str) -> None:
    run = make_run()
    (tmp_path / existing).write_text("mine")
    ended = export(run, tmp_path / "a.onnx")
    assert ended.code == 2
    assert f"{existing}: already there; give another OUT, or --overwrite" in ended.err
    assert (tmp_path / existing).read_text() == "mine"


def test_overwrite_replaces_both(export, make_run, tmp_path: Path) -> None:
    run, out = make_run(), tmp_path / "a.onnx"
    for name in ("a.onnx", "a.json"):
        (tmp_path / name).write_text("old")
    ended = export(run, out, "--overwrite")
    assert ended.code == 0, ended.err
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("out", "told"),
    [("no/a.onnx", "no/a.onnx: its folder is not there"), ("a.json", "a.json: not the name of an ONNX file; give")],
)
def test_a_place_that_does_not_do_is_told(export, make_run, tmp_path: Path, out: str, told: str) -> None:
    ended = export(make_run(), tmp_path / out)
    assert ended.code == 2
    assert told in ended.err
    assert not (tmp_path / out).exists()


@pytest.mark.parametrize("out", [".", "", "..", "/"])
def test_a_folder_for_the_file_is_told_with_a_name_in_it(
    export, make_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    run = make_run()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    ended = export(run, out)
    assert ended.code == 2
    told = f"{Path(out)}: not the name of an ONNX file; give for example {Path(out) / 'model.onnx'}"
    assert ended.err == f"error: {told}\n"
    assert list((tmp_path / "here").iterdir()) == []


def test_a_missing_run_is_told(export, tmp_path: Path) -> None:
    ended = export(tmp_path / "nowhere", tmp_path / "a.onnx")
    assert ended.code == 2
    assert "nowhere: no such file or folder" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_told_with_the_command(
    export, make_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as Python sees a package that is not installed
    ended = export(make_run(), tmp_path / "a.onnx")
    assert ended.code == 2
    assert ended.err == f"error: an ONNX file needs {package}: pip install -e '.[onnx]'\n"
