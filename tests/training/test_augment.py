"""Mixup and gamma jitter do what they say, and repeat."""

import numpy as np
import pytest
import torch

from enhance.settings import DataSettings
from enhance.training.augment import augment

LOW, NORMAL = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8)


def test_without_either_nothing_changes() -> None:
    low, normal = augment(LOW, NORMAL, DataSettings(), seed=0, batch=3)
    assert torch.equal(low, LOW)
    assert torch.equal(normal, NORMAL)


def test_mixup_mixes_both_sides_alike() -> None:
    mixed = 0
    for batch in range(200):
        low, normal = augment(LOW, NORMAL, DataSettings(mixup=0.5), seed=1, batch=batch)
        if torch.equal(low, LOW):
            continue
        mixed += 1
        found = []
        for turn in range(1, 4):
            share = ((low - LOW.roll(turn, 0)) / (LOW - LOW.roll(turn, 0))).median()
            both = [share * side + (1 - share) * side.roll(turn, 0) for side in (LOW, NORMAL)]
            found.append(torch.allclose(both[0], low, atol=1e-4) and torch.allclose(both[1], normal, atol=1e-4))
        assert any(found)
    assert 70 < mixed < 130


def test_gamma_jitter_changes_the_dark_side_alone() -> None:
    gammas = []
    for batch in range(200):
        low, normal = augment(LOW, NORMAL, DataSettings(gamma_jitter=0.3), seed=1, batch=batch)
        assert torch.equal(normal, NORMAL)
        assert low.min() >= 0
        assert low.max() <= 1
        gamma = (low.log() / LOW.log()).flatten(1).median(1).values
        assert torch.allclose(low, LOW ** gamma.view(-1, 1, 1, 1), atol=1e-4)
        gammas += gamma.log().tolist()
    assert np.mean(gammas) == pytest.approx(0, abs=0.05)
    assert np.std(gammas) == pytest.approx(0.3, rel=0.1)


def test_the_same_batch_repeats_and_others_differ() -> None:
    data = DataSettings(mixup=1.0, gamma_jitter=0.3)
    one, again, other = (augment(LOW, NORMAL, data, seed=5, batch=batch)[0] for batch in (7, 7, 8))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert augment(LOW[:1], NORMAL[:1], data, seed=5, batch=7)[0].isfinite().all()
