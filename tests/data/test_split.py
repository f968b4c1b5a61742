"""A committed split decides which pairs are trained on, chosen on and reported on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from enhance.data.loader import open_report, open_training
from enhance.errors import DataError
from enhance.settings import DataSettings

ROWS = [*((f"{n}", "training") for n in range(1, 9)), ("9", "validation"), ("10", "report"), ("11", "report")]


@pytest.fixture
def settings(lol_v1: Path, tmp_path: Path) -> Callable[..., DataSettings]:
    """Of twelve pairs; `text` is the split file."""

    def make(text: str) -> DataSettings:
        (tmp_path / "split.csv").write_text(text)
        return DataSettings(name="lol_v1", root=str(lol_v1), split=str(tmp_path / "split.csv"))

    return make


def written(rows: list[tuple[str, str]]) -> str:
    return "name,part\n" + "".join(f"{name},{part}\n" for name, part in rows)


def test_each_part_holds_its_pairs(settings: Callable[..., DataSettings]) -> None:
    data = settings(written([*ROWS, ("12", "validation")]))
    train, validation = open_training(data)
    report = open_report(data)
    assert report is not None
    assert sorted(train.names, key=int) == [str(n) for n in range(1, 9)]
    assert sorted(validation.names, key=int) == ["9", "12"]
    assert sorted(report.names, key=int) == ["10", "11"]


def test_a_spreadsheet_may_have_written_it(settings: Callable[..., DataSettings]) -> None:
    train, _ = open_training(settings("\ufeff" + written([*ROWS, ("12", "validation")])))
    assert len(train) == 8


def test_no_report_part(settings: Callable[..., DataSettings], lol_v1: Path) -> None:
    only_two = [(name, "training" if part == "report" else part) for name, part in [*ROWS, ("12", "training")]]
    assert open_report(settings(written(only_two))) is None
    assert open_report(DataSettings(name="lol_v1", root=str(lol_v1))) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (written(ROWS), "12"),  # no part for this pair
        (written([*ROWS, ("12", "test")]), "12,test"),
        (written([(str(n), "training") for n in range(1, 13)]), "validation"),
        ("a,b\n1,2\n", "name and part"),
    ],
)
def test_mistakes_are_told(settings: Callable[..., DataSettings], text: str, told: str) -> None:
    data = settings(text)
    with pytest.raises(DataError, match=told):
        open_training(data)


def test_a_missing_file_is_told(lol_v1: Path) -> None:
    with pytest.raises(DataError, match=r"data\.split=nowhere\.csv"):
        open_training(DataSettings(name="lol_v1", root=str(lol_v1), split="nowhere.csv"))


def test_training_on_few_of_the_images(settings: Callable[..., DataSettings]) -> None:
    data = settings(written([*ROWS, ("12", "validation")]))
    everything, validation = open_training(data)
    data.training_images = 3
    few, same = open_training(data)
    assert same.names == validation.names
    assert len(few) == 3
    assert set(few.names) < set(everything.names)
    index = everything.names.index(few.names[1])
    assert all(bool((one == other).all()) for one, other in zip(few.whole(1), everything.whole(index), strict=True))
    data.training_images = 9
    with pytest.raises(DataError, match=r"data\.training_images=9: there are 8"):
        open_training(data)
