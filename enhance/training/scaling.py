"""How the time of a training step grows with the number of cards that share it, predicted from numbers of one card."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """What connects cards, or machines."""

    gigabytes_per_second: float  # each way, of one card inside a machine, or of one machine
    microseconds: float  # until a message arrives


@dataclass(frozen=True)
class Cluster:
    """Machines of several cards each."""

    cards_per_machine: int = 8
    inside: Link = Link(gigabytes_per_second=200, microseconds=15)  # NVLink
    between: Link = Link(gigabytes_per_second=25, microseconds=30)  # 200 Gbit/s


def exchange_seconds(size: float, cards: int, cluster: Cluster) -> float:
    """Time until each card has the sum of all cards' `size` bytes: a ring inside each machine, one across machines.

    2 (n - 1) / n * size / bandwidth for each ring (Patarasuk and Yuan 2009), and the latency of a tree up and down.
    """
    inside = min(cards, cluster.cards_per_machine)
    seconds = 0.0
    for number, link in ((inside, cluster.inside), (math.ceil(cards / inside), cluster.between)):
        seconds += 2 * (number - 1) / number * size / (1e9 * link.gigabytes_per_second)
        seconds += 2 * math.ceil(math.log2(number)) * 1e-6 * link.microseconds
    return seconds


def efficiency(compute: float, gradient_bytes: float, exchanges: int, cards: int, cluster: Cluster) -> float:
    """Images per second of `cards` cards, over `cards` times those of one that computes for `compute` seconds a step.

    Nothing is hidden behind computing: the gradients of a U-Net of a few million parameters fit into one of
    DistributedDataParallel's buckets of 25 MiB, which leaves when the last of them is there. Data loading keeps up, and
    no card waits for a slower one.

    Args:
        exchanges: small sums besides, each of which all cards wait for: those of a synchronised batch norm.
    """
    waiting = exchange_seconds(gradient_bytes, cards, cluster) + exchanges * exchange_seconds(0, cards, cluster)
    return compute / (compute + waiting)
