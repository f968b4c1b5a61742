"""`pip install .` and no checkout: the wheel has all that its commands need."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.processes import ROOT, Ended

SMALL = ("model.width=8", "model.depth=1", "norm=gn", "schedule.steps=2", "data.crop=32", "device=cpu")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the wheel and its commands, and nothing else of the project; what they depend on is
    of this Python."""
    folder = tmp_path_factory.mktemp("wheel")
    source, wheels, site = folder / "source", folder / "wheels", folder / "site"
    source.mkdir()
    shutil.copytree(ROOT / "enhance", source / "enhance", ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ("--no-deps", "--no-build-isolation", "--no-cache-dir")
    subprocess.run([*pip, "wheel", *options, "--wheel-dir", wheels, source], check=True)
    (wheel,) = wheels.iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    return site


@pytest.fixture
def start(installed: Path, tmp_path: Path) -> Callable[..., Ended]:
    """Run one of its commands in an empty folder."""

    def run(command: str, *arguments: str) -> Ended:
        (script,) = (each for folder in ("bin", "Scripts") for each in (installed / folder).glob(f"{command}*"))
        environment = os.environ | {"PYTHONPATH": str(installed)}
        ended = subprocess.run([script, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.mark.slow
def test_the_commands_train_evaluate_and_enhance(start: Callable[..., Ended], tmp_path: Path) -> None:
    ended = start("enhance-train", *SMALL)
    assert ended.code == 0, ended.err
    (run,) = (tmp_path / "runs").iterdir()
    (begun,) = json.loads((run / "provenance.json").read_text())
    assert begun["git"] is None  # not that of the checkout, nor of what else the folder lies in
    ended = start("enhance-evaluate", "device=cpu")
    assert ended.code == 0, ended.err
    assert len(list(run.glob("evaluation-*/report.json"))) == 1
    Image.effect_noise((40, 30), 20).convert("RGB").save(tmp_path / "dark.png")
    ended = start("enhance-photos", str(run), "dark.png", "bright.png", "--device=cpu")
    assert ended.code == 0, ended.err
    assert Image.open(tmp_path / "bright.png").size == (40, 30)
    ended = start("enhance-photos", "dark.png", "--device=cpu")
    assert ended.code == 0, ended.err
    assert Image.open(tmp_path / "dark-enhanced.png").size == (40, 30)


@pytest.mark.slow
def test_mistakes_are_told_with_the_commands_that_are_there(start: Callable[..., Ended], tmp_path: Path) -> None:
    told = (
        "batch_size is no setting of enhance-evaluate: it is one of enhance-train; enhance-evaluate --help lists them"
    )
    assert start("enhance-evaluate", "batch_size=1").err == f"error: {told}\n"
    ended = start("enhance-evaluate")
    assert ended.code == 2
    assert "train first (enhance-train), or give" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_every_file_of_the_checkout_is_there(installed: Path) -> None:
    def files(root: Path) -> list[Path]:
        found = (path for path in (root / "enhance").rglob("*") if path.is_file() and path.parent.name != "__pycache__")
        return sorted(path.relative_to(root) for path in found)

    assert files(installed) == files(ROOT)
