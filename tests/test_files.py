"""Files are replaced whole, or not at all."""

from pathlib import Path

import pytest

from enhance.files import replacing


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
