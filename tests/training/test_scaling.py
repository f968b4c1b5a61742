"""The prediction of scaling: its limits, and a case by hand."""

import pytest

from enhance.training.scaling import Cluster, Link, efficiency, exchange_seconds

CLUSTER = Cluster(cards_per_machine=4, inside=Link(100, 10), between=Link(10, 50))


def test_one_card_waits_for_none() -> None:
    assert efficiency(0.1, 8e6, 30, 1, CLUSTER) == 1


def test_a_ring_inside_and_one_across_machines() -> None:
    inside = 2 * 3 / 4 * 8e6 / 100e9 + 2 * 2 * 10e-6
    across = 2 * 1 / 2 * 8e6 / 10e9 + 2 * 1 * 50e-6
    assert exchange_seconds(8e6, 4, CLUSTER) == pytest.approx(inside)
    assert exchange_seconds(8e6, 8, CLUSTER) == pytest.approx(inside + across)


def test_more_cards_slower_links_and_synchronised_norms_cost() -> None:
    found = [efficiency(0.05, 8e6, 0, cards, CLUSTER) for cards in (1, 2, 4, 8, 64, 512)]
    assert found == sorted(found, reverse=True)
    assert efficiency(0.05, 8e6, 60, 8, CLUSTER) < efficiency(0.05, 8e6, 0, 8, CLUSTER)
