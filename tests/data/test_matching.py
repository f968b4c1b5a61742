"""Names as people have them are paired by a rule that fits all of them, which is told; else nothing is guessed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from enhance.data.matching import match_pairs
from enhance.data.open import open_data
from enhance.errors import DataError
from enhance.settings.schema import DataSettings, OnError

WriteFolder = Callable[..., Path]


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ({"1_low.png": "1_high.png", "2_low.png": "2_high.png", "12_low.png": "12_high.png"}, "KEY_low and KEY_high"),
        ({"x_dark.jpg": "x.png", "y_dark.jpg": "y.png"}, "KEY_dark and KEY"),
        ({"low1.png": "high1.png", "low2.png": "high2.png"}, "lowKEY and highKEY"),
        ({"IMG_1.png": "img_1.png", "IMG_2.png": "img_2.png"}, "upper and lower case"),
        ({"0001x4.png": "0001.png", "0002x4.png": "0002.png"}, "KEYx4 and KEY"),
        ({"1_a.png": "1.png", "1_b.png": "1.png", "12_a.png": "12.png"}, "3 dark images are paired with 2 references"),
    ],
)
def test_names_are_paired_by_a_rule_that_is_told(
    write_folder: WriteFolder, capsys: pytest.CaptureFixture[str], pairs: dict[str, str], told: str
) -> None:
    low, normal = write_folder("low", list(pairs)), write_folder("normal", sorted({*pairs.values()}))
    assert {pair.low.name: pair.normal.name for pair in match_pairs(low, normal) if pair.low} == pairs
    match_pairs(low, normal)
    (line,) = capsys.readouterr().out.splitlines()  # once
    assert told in line


@pytest.mark.parametrize("reference", ["gt/a/GT.png", "gt/a.png"])
def test_images_in_folders_within_and_their_reference(
    write_folder: WriteFolder, tmp_path: Path, reference: str
) -> None:
    for scene in ("a", "b"):
        write_folder(f"lq/{scene}", ["1.png", "2.png"])
        path = Path(reference.replace("a", scene))
        write_folder(str(path.parent), [path.name])
    found = {pair.name: pair.normal for pair in match_pairs(tmp_path / "lq", tmp_path / "gt")}
    wanted = {scene: tmp_path / reference.replace("a", scene) for scene in ("a", "b")}
    assert found == {f"{scene}/{number}": wanted[scene] for scene in ("a", "b") for number in (1, 2)}


def test_numbers_are_never_cut_nor_names_guessed(write_folder: WriteFolder) -> None:
    low, normal = write_folder("l", ["001.png", "002.png"]), write_folder("n", ["101.png", "102.png"])
    with pytest.raises(DataError, match=r"no names fit: 001\.png, 002\.png and 101\.png, 102\.png") as refused:
        match_pairs(low, normal)
    rule, cure = str(refused.value).splitlines()[1].split("; ")
    assert rule.startswith("names are equal, or differ by")
    pattern = cure.split("data.pattern=")[1].split()[0]
    fits, other = write_folder("x", ["7_dark.png"]), write_folder("y", ["7.jpg"])
    assert len(match_pairs(fits, other, pattern)) == 1  # the example that is given is one


def test_images_without_a_partner_are_told_with_what_helps(
    write_folder: WriteFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder("set/low", ["1.png", "2.png", "3.png", "4.png"], shade=5)
    write_folder("set/normal", ["1.png", "2.png", "3.jpg", "5.png"])
    data = DataSettings(name="pairs", root=str(tmp_path / "set"))
    with pytest.raises(DataError) as refused:
        open_data(data).listed  # noqa: B018
    which, cure = str(refused.value).splitlines()
    assert "for 1 of its images: 4.png" in which
    assert "for 1 of its images: 5.png" in which
    assert cure.startswith("names are equal, or differ by one prefix and suffix a side")
    assert "data.pattern=KEY_dark:KEY" in cure
    assert "data.on_error=skip" in cure
    skipping = DataSettings(name="pairs", root=str(tmp_path / "set"), on_error=OnError.skip)
    whole = open_data(skipping).whole
    assert whole is not None
    assert whole.names == ["1", "2", "3"]
    assert [line.split(": ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "4.png; left out",
        "5.png; left out",
    ]


def test_a_pattern_names_those_alone_of_a_rule_that_does_not_fit_all(write_folder: WriteFolder) -> None:
    low, normal = (
        write_folder("l", ["a_low.png", "b_low.png", "c_low.png"]),
        write_folder("n", ["a_hi.png", "b_hi.png"]),
    )
    with pytest.raises(DataError, match=r"no names fit: .*\n.*the same for all of them; .*data\.pattern="):
        match_pairs(low, normal)
    with pytest.raises(DataError, match=r"no partner in .* for 1 of its images: c_low\.png\n.*data\.on_error=skip"):
        match_pairs(low, normal, "KEY_low:KEY_hi")
    assert [pair.name for pair in match_pairs(low, normal, "KEY_low:KEY_hi", skip=True)] == ["a_low", "b_low"]


def test_a_pattern_pairs_the_rest(write_folder: WriteFolder, tmp_path: Path) -> None:
    write_folder("set/low", ["a1_-3EV.png", "a1_-2EV.png", "b2_-3EV.png"], shade=5)
    write_folder("set/high", ["ref-a1.png", "ref-b2.png", "ref-c3.png"])
    data = DataSettings(name="pairs", root=str(tmp_path / "set"), pattern="KEY_ANY:ref-KEY", validation_share=0.3)
    with pytest.raises(DataError, match=r"no partner in .*low for 1 of its images: ref-c3\.png"):
        open_data(data).listed  # noqa: B018
    (tmp_path / "set" / "high" / "ref-c3.png").unlink()
    found = {pair.low.name: pair.normal.name for pair in open_data(data).listed["training"]}
    assert found == {"a1_-3EV.png": "ref-a1.png", "a1_-2EV.png": "ref-a1.png", "b2_-3EV.png": "ref-b2.png"}
    training, validation = open_data(data).training, open_data(data).validation
    assert sorted(training.names + validation.names) == ["a1_-2EV", "a1_-3EV", "b2_-3EV"]
    assert {name[:2] for name in training.names}.isdisjoint(name[:2] for name in validation.names)  # whole scenes
    with pytest.raises(DataError, match=r"data\.pattern=KEY is no pattern of two names"):
        match_pairs(tmp_path / "set" / "low", tmp_path / "set" / "high", "KEY")
    with pytest.raises(DataError, match=r"data\.pattern=KEY means nothing to data=lol_v1"):
        open_data(DataSettings(name="lol_v1", root=str(tmp_path), pattern="KEY"))
