"""What `data=` opens, what it refuses before the first step, and how a committed split parts it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance.data.batches import training_batches
from enhance.data.images import read_image
from enhance.data.open import SMALLEST_TO_SCORE, open_data
from enhance.data.scenes import perceptual_hash
from enhance.errors import DataError, UserError
from enhance.models.residual import SMALLEST_SIDE
from enhance.settings.schema import DataSettings
from tests.data.conftest import training_and_validation

WriteFolder = Callable[..., Path]
ROWS = [*((f"{n}", "training") for n in range(1, 9)), ("9", "validation"), ("10", "test"), ("11", "test")]


def lol(root: Path, **options) -> DataSettings:
    return DataSettings(name="lol_v1", root=str(root), crop=32, validation_share=0.25, **options)


def test_demo_needs_no_file_and_shares_no_photograph() -> None:
    train, validation = training_and_validation(DataSettings())
    assert len(train) >= 32  # room for the batches that one tries
    assert not {name.split("-")[0] for name in train.names} & {name.split("-")[0] for name in validation.names}
    low, normal = validation.whole(0)
    assert low.mean() < 0.5 * normal.mean()
    assert open_data(DataSettings()).test is None
    next(training_batches(train, 128, 8, 0, 1, 0, 0))


def test_validation_is_held_out(lol_v1: Path) -> None:
    train, validation = training_and_validation(lol(lol_v1))
    assert sorted(train.names + validation.names) == sorted(str(number) for number in range(1, 13))
    assert len(validation) == 3


def test_near_duplicates_do_not_part(lol_v1: Path) -> None:
    for side in ("low", "high"):
        for number in range(1, 13):
            file = lol_v1 / "our485" / side / f"{number}.png"
            (lol_v1 / "our485" / side / f"copy{number}.png").write_bytes(file.read_bytes())
    _, validation = training_and_validation(lol(lol_v1))
    assert len(validation) == 6
    assert all(f"copy{name}" in validation.names for name in validation.names if not name.startswith("copy"))


def test_the_test_split_is_opened_alone_and_only_where_it_is(lol_v1: Path) -> None:
    test = open_data(lol(lol_v1)).test
    assert test is not None
    assert test.names == ["1", "2"]
    (lol_v1 / "eval15" / "low" / "1.png").write_text("damaged")
    training_and_validation(lol(lol_v1))  # does not look at it
    with pytest.raises(DataError, match="not an image"):
        _ = open_data(lol(lol_v1)).test
    (lol_v1 / "eval15").rename(lol_v1 / "elsewhere")
    assert open_data(lol(lol_v1)).test is None


def test_the_hash_is_that_of_the_normal_image(lol_v1: Path) -> None:
    train, _ = training_and_validation(lol(lol_v1))
    for index, name in enumerate(train.names):
        wanted = perceptual_hash(read_image(lol_v1 / "our485" / "high" / f"{name}.png"))
        np.testing.assert_array_equal(train.scene_hash(index), wanted)


def test_photographs(write_folder: WriteFolder) -> None:
    root = write_folder("photos", [f"{number}.jpg" for number in range(10)])
    data = DataSettings(name="photos", root=str(root), crop=32)
    train, validation = training_and_validation(data)
    assert (len(train), len(validation)) == (9, 1)
    assert not set(train.names) & set(validation.names)
    data.val_root = str(write_folder("more", ["a.png", "b.png"]))
    train, validation = training_and_validation(data)
    assert (len(train), validation.names) == (10, ["a.png", "b.png"])
    assert open_data(data).test is None
    with pytest.raises(DataError, match=r"data\.root is missing"):
        training_and_validation(DataSettings(name="photos"))


def test_places_that_a_data_set_does_not_use_are_refused(lol_v1: Path) -> None:
    with pytest.raises(DataError, match=r"data\.root=.* means nothing to data=demo"):
        training_and_validation(DataSettings(root=str(lol_v1)))
    with pytest.raises(UserError, match="did you mean lol_v1"):
        training_and_validation(DataSettings(name="lolv1", root=str(lol_v1)))


def test_a_damaged_file_is_named_before_the_first_step(lol_v1: Path) -> None:
    file = lol_v1 / "our485" / "low" / "7.png"
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(DataError, match=r"low/7\.png: cannot be decoded"):
        training_and_validation(lol(lol_v1))


def test_sizes_that_differ_within_a_pair(lol_v1: Path) -> None:
    Image.new("RGB", (50, 40)).save(lol_v1 / "our485" / "low" / "7.png")
    with pytest.raises(DataError, match=r"1 pairs differ in size.*low/7\.png 50x40 and .*high/7\.png 56x40"):
        training_and_validation(lol(lol_v1))


def test_pairs_of_two_sizes_are_left_out_or_resized(lol_v1: Path) -> None:
    Image.new("RGB", (112, 80), (30, 20, 10)).save(lol_v1 / "our485" / "low" / "7.png")
    train, validation = training_and_validation(lol(lol_v1, on_error="skip"))
    assert "7" not in train.names + validation.names
    assert len(train) + len(validation) == 11
    (reason,) = train.skipped
    assert "low/7.png 112x80 and " in reason
    for side, size in (("low", (40, 56)), ("normal", (80, 112))):
        for part in training_and_validation(lol(lol_v1, resize=side)):
            if "7" in part.names:
                index = part.names.index("7")
                low, normal = part.whole(index)
                assert part.sizes[index] == low.shape[1:] == normal.shape[1:] == size
                assert low.std() < 0.05 < normal.std()  # plain, and a scene
                crop = part.crop(index, 40, np.random.default_rng(0))
                assert [image.shape for image in crop] == [(40, 40, 3)] * 2


@pytest.mark.parametrize(
    ("low", "told"), [("high", "the dark image is the brighter one"), ("copy", "one picture twice")]
)
def test_exchanged_or_copied_sides_are_told_once_before_training(
    lol_v1: Path, capsys: pytest.CaptureFixture[str], low: str, told: str
) -> None:
    folder = lol_v1 / "our485"
    if low == "copy":
        shutil.rmtree(folder / "low")
        shutil.copytree(folder / "high", folder / "low")
        data = lol(lol_v1)
    else:
        data = DataSettings(name="pairs", low=str(folder / "high"), normal=str(folder / "low"))
    for _ in range(2):
        training_and_validation(data)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("warning"))
    assert "12 of 12 pairs that were looked at" in line
    assert told in line


def test_pairs_as_they_should_be_are_not_warned_of(lol_v1: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("low", "high"):  # one that is the other way round is no mistake of folders
        shutil.copy(lol_v1 / "our485" / ("high" if part == "low" else "low") / "3.png", lol_v1 / f"{part}.png")
    for part in ("low", "high"):
        (lol_v1 / f"{part}.png").rename(lol_v1 / "our485" / part / "3.png")
    training_and_validation(lol(lol_v1))
    assert "warning" not in capsys.readouterr().out


def test_the_smallest_image_to_score_is_the_smallest_that_the_network_takes() -> None:
    assert SMALLEST_TO_SCORE == SMALLEST_SIDE


def test_images_too_small_to_score(lol_v1: Path) -> None:
    for side in ("low", "high"):
        file = lol_v1 / "eval15" / side / "2.png"
        Image.open(file).resize((20, 15)).save(file)
    with pytest.raises(DataError, match=r"1 of 2 images to score are smaller than 16x16 px: 2\.png 20x15"):
        _ = open_data(lol(lol_v1)).test


@pytest.mark.parametrize("cache_gib", [0.0, 30_000 / 2**30, 4.0])
def test_pixels_do_not_depend_on_the_cache(lol_v1: Path, cache_gib: float) -> None:
    train = open_data(lol(lol_v1, cache_gib=cache_gib)).training
    for index, name in enumerate(train.names):
        low, normal = (image.mul(255).round().byte().permute(1, 2, 0).numpy() for image in train.whole(index))
        np.testing.assert_array_equal(low, read_image(lol_v1 / "our485" / "low" / f"{name}.png"))
        np.testing.assert_array_equal(normal, read_image(lol_v1 / "our485" / "high" / f"{name}.png"))


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


def test_photographs_that_are_dark_themselves_are_no_targets(tmp_path: Path) -> None:
    for grey in (20, 100, 140, 200):
        Image.effect_noise((96, 96), 30).point(lambda value, grey=grey: value - 128 + grey).convert("RGB").save(
            tmp_path / f"{grey}.png"
        )
    data = DataSettings(name="photos", root=str(tmp_path), crop=32, validation_share=0.3, darkest=0.3)
    train, validation = training_and_validation(data)
    assert sorted(train.names + validation.names) == ["100.png", "140.png", "200.png"]
    data.darkest = 0.9
    with pytest.raises(DataError, match=r"^data\.darkest=0\.9: all 4 photographs are darker; lower it"):
        training_and_validation(data)
