"""Ranks that are given only where the seeds agree."""

from typing import NamedTuple

# with fewer seeds, all of one network's are better than all of another one's by chance too
# often: of two equal networks with three of each, one is ahead once in 10 times
MIN_SEEDS = 3


class Spread(NamedTuple):
    """Results of the seeds of a network.

    Args:
        mean (float): Their mean.
        low (float): The least.
        high (float): The greatest.
        count (int): Number of them.
    """

    mean: float
    low: float
    high: float
    count: int


def spread(values):
    """Summarise the results of the seeds.

    Args:
        values (Sequence[float]): Results, at least one.
    """
    return Spread(sum(values) / len(values), min(values), max(values), len(values))


def is_ahead(one, other):
    """Return True if each seed of one is better than each of another one.

    Args:
        one (Spread): Results of a network.
        other (Spread): Results of another one.
    """
    return min(one.count, other.count) >= MIN_SEEDS and one.low > other.high


def rank(spreads):
    """Rank networks: 1 plus the number of those that are ahead.

    Networks whose seeds overlap may have the same rank, and those of too few seeds have none.

    Args:
        spreads (dict[str, Spread]): Results by name.

    Returns:
        dict[str, int or None]: Ranks by name.
    """
    return {
        name: 1 + sum(is_ahead(other, own) for other in spreads.values())
        if own.count >= MIN_SEEDS
        else None
        for name, own in spreads.items()
    }


def verdict(better, worse):
    """Judge the claim that one network is better than another.

    Args:
        better (Spread, optional): Results of the one that is said to be better.
        worse (Spread, optional): Results of the other one.

    Returns:
        str: ``'confirmed'``, ``'refuted'``, ``'not decided'``, or ``'not measured'``.
    """
    if better is None or worse is None:
        return 'not measured'
    if is_ahead(better, worse):
        return 'confirmed'
    return 'refuted' if is_ahead(worse, better) else 'not decided'
