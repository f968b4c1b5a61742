"""Bootstrap intervals cover the mean as often as they say, and take scenes for what they are."""

import math

import numpy as np
import pytest

from enhance.evaluation.intervals import interval


def test_the_interval_is_that_of_a_normal_mean() -> None:
    values = np.random.default_rng(0).normal(20, 2, 400)
    low, high = interval(values.tolist(), np.arange(400)) or (0, 0)
    error = values.std() / math.sqrt(400)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_it_covers_the_true_mean_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    scenes = np.repeat(np.arange(30), 3)
    covered = 0
    for _ in range(100):
        values = np.repeat(random.normal(size=30), 3) + 0.1 * random.normal(size=90)
        low, high = interval(values.tolist(), scenes) or (0, 0)
        covered += low <= 0 <= high
    assert 88 <= covered <= 99


def test_shots_of_one_scene_are_no_independent_evidence() -> None:
    of_scene = np.random.default_rng(2).normal(size=20)
    one_each = interval(of_scene.tolist(), np.arange(20))
    nine_each = interval(np.repeat(of_scene, 9).tolist(), np.repeat(np.arange(20), 9))
    as_if_independent = interval(np.repeat(of_scene, 9).tolist(), np.arange(180))
    assert nine_each == pytest.approx(one_each)
    assert as_if_independent[1] - as_if_independent[0] < 0.5 * (one_each[1] - one_each[0])


def test_images_count_alike_however_many_share_a_scene() -> None:
    low, high = interval([0.0, 0.0, 0.0, 1.0], np.array([0, 0, 0, 1]))
    assert low == 0
    assert high == 1


def test_none_where_nothing_can_be_said() -> None:
    assert interval([1.0, 2.0], np.array([0, 0])) is None
    assert interval([1.0, math.inf], np.array([0, 1])) is None
