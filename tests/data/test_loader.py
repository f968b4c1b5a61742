"""What `data=` opens, what it refuses before the first step, and the stream of batches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from enhance.data.images import read_image
from enhance.data.loader import open_test, open_training, training_batches
from enhance.errors import DataError, UserError
from enhance.settings import DataSettings

WriteFolder = Callable[..., Path]


def lol(root: Path, **options) -> DataSettings:
    return DataSettings(name="lol_v1", root=str(root), crop=32, validation_share=0.25, **options)


def stream(source, first: int, last: int, batch_size: int = 3, seed: int = 0, workers: int = 0):
    return list(training_batches(source, 32, batch_size, first, last, seed, workers))


def test_demo_needs_no_file_and_shares_no_photograph() -> None:
    train, validation = open_training(DataSettings())
    assert len(train) >= 32  # room for the batches that one tries
    assert not {name.split("-")[0] for name in train.names} & {name.split("-")[0] for name in validation.names}
    low, normal = validation.whole(0)
    assert low.mean() < 0.5 * normal.mean()
    assert open_test(DataSettings()) is None
    next(training_batches(train, 128, 8, 0, 1, 0, 0))


def test_validation_is_held_out(lol_v1: Path) -> None:
    train, validation = open_training(lol(lol_v1))
    assert sorted(train.names + validation.names) == sorted(str(number) for number in range(1, 13))
    assert len(validation) == 3


def test_near_duplicates_do_not_part(lol_v1: Path) -> None:
    for side in ("low", "high"):
        for number in range(1, 13):
            file = lol_v1 / "our485" / side / f"{number}.png"
            (lol_v1 / "our485" / side / f"copy{number}.png").write_bytes(file.read_bytes())
    _, validation = open_training(lol(lol_v1))
    assert len(validation) == 6
    assert all(f"copy{name}" in validation.names for name in validation.names if not name.startswith("copy"))


def test_the_test_split_is_opened_alone_and_only_where_it_is(lol_v1: Path) -> None:
    test = open_test(lol(lol_v1))
    assert test is not None
    assert test.names == ["1", "2"]
    (lol_v1 / "eval15" / "low" / "1.png").write_text("damaged")
    open_training(lol(lol_v1))  # does not look at it
    with pytest.raises(DataError, match="not an image"):
        open_test(lol(lol_v1))
    (lol_v1 / "eval15").rename(lol_v1 / "elsewhere")
    assert open_test(lol(lol_v1)) is None


def test_photographs(write_folder: WriteFolder) -> None:
    root = write_folder("photos", [f"{number}.jpg" for number in range(10)])
    data = DataSettings(name="photos", root=str(root), crop=32)
    train, validation = open_training(data)
    assert (len(train), len(validation)) == (9, 1)
    assert not set(train.names) & set(validation.names)
    data.val_root = str(write_folder("more", ["a.png", "b.png"]))
    train, validation = open_training(data)
    assert (len(train), validation.names) == (10, ["a.png", "b.png"])
    assert open_test(data) is None
    with pytest.raises(DataError, match=r"data\.root is missing"):
        open_training(DataSettings(name="photos"))


def test_places_that_a_data_set_does_not_use_are_refused(lol_v1: Path) -> None:
    with pytest.raises(DataError, match=r"data\.root=.* means nothing to data=demo"):
        open_training(DataSettings(root=str(lol_v1)))
    with pytest.raises(UserError, match="did you mean lol_v1"):
        open_training(DataSettings(name="lolv1", root=str(lol_v1)))


def test_a_damaged_file_is_named_before_the_first_step(lol_v1: Path) -> None:
    file = lol_v1 / "our485" / "low" / "7.png"
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(DataError, match=r"low/7\.png: cannot be decoded"):
        open_training(lol(lol_v1))


def test_sizes_that_differ_within_a_pair(lol_v1: Path) -> None:
    Image.new("RGB", (50, 40)).save(lol_v1 / "our485" / "low" / "7.png")
    with pytest.raises(DataError, match=r"1 pairs differ in size.*low/7\.png 50x40 and .*high/7\.png 56x40"):
        open_training(lol(lol_v1))


def test_images_too_small_to_score(lol_v1: Path) -> None:
    for side in ("low", "high"):
        file = lol_v1 / "eval15" / side / "2.png"
        Image.open(file).resize((20, 15)).save(file)
    with pytest.raises(DataError, match=r"1 of 2 images to score are smaller than 16x16 px: 2\.png 20x15"):
        open_test(lol(lol_v1))


@pytest.mark.parametrize("cache_gib", [0.0, 30_000 / 2**30, 4.0])
def test_pixels_do_not_depend_on_the_cache(lol_v1: Path, cache_gib: float) -> None:
    train, _ = open_training(lol(lol_v1, cache_gib=cache_gib))
    for index, name in enumerate(train.names):
        low, normal = (image.mul(255).round().byte().permute(1, 2, 0).numpy() for image in train.whole(index))
        np.testing.assert_array_equal(low, read_image(lol_v1 / "our485" / "low" / f"{name}.png"))
        np.testing.assert_array_equal(normal, read_image(lol_v1 / "our485" / "high" / f"{name}.png"))


def test_batches_restart_anywhere_and_do_not_depend_on_the_workers(write_folder: WriteFolder) -> None:
    root = write_folder("photos", [f"{number}.png" for number in range(8)])
    train, _ = open_training(DataSettings(name="photos", root=str(root), crop=32))
    whole = stream(train, 0, 7)
    assert len(whole) == 7
    assert whole[0][0].dtype == torch.uint8
    assert whole[0][0].shape == whole[0][1].shape == (3, 3, 32, 32)
    for batches in (stream(train, 4, 7), stream(train, 4, 7, workers=2)):
        for wanted, got in zip(whole[4:], batches, strict=True):
            assert torch.equal(wanted[0], got[0])
            assert torch.equal(wanted[1], got[1])
    assert not torch.equal(whole[0][0], stream(train, 0, 1, seed=1)[0][0])


def test_the_order_does_not_depend_on_the_batch_size(lol_v1: Path) -> None:
    train, _ = open_training(lol(lol_v1))
    ones = torch.cat([low for low, _ in stream(train, 0, 12, batch_size=1)])
    fours = torch.cat([low for low, _ in stream(train, 0, 3, batch_size=4)])
    assert torch.equal(ones, fours)


def test_an_epoch_shows_every_image_once_in_a_new_order(lol_v1: Path) -> None:
    train, _ = open_training(lol(lol_v1))

    class Indices:
        def __len__(self) -> int:
            return len(train)

        def crop(self, index: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            return np.full((1, 1, 1), index, np.uint8), np.zeros((1, 1, 1), np.uint8)

    first, second = (
        [int(low) for low, _ in training_batches(Indices(), 1, 1, 9 * epoch, 9 * epoch + 9, 0, 0)] for epoch in (0, 1)
    )
    assert sorted(first) == sorted(second) == list(range(9))
    assert first != second


def test_the_global_random_state_is_left_alone(lol_v1: Path) -> None:
    train, _ = open_training(lol(lol_v1))
    before = torch.get_rng_state()
    stream(train, 0, 2)
    assert torch.equal(before, torch.get_rng_state())
