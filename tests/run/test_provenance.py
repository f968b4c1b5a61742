"""Where a run comes from: what is noted, and what is known of the code with a repository and without one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from enhance.run.provenance import PACKAGES, git_state, provenance
from enhance.settings.schema import Settings


def test_what_is_noted_can_be_written_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "seed=7", "norm=gn"])
    noted = provenance(Settings(seed=7), torch.device("cpu"))
    assert json.loads(json.dumps(noted)) == noted
    assert noted["command"][1:] == ["train.py", "seed=7", "norm=gn"]
    assert (noted["seed"], noted["device"], noted["device_name"]) == (7, "cpu", "cpu")
    assert noted["packages"].keys() == {*PACKAGES}
    assert noted["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert noted["started"][-6] in "+-"  # the offset of the time zone


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the code, no repository yet."""
    (tmp_path / "code.py").touch()
    monkeypatch.setattr("enhance.run.provenance.__file__", str(tmp_path / "code.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.check_output(["git", *identity, *arguments], cwd=folder, text=True).strip()


def test_the_commit_and_changes_since_are_known(repository: Path) -> None:
    assert git_state() is None
    git(repository, "init", "--quiet")
    assert git_state() is None  # without a commit
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message=first")
    assert git_state() == {"commit": git(repository, "rev-parse", "HEAD"), "dirty": False}
    (repository / "code.py").write_text("changed")
    assert git_state() == {"commit": git(repository, "rev-parse", "HEAD"), "dirty": True}


def test_a_repository_of_other_code_is_not_named(repository: Path) -> None:
    """As where the environment with the package lies in a repository of the user's."""
    (repository / "theirs.py").touch()
    git(repository, "init", "--quiet")
    git(repository, "add", "theirs.py")
    git(repository, "commit", "--quiet", "--message=theirs")
    assert git_state() is None


def test_without_git_nothing_is_known(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert git_state() is None
