"""Hydra's own flags, wrongly used, end in a line; and where they stand among the assignments makes no difference."""

import subprocess
import sys
from pathlib import Path

import pytest

from enhance.settings import command
from enhance.settings.config import evaluation_from_config, from_config
from enhance.settings.schema import EvaluationSettings
from tests.processes import ROOT


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # so that it is put back
    monkeypatch.chdir(tmp_path)


def evaluate(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[EvaluationSettings]:
    """The settings that evaluate.py would get; none where the words only print."""
    got: list[EvaluationSettings] = []
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *words])
    command.run(lambda config: got.append(evaluation_from_config(config)), "evaluate")
    return got


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--config-name x", "no settings to begin with: leave out --config-name and"),
        ("--config-name", "argument --config-name/-cn: expected one argument"),
        ("--config-dir missing", "--config-dir missing: no such folder"),
        ("--config-path missing", "no settings to begin with: leave out --config-name and --config-path"),
        ("--package x", "--package is for what --cfg prints: give --cfg job too"),
        ("-p", "argument --package/-p: expected one argument"),
        ("--cfg job -p nope", "nope is no setting"),
        ("--info nonsense", "argument --info/-i: invalid choice: 'nonsense' (choose from 'all'"),
        ("--cfg nonsense", "argument --cfg/-c: invalid choice: 'nonsense' (choose from 'job'"),
        ("--resolve", "--resolve is for what --cfg prints: give --cfg job too"),
        ("--shell-completion", "--shell-completion takes one word: install=bash"),
        ("-sc install=foo", "--shell-completion takes one word: install=bash"),
        ("--experimental-rerun gone", "--experimental-rerun is not for this program"),
        ("--run --cfg job", "--run and --cfg do not go together"),
        ("--batch_size=4", "unrecognized arguments: --batch_size=4; settings are key=value, without dashes"),
    ],
)
def test_a_wrong_flag_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        evaluate(monkeypatch, *words.split())
    (line,) = capsys.readouterr().err.splitlines()
    assert (ended.value.code, line[: len(told) + 7]) == (2, f"error: {told}")


@pytest.mark.parametrize("words", ["--cfg job", "--cfg job --resolve", "--cfg hydra -p hydra.run"])
def test_a_right_flag_prints(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str) -> None:
    assert evaluate(monkeypatch, *words.split()) == []
    out, err = capsys.readouterr()
    assert (err, bool(out.strip())) == ("", True)


def test_a_flag_may_stand_between_assignments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(monkeypatch, "protocol=all", "--cfg", "job", "device=cpu")
    printed = capsys.readouterr().out.splitlines()
    assert {"protocol: all", "device: cpu"} <= set(printed)


def test_files_of_ones_own_join_those_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine" / "norm").mkdir(parents=True)
    (tmp_path / "mine" / "norm" / "few.yaml").write_text("name: gn\nnum_groups: 2\n")
    made = []
    monkeypatch.setattr(sys, "argv", ["train.py", "norm=few", "--config-dir", "mine", "batch_size=3"])
    command.run(lambda config: made.append(from_config(config)), "train")
    assert (made[0].norm.num_groups, made[0].batch_size) == (2, 3)


def test_an_empty_text_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As `$RUN` is, where it is not set."""
    for words in (("checkpoint=",), ("",), ("outputs=", "data=demo"), ("data=pairs", "data.root="), ("out=",)):
        with pytest.raises(SystemExit) as ended:
            evaluate(monkeypatch, *words)
        key = (words[-1] or "checkpoint=") if words[0] != "outputs=" else words[0]
        wanted = f"error: {key} is empty: give a value, or leave it out\n"
        assert (ended.value.code, capsys.readouterr().err) == (2, wanted)


@pytest.mark.parametrize("key", ["resume", "init_from", "data.root", "data.split", "runs", "sweep"])
def test_an_empty_text_is_told_before_training(key: str) -> None:
    with pytest.raises(Exception, match=rf"^{key}=.*(is empty: give a value|is no name for a folder)"):
        command.compose([f"{key}="])


def test_a_range_under_optimizing_python_is_told() -> None:
    """Hydra's grammar needs its assertions (github.com/facebookresearch/hydra, issue 2570)."""
    program = "from enhance.settings import command; command.run(print, 'train')"
    words = [sys.executable, "-O", "-c", program, "-m", "seed=range(0,2)"]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert "list the values, as seed=0,1, or unset PYTHONOPTIMIZE" in ended.stderr
