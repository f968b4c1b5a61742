"""What is measured over steps: means of what is finite, speed, and steps that were not taken."""

import math
import time
from pathlib import Path

import pytest
import torch

from enhance.training.meter import Meter, Skipped
from tests.norm.ranks import on_two_ranks


def add(meter: Meter, loss: float, part: float = 0.0, images: int = 4) -> None:
    meter.add(images, torch.tensor(loss), {"l1": torch.tensor(part)})


def test_means_are_of_the_batches_whose_loss_is_finite() -> None:
    meter = Meter()
    for loss, part in ((1.0, 0.5), (math.nan, 7.0), (2.0, 0.25), (math.inf, math.nan)):
        add(meter, loss, part)
    meter.grad_norm = torch.tensor(3.5)
    read = meter.read()
    assert [read[key] for key in ("train/loss", "train/l1", "train/grad_norm")] == [1.5, 0.375, 3.5]


def test_where_no_loss_is_finite_there_is_no_mean() -> None:
    meter = Meter()
    add(meter, math.nan, 1.0)
    read = meter.read()
    assert math.isnan(read["train/loss"])
    assert math.isnan(read["train/l1"])


def test_speed_and_waiting_are_by_the_clock() -> None:
    before = time.perf_counter()
    meter = Meter()
    began = time.perf_counter()
    add(meter, math.nan, images=3)  # which cost as much as any other batch
    add(meter, 1.0, images=5)
    time.sleep(0.05)
    meter.waited = 0.02
    ending = time.perf_counter()
    read = meter.read()
    longest, shortest = time.perf_counter() - before, ending - began
    assert 8 / longest <= read["system/images_per_second"] <= 8 / shortest
    assert 0.02 / longest <= read["system/data_wait"] <= 0.02 / shortest


def test_skipped_steps_are_named_counted_and_those_in_a_row_known() -> None:
    skipped = Skipped(total=3)  # of the run so far

    def read(step: int, flags: str) -> list[int]:
        skipped.flags = [torch.tensor(flag == "x") for flag in flags]
        return skipped.read(step)

    assert read(20, "..x.") == [19]
    assert (skipped.total, skipped.in_a_row) == (4, 0)
    assert read(24, "x.xx") == [21, 23, 24]
    assert (skipped.total, skipped.in_a_row) == (7, 2)
    assert read(24, "") == []
    assert read(25, "x") == [25]
    assert (skipped.total, skipped.in_a_row) == (8, 3)
    assert skipped.flags == []  # each step counts once


def measured_on_a_rank(rank: int) -> dict[str, float | list[int]]:
    before = time.perf_counter()
    meter, skipped = Meter(), Skipped()
    began = time.perf_counter()
    add(meter, (1.0, 4.0)[rank])
    add(meter, (math.nan, 7.0)[rank])
    skipped.flags = [torch.tensor(flag == "x") for flag in ("x.x.", ".xx.")[rank]]
    ending = time.perf_counter()
    read = meter.read()
    longest, shortest = time.perf_counter() - before, ending - began
    return read | {"skipped": skipped.read(4), "longest": longest, "shortest": shortest}


def test_ranks_measure_together(tmp_path: Path) -> None:
    for read in on_two_ranks(measured_on_a_rank, tmp_path):
        assert read["train/loss"] == pytest.approx((1 + 4 + 7) / 3)
        assert 16 / read["longest"] <= read["system/images_per_second"] <= 16 / read["shortest"]
        assert read["skipped"] == [1, 2, 3]  # on either of them
