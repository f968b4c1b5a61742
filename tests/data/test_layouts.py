"""Pairs are found in every layout, matched by name, and what does not match is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from enhance.data.layouts import find_pairs
from enhance.data.matching import match_pairs
from enhance.errors import DataError
from enhance.settings.schema import DataSettings

WriteFolder = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "low", "normal", "test_low"),
    [
        ("lol_v1", "our485/low", "our485/high", "eval15/low"),
        ("lol_v1", "Train/input", "Train/target", "Test/input"),
        ("lol_v2_real", "Train/Low", "Train/Normal", "Test/Low"),
        ("lol_v2_real", "Real_captured/Train/Low", "Real_captured/Train/Normal", "Real_captured/Test/Low"),
        ("lol_v2_synthetic", "Synthetic/Train/Low", "Synthetic/Train/Normal", "Synthetic/Test/Low"),
        ("pairs", "Train/input", "Train/target", "Test/input"),
        ("pairs", "our485/low", "our485/high", "eval15/low"),
        ("pairs", "low", "normal", None),
        ("pairs", "low", "high", None),
    ],
)
def test_layouts(
    write_folder: WriteFolder, tmp_path: Path, name: str, low: str, normal: str, test_low: str | None
) -> None:
    write_folder(f"set/{low}", ["a.png", "b.png"])
    write_folder(f"set/{normal}", ["b.png", "a.png"])
    data = DataSettings(name=name, root=str(tmp_path / "set"))
    pairs = find_pairs(data, "train")
    assert pairs is not None
    assert [pair.name for pair in pairs] == ["a", "b"]
    assert pairs[0].normal == tmp_path / "set" / normal / "a.png"
    assert find_pairs(data, "test") is None
    if test_low is not None:
        write_folder(f"set/{test_low}", ["t.png"])
        write_folder(f"set/{test_low}".replace(low.split("/")[-1], normal.split("/")[-1]), ["t.png"])
        test = find_pairs(data, "test")
        assert test is not None
        assert [pair.name for pair in test] == ["t"]


def test_the_two_parts_of_lol_v2_below_one_root(write_folder: WriteFolder, tmp_path: Path) -> None:
    for part in ("Real_captured", "Synthetic"):
        write_folder(f"{part}/Train/Low", [f"{part}.png"])
        write_folder(f"{part}/Train/Normal", [f"{part}.png"])
    for name, part in (("lol_v2_real", "Real_captured"), ("lol_v2_synthetic", "Synthetic")):
        pairs = find_pairs(DataSettings(name=name, root=str(tmp_path)), "train")
        assert [pair.name for pair in pairs or []] == [part]


def test_two_folders(write_folder: WriteFolder, tmp_path: Path) -> None:
    dark, bright = write_folder("x/dark", ["1.png"]), write_folder("y/bright", ["1.jpg"])
    data = DataSettings(name="pairs", low=str(dark), normal=str(bright))
    inside = DataSettings(name="pairs", root=str(tmp_path), low="x/dark", normal="y/bright")
    assert find_pairs(data, "train") == find_pairs(inside, "train")
    assert find_pairs(data, "test") is None
    with pytest.raises(DataError, match=r"data\.low and data\.normal go together"):
        find_pairs(DataSettings(name="pairs", root=str(tmp_path), low="x/dark"), "train")


def test_names_of_lol_v2_match_by_number_and_not_by_position(write_folder: WriteFolder) -> None:
    low = write_folder("low", ["low00002.png", "low00010.png", "low00001.png"])
    normal = write_folder("normal", ["normal00010.png", "normal00001.png", "normal00002.png"])
    matched = {pair.low.name: pair.normal.name for pair in match_pairs(low, normal)}
    assert matched == {f"low{n}.png": f"normal{n}.png" for n in ("00001", "00002", "00010")}


def test_a_name_that_merely_begins_with_low(write_folder: WriteFolder) -> None:
    names = ["lowland.png", "lower.png"]
    pairs = match_pairs(write_folder("low", names), write_folder("normal", names))
    assert [pair.normal.name for pair in pairs] == ["lower.png", "lowland.png"]


def test_images_without_partner_are_named_up_to_five(write_folder: WriteFolder) -> None:
    low = write_folder("low", ["both.png", *(f"l{n}.png" for n in range(7))])
    normal = write_folder("normal", ["both.png", "n1.png"])
    with pytest.raises(DataError) as caught:
        match_pairs(low, normal)
    which, _ = str(caught.value).splitlines()
    first, second = which.split("; ")
    assert first.endswith(
        f"no partner in {normal} for 7 of its images: l0.png, l1.png, l2.png, l3.png, l4.png and 2 more"
    )
    assert second.startswith(str(normal))
    assert second.endswith("for 1 of its images: n1.png")


def test_ambiguous_names(write_folder: WriteFolder) -> None:
    with pytest.raises(DataError, match=r"a\.jpg and a\.png have one name"):
        match_pairs(write_folder("low", ["a.png", "a.jpg"]), write_folder("normal", ["a.png"]))
    with pytest.raises(DataError, match="more than one image fits normal1"):
        match_pairs(write_folder("l", ["low1.png", "normal1.png"]), write_folder("n", ["normal1.png"]))


def test_a_root_that_holds_something_else(write_folder: WriteFolder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.root is missing: data=lol_v1"):
        find_pairs(DataSettings(name="lol_v1"), "train")
    with pytest.raises(DataError, match="no such folder"):
        find_pairs(DataSettings(name="lol_v1", root=str(tmp_path / "no")), "train")
    write_folder("photos", ["a.png"])
    with pytest.raises(DataError, match=r"looked for our485/low \+ our485/high or .*found photos/"):
        find_pairs(DataSettings(name="lol_v1", root=str(tmp_path)), "train")
    write_folder("our485/low", ["a.png"])
    with pytest.raises(DataError, match=r"our485/high: no such folder"):
        find_pairs(DataSettings(name="lol_v1", root=str(tmp_path)), "train")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train/{low,high}", "test/{low,high}"),
        ("Low,Normal", None),
        ("Low,High", None),
        ("input,gt", None),
        ("LQ,GT", None),
        ("set/inp,tar", None),
        ("a/training/low_light,normal_light", "a/Eval/low_light,normal_light"),
        ("lq,gt", "test/{lq,gt}"),
    ],
)
def test_layouts_that_people_have(
    write_folder: WriteFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], train: str, test: str | None
) -> None:
    for part, names in ((train, ["a.png", "b.png"]), (test, ["t.png"])):
        above, _, sides = (part or "").replace("{", "").replace("}", "").rpartition("/")
        for side in sides.split(",") if part else ():
            write_folder(f"set/{above}/{side}", names)
    data = DataSettings(name="pairs", root=str(tmp_path / "set"))
    pairs = find_pairs(data, "train")
    assert [pair.name for pair in pairs or []] == ["a", "b"]
    assert pairs is not None
    assert str(pairs[0].low.parent) in capsys.readouterr().out
    assert [pair.name for pair in find_pairs(data, "test") or []] == (["t"] if test else [])


def test_where_several_folders_hold_pairs_none_is_chosen(write_folder: WriteFolder, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        for side in ("lq", "gt"):
            write_folder(f"{folder}/{side}", ["a.png"])
    data = DataSettings(name="pairs", root=str(tmp_path))
    with pytest.raises(DataError, match=rf"pairs lie in {tmp_path}/one and {tmp_path}/other; give one of them"):
        find_pairs(data, "train")
    (tmp_path / "one").rename(tmp_path / "train")
    pairs = find_pairs(data, "train")
    assert pairs is not None
    assert pairs[0].low == tmp_path / "train" / "lq" / "a.png"


def test_where_nothing_fits_the_keys_that_cure_it_are_told(write_folder: WriteFolder, tmp_path: Path) -> None:
    write_folder("day", ["a.png"])
    write_folder("night", ["a.png"])
    with pytest.raises(DataError, match=r"found day/, night/\nany two folders: data\.low=DIR data\.normal=DIR"):
        find_pairs(DataSettings(name="pairs", root=str(tmp_path)), "train")
    pairs = find_pairs(DataSettings(name="pairs", root=str(tmp_path), low="night", normal="day"), "train")
    assert len(pairs or []) == 1
