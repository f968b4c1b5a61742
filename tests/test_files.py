"""Files are replaced whole, or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from enhance import files
from enhance.files import Lock, replacing


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    file, previous = tmp_path / "a.txt", tmp_path / "b.txt"
    for number in range(3):
        with replacing(file, previous) as temporary:
            temporary.write_text(str(number))
            assert not file.exists() or file.read_text() == str(number - 1)
    assert (file.read_text(), previous.read_text()) == ("2", "1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(file, tmp_path / "b.txt") as temporary:
        temporary.write_text(str(1 / 0))
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.fixture
def warned_anew() -> None:
    """Of what a process says once."""
    files._say_once.cache_clear()


@pytest.mark.skipif(os.name == "nt", reason="Windows syncs no folder")
@pytest.mark.usefixtures("warned_anew")
@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_folder_that_cannot_be_synced_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    _fail_to_sync_folders(monkeypatch, code)
    for text in ("one", "two"):
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text(text)
        assert (tmp_path / "a.txt").read_text() == text
    told = "warning: a file system here cannot sync a folder: files that were just written may be lost with the power\n"
    assert capsys.readouterr().err == told


@pytest.mark.skipif(os.name == "nt", reason="Windows syncs no folder")
def test_a_folder_that_fails_to_sync_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_to_sync_folders(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("one")


def _fail_to_sync_folders(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    fsync = os.fsync

    def fail(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.skipif(os.name == "nt", reason="Windows locks in another way")
@pytest.mark.usefixtures("warned_anew")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_that_cannot_be_locked_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    import fcntl

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", fail)
    for _ in range(2):
        with Lock(tmp_path / ".lock", timeout=0) as lock:
            assert not lock.is_locked
    told = "warning: a file system here cannot lock: let no two processes write the same run, study or cache\n"
    assert capsys.readouterr().err == told
