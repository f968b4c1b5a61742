"""Run a command as a user does, on a small run of an untrained model."""

import json
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from enhance.models.build import build_model
from enhance.norm.recalibrate import running_statistics
from enhance.run.checkpoint import Checkpoint, save
from enhance.settings.schema import DataSettings, ModelSettings, NormSettings, Settings
from tests import small_data
from tests.processes import ROOT, Begun, Ended, begin_forked, begin_python

WRITTEN = {"report.json", "report.csv", "report.md", "contact_sheet.png"}  # by evaluate.py


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run a script of the repository with arguments, in this process: importing torch again takes seconds."""

    def run(script: str, *arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return run


@pytest.fixture
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Begun]]:
    """Begin a script of the repository in a process of its own, which the test's end ends: by `python`, as a user does,
    or by default forked, which takes a moment."""
    begun: list[Begun] = []

    def start(script: str, *arguments: str, python: bool = False) -> Begun:
        folder = tmp_path_factory.mktemp("begun")
        way = begin_python if python else begin_forked
        begun.append(way(script, arguments, folder / "out.txt", folder / "err.txt"))
        return begun[-1]

    yield start
    for each in begun:
        each.kill()


@pytest.fixture
def evaluate(run_script: Callable[..., Ended], tmp_path: Path) -> Callable[..., Ended]:
    """Run evaluate.py on the runs that `make_run` writes."""
    return lambda *arguments: run_script("evaluate.py", f"runs={tmp_path / 'runs'}", "device=cpu", *arguments)


def read_report(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


@pytest.fixture
def write_pairs() -> Callable[..., None]:
    return small_data.write_pairs


@pytest.fixture
def pairs_root(tmp_path: Path, write_pairs: Callable[..., None]) -> Path:
    """Eight pairs in LOL v1's layout, without its test part."""
    write_pairs(tmp_path / "pairs" / "our485", range(8))
    return tmp_path / "pairs"


@pytest.fixture
def make_run(tmp_path: Path, pairs_root: Path) -> Callable[..., Path]:
    """Write a run folder with the checkpoint of an untrained small U-Net."""

    def make(name: str = "first", norm: str = "bn", recalibrated: bool = True) -> Path:
        data = DataSettings(name="lol_v1", root=str(pairs_root), crop=32, validation_share=0.25)
        model_settings = ModelSettings(width=8, depth=1, exposure=False, brightened=False)
        settings = Settings(data=data, norm=NormSettings(name=norm), model=model_settings)
        settings.validation.recalibrate = recalibrated
        torch.manual_seed(0)
        model = build_model(settings.model, settings.norm)
        torch.nn.init.normal_(model.network.unet.output.weight, std=0.05)  # zero before training, which hides the norms
        folder = tmp_path / "runs" / name
        (folder / "checkpoints").mkdir(parents=True)
        checkpoint = Checkpoint(settings, 7, model.state_dict(), running_statistics(model))
        save(checkpoint, folder / "checkpoints" / "best.pt")
        return folder

    return make
