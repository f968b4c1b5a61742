"""How a command ends."""

import sys
import tomllib
from pathlib import Path

import pytest

from enhance.errors import UserError, command_line, exit_on_user_error, extra
from tests.processes import ROOT


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [(UserError("x.png: mend it"), 2, "error: x.png: mend it\n"), (KeyboardInterrupt(), 130, "interrupted\n")],
)
def test_a_mistake_and_ctrl_c_end_without_a_traceback(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, told: str
) -> None:
    with pytest.raises(SystemExit) as ended, exit_on_user_error():
        raise error
    assert (ended.value.code, capsys.readouterr().err) == (code, told)


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), exit_on_user_error():
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("program", "called"),
    [
        ("train.py", "python train.py"),
        ("/home/me/scripts/demo.py", "python train.py"),
        ("/home/me/.venv/bin/enhance-evaluate", "enhance-train"),
    ],
)
def test_a_command_is_named_as_it_is_started_here(monkeypatch: pytest.MonkeyPatch, program: str, called: str) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    assert command_line("train") == called


def test_without_a_checkout_commands_are_those_of_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["mine.py"])
    monkeypatch.setattr("enhance.errors.__file__", str(tmp_path / "site-packages" / "enhance" / "errors.py"))
    assert command_line("evaluate") == "enhance-evaluate"


def test_an_extra_is_installed_from_the_checkout_or_for_the_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [extra(name) for name in ("photos", "demo", "onnx")] == [
        "pip install -e '.[photos]'",
        "pip install -e '.[demo]'",
        "pip install -e '.[onnx]'",
    ]
    assert {"photos", "demo", "onnx"} <= extras.keys()
    monkeypatch.setattr("enhance.errors.__file__", str(tmp_path / "site-packages" / "enhance" / "errors.py"))
    assert extra("photos") == "pip install 'enhance[photos]'"
