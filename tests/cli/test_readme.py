"""The Python of the README runs as written, but for the name of the run and the length of the training."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.processes import ROOT


def test_a_program_of_ones_own(make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((40, 30), 20).convert("RGB").save("dark.jpg")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for written, here in {"runs/RUN": str(run), "schedule.steps=500": "schedule.steps=2"}.items():
        assert written in code
        code = code.replace(written, here)
    names: dict[str, object] = {}
    exec(code, names)
    assert Image.open("bright.jpg").size == (40, 30)
    assert sorted(tmp_path.glob("runs/*-gn-*/checkpoints/last.pt"))
