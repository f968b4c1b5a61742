"""Where results go, and what is refused before the first is written."""

import os
from pathlib import Path

import pytest
from PIL import Image

from enhance.errors import DataError, SettingsError
from enhance.inference.photos import pair_with_targets


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (20, 20)).save(folder / name)
    return folder


def test_a_folder_keeps_its_names(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert pair_with_targets(photos, out, overwrite=False) == [
        (photos / "a.png", out / "a.png"),
        (photos / "b.jpg", out / "b.jpg"),
    ]


def test_folders_within_are_kept_where_there_are_no_photographs_beside_them(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "days").mkdir()
    photos.rename(tmp_path / "days" / "monday")
    pairs = pair_with_targets(tmp_path / "days", tmp_path / "out", overwrite=False)
    assert [target for _, target in pairs] == [tmp_path / "out" / "monday" / name for name in ("a.png", "b.jpg")]


def test_one_photo_goes_into_a_folder_or_to_a_file_name(photos: Path, tmp_path: Path) -> None:
    photo = photos / "a.png"
    (tmp_path / "folder.png").mkdir()
    for out, target in (("new", "new/a.png"), ("bright.jpg", "bright.jpg"), ("folder.png", "folder.png/a.png")):
        assert pair_with_targets(photo, tmp_path / out, overwrite=False) == [(photo, tmp_path / target)]


def test_what_is_there_is_named_and_kept(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.jpg").write_text("mine")
    with pytest.raises(SettingsError, match=r"out/b\.jpg: already there.*--overwrite"):
        pair_with_targets(photos, out, overwrite=False)
    assert len(pair_with_targets(photos, out, overwrite=True)) == 2


def test_many_that_are_there_are_counted(tmp_path: Path) -> None:
    for folder in ("photos", "out"):
        (tmp_path / folder).mkdir()
        for index in range(8):
            Image.new("RGB", (20, 20)).save(tmp_path / folder / f"{index}.png")
    with pytest.raises(SettingsError, match=r"4\.png and 3 more: already there"):
        pair_with_targets(tmp_path / "photos", tmp_path / "out", overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_photograph_is_never_replaced_by_its_own_result(photos: Path, tmp_path: Path, overwrite: bool) -> None:
    with pytest.raises(DataError, match="would replace the photograph itself"):
        pair_with_targets(photos, photos, overwrite)
    os.symlink(photos, tmp_path / "link")
    with pytest.raises(DataError, match="would replace the photograph itself"):
        pair_with_targets(photos / "a.png", tmp_path / "link" / "a.png", overwrite)


def test_a_file_in_the_place_of_the_folder_is_told(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(SettingsError, match="out: a file, where the results need a folder"):
        pair_with_targets(photos, tmp_path / "out", overwrite=True)


def test_missing_photos_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such photograph, folder or run"):
        pair_with_targets(tmp_path / "nowhere", tmp_path / "out", overwrite=False)
