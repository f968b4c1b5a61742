"""The stream of training batches: the same after a restart, for any batch size and any number of workers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from enhance.data.batches import training_batches
from enhance.data.open import open_data
from enhance.data.pairs import PairSource
from enhance.settings.schema import DataSettings

WriteFolder = Callable[..., Path]


def lol(root: Path) -> PairSource:
    return open_data(DataSettings(name="lol_v1", root=str(root), crop=32, validation_share=0.25)).training


def stream(source, first: int, last: int, batch_size: int = 3, seed: int = 0, workers: int = 0):
    return list(training_batches(source, 32, batch_size, first, last, seed, workers))


def test_batches_restart_anywhere_and_do_not_depend_on_the_workers(write_folder: WriteFolder) -> None:
    root = write_folder("photos", [f"{number}.png" for number in range(8)])
    train = open_data(DataSettings(name="photos", root=str(root), crop=32)).training
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
    train = lol(lol_v1)
    ones = torch.cat([low for low, _ in stream(train, 0, 12, batch_size=1)])
    fours = torch.cat([low for low, _ in stream(train, 0, 3, batch_size=4)])
    assert torch.equal(ones, fours)


def test_an_epoch_shows_every_image_once_in_a_new_order(lol_v1: Path) -> None:
    train = lol(lol_v1)

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
    train = lol(lol_v1)
    before = torch.get_rng_state()
    stream(train, 0, 2)
    assert torch.equal(before, torch.get_rng_state())
