"""Light that differs over a photograph."""

import numpy as np
import pytest

from enhance.data.light import View, back_light, field, lamps

PHOTOGRAPH = (200, 300)
WHOLE = View(PHOTOGRAPH, (0.0, 0.0), (1.0, 1.0))


def test_a_field_spans_no_more_than_is_said_and_is_smooth() -> None:
    rng = np.random.default_rng(0)
    fields = [field(WHOLE, 3.0, rng) for _ in range(100)]
    spans = [np.ptp(each) for each in fields]
    assert max(spans) <= 3.1
    assert min(spans) < 0.3
    assert np.mean(spans) > 0.8
    for each in fields:
        assert each.shape == PHOTOGRAPH
        assert max(np.abs(np.diff(each, axis=axis)).max() for axis in (0, 1)) < 0.1


def test_a_crop_sees_its_part_of_the_field() -> None:
    crop = View((50, 60), (0.5, 0.2), (0.25, 0.2))
    whole, part = (field(view, 3.0, np.random.default_rng(4)) for view in (WHOLE, crop))
    np.testing.assert_allclose(part, whole[100:150, 60:120], atol=0.02)


def test_a_crop_sees_its_part_of_the_lamps() -> None:
    crop = View((50, 60), (0.5, 0.2), (0.25, 0.2))
    whole, part = (lamps(view, np.random.default_rng(4)) for view in (WHOLE, crop))
    np.testing.assert_allclose(part, whole[100:150, 60:120], rtol=1e-3)


def test_a_crop_may_lie_anywhere() -> None:
    rng = np.random.default_rng(0)
    views = [View.anywhere(100, 50, PHOTOGRAPH, rng) for _ in range(300)]
    for view in views:
        assert view.size == (50, 50)
        assert view.share == (0.5, pytest.approx(1 / 3))
        assert 0 <= view.corner[0] <= 0.5
        assert 0 <= view.corner[1] <= 2 / 3
    assert np.ptp([view.corner[0] for view in views]) > 0.45


def test_what_is_bright_keeps_its_light() -> None:
    photograph = np.full((40, 60, 3), 30, np.uint8)
    photograph[:, :20] = 250
    for seed in range(20):
        kept = back_light(photograph, np.random.default_rng(seed))
        assert kept[:, :5].min() > 0.7
        assert kept[:, 40:].max() < 0.1
