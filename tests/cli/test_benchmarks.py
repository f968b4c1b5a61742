"""The benchmarks print their tables; what the times are is no matter of a test."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import Ended


def cells(out: str, name: str) -> list[str]:
    """The filled cells of the row of that name."""
    (line,) = [line for line in out.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("| ").split("|") if cell.strip()]


def test_a_step_of_the_unet(run_script: Callable[..., Ended]) -> None:
    ended = run_script("benchmarks/norm_steps.py", "--rounds", "1", "--norms", "bn", "--compile")
    assert ended.code == 0, ended.err
    assert all(float(ratio) > 0 for ratio in cells(ended.out, "bn")[1:])


def test_layers_beside_torchs(run_script: Callable[..., Ended]) -> None:
    words = ("--rounds", "1", "--norms", "bn", "bn_act", "gn", "ln", "hin", "--shape", "2", "16", "8", "8")
    ended = run_script("benchmarks/norm.py", *words)
    assert ended.code == 0, ended.err
    *_, operations, moved, kept, inference = cells(ended.out, "gn | fp32")
    assert int(operations) > 2
    assert float(moved) >= 32  # a value is read twice and written once forward, twice and written once backward
    assert float(kept) >= 0
    assert float(inference) > 0


def test_loading_beside_a_plain_data_set(run_script: Callable[..., Ended], pairs_root: Path) -> None:
    words = ("--rounds", "1", "--batches", "2", "--crop", "32", "--batch-size", "2", "--workers", "1")
    ended = run_script("benchmarks/loading_speed.py", pairs_root, *words)
    assert ended.code == 0, ended.err
    assert "8 pairs opened" in ended.out
    (ratio,) = [line.split()[3] for line in ended.out.splitlines() if line.startswith("ours / plain")]
    assert float(ratio.rstrip(",")) > 0


@pytest.mark.parametrize("norm", ["bn", "none"])
def test_a_profile_of_a_step(
    run_script: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, norm: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("model.width=8", "model.depth=1", "data.crop=16", "batch_size=2", f"norm={norm}")
    ended = run_script("benchmarks/profile_step.py", *words)
    assert ended.code == 0, ended.err
    names = ("data", "forward", "backward", "optimizer", "ema")
    shares = {name: float(cells(ended.out, name)[2].rstrip("%")) for name in (*names, "loss, in forward")}
    assert all(share > 0 for share in shares.values())
    assert shares["loss, in forward"] < shares["forward"]
    assert 80 < sum(shares[name] for name in names) < 100.5  # the rest: gradient clipping, Python
    assert "aten::convolution_backward" in ended.out
    assert ("_NormalizeBackward" in ended.out) == (norm == "bn")
    (trace,) = (tmp_path / "profiles").iterdir()
    assert trace.name.endswith(f"-{norm}-unet_tiny.pt.trace.json")
    events = json.loads(trace.read_text())["traceEvents"]
    assert {"step", "loss", *names, "aten::convolution"} <= {event.get("name") for event in events}
    assert not (tmp_path / "runs").exists()


def test_steps_under_several_settings(run_script: Callable[..., Ended]) -> None:
    common = ("model.width=8", "model.depth=1", "data.crop=16", "batch_size=2")
    ended = run_script("benchmarks/step_settings.py", "norm=bn", "norm=gn", "--rounds", "1", "--common", *common)
    assert ended.code == 0, ended.err
    assert cells(ended.out, "`norm=bn`")[2] == "1.00, 1.00 to 1.00"
    assert float(cells(ended.out, "`norm=gn`")[1]) > 0


def test_processes_beside_one(run_script: Callable[..., Ended]) -> None:
    words = ("model.width=8", "model.depth=1", "data.crop=32", "batch_size=2", "threads=1")
    ended = run_script("benchmarks/process_speed.py", *words, "--rounds", "1")
    assert ended.code == 0, ended.err
    assert "2 processes: " in ended.out
    assert "each works at " in ended.out


def test_real_photographs(run_script: Callable[..., Ended], make_run, pairs_root: Path, tmp_path: Path) -> None:
    run, root, sheet = make_run(), pairs_root / "our485", tmp_path / "sheet.png"
    words = ("--pairs", f"MINE={root}", "--bright", root / "high", "--dark", root / "low", "--out", sheet)
    ended = run_script("benchmarks/real_photos.py", run, *words, "--count", "3", "--device", "cpu")
    assert ended.code == 0, ended.err
    as_it_is, _ = cells(ended.out, "right: to itself")[1:]
    assert as_it_is == "inf"
    as_it_is, result = map(float, cells(ended.out, "MINE: grey")[1:])
    assert -1 < as_it_is < 0
    assert result != as_it_is
    assert [float(each) for each in cells(ended.out, "dark: burnt %")[1:]] >= [0, 0]
    assert sheet.is_file()
    ended = run_script("benchmarks/real_photos.py", run, "--pairs", "MINE")
    assert (ended.code, ended.err) == (
        2,
        "error: --pairs MINE: write NAME=DIR, a folder of pairs that are not parted yet\n",
    )
