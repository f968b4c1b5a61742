"""A committed split decides which pairs are trained on, chosen on and tested on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from enhance.data.open import open_data
from enhance.errors import DataError
from enhance.settings import DataSettings
from tests.data.conftest import training_and_validation

ROWS = [*((f"{n}", "training") for n in range(1, 9)), ("9", "validation"), ("10", "test"), ("11", "test")]


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
    opened = open_data(data)
    assert opened.split_has_test
    assert opened.test is not None
    assert sorted(opened.training.names, key=int) == [str(n) for n in range(1, 9)]
    assert sorted(opened.validation.names, key=int) == ["9", "12"]
    assert sorted(opened.test.names, key=int) == ["10", "11"]


def test_an_older_file_calls_the_test_part_report(settings: Callable[..., DataSettings]) -> None:
    test = open_data(settings(written([*ROWS, ("12", "validation")]).replace(",test", ",report"))).test
    assert test is not None
    assert sorted(test.names, key=int) == ["10", "11"]


def test_a_spreadsheet_may_have_written_it(settings: Callable[..., DataSettings]) -> None:
    train = open_data(settings("\ufeff" + written([*ROWS, ("12", "validation")]))).training
    assert len(train) == 8


def test_no_test_part(settings: Callable[..., DataSettings], lol_v1: Path) -> None:
    only_two = [(name, "training" if part == "test" else part) for name, part in [*ROWS, ("12", "training")]]
    for data in (settings(written(only_two)), DataSettings(name="lol_v1", root=str(lol_v1))):
        opened = open_data(data)
        assert not opened.split_has_test
        assert opened.test is not None
        assert opened.test.names == ["1", "2"]  # the data set's own test folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (written(ROWS), "12"),  # no part for this pair
        (written([*ROWS, ("12", "tests")]), "12,tests"),
        (written([(str(n), "training") for n in range(1, 13)]), "validation"),
        ("a,b\n1,2\n", "name and part"),
    ],
)
def test_mistakes_are_named(settings: Callable[..., DataSettings], text: str, message: str) -> None:
    data = settings(text)
    with pytest.raises(DataError, match=message):
        training_and_validation(data)


def test_a_missing_file_is_named(lol_v1: Path) -> None:
    with pytest.raises(DataError, match=r"data\.split=nowhere\.csv"):
        training_and_validation(DataSettings(name="lol_v1", root=str(lol_v1), split="nowhere.csv"))


def test_training_on_few_of_the_images(settings: Callable[..., DataSettings]) -> None:
    data = settings(written([*ROWS, ("12", "validation")]))
    everything, validation = training_and_validation(data)
    data.training_images = 3
    few, same = training_and_validation(data)
    assert same.names == validation.names
    assert len(few) == 3
    assert set(few.names) < set(everything.names)
    index = everything.names.index(few.names[1])
    assert all(bool((one == other).all()) for one, other in zip(few.whole(1), everything.whole(index), strict=True))
    data.training_images = 9
    with pytest.raises(DataError, match=r"data\.training_images=9: there are 8"):
        training_and_validation(data)
