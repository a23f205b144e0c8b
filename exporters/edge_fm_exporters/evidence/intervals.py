"""Confidence intervals of shares that were counted on pictures."""

import math
from collections.abc import Callable

Z_95 = 1.959964
"""Standard normal quantile of a two-sided 95 % interval."""

Interval = tuple[float, float]
"""Lower and upper bound."""

_BISECTIONS = 60


def wilson(hits: int, count: int, z: float = Z_95) -> Interval:
    """Return the score interval of a share, within [0, 1]; (0, 1) where nothing was counted.

    E. B. Wilson, 1927, "Probable Inference, the Law of Succession, and Statistical Inference". It holds for
    few pictures and for shares of 0 and 1, for which Brown, Cai and DasGupta, 2001, "Interval Estimation for
    a Binomial Proportion", recommend it.

    Args:
        hits: number of pictures that count, from 0 to `count`.
        count: number of pictures.
        z: standard normal quantile.
    """
    if not count:
        return 0.0, 1.0
    share, weight = hits / count, z * z / count
    centre = share + weight / 2
    half = z * math.sqrt(share * (1 - share) / count + weight / (4 * count))
    low, high = (centre - half) / (1 + weight), (centre + half) / (1 + weight)
    return low if hits else 0.0, high if hits < count else 1.0  # exact where rounding would not be


def paired_difference(first_only: int, second_only: int, count: int, z: float = Z_95) -> Interval:
    """Return the score interval of an accuracy less another one on the same pictures.

    T. Tango, 1998, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design". Fagerland, Lydersen and Laake, 2014, "Recommended tests and confidence intervals
    for paired binomial proportions", recommend it. It takes only the pictures on which one of the two is
    right: its lower bound is above 0 where McNemar's test says so, and it is no single point where both
    answer alike.

    Args:
        first_only: number of pictures on which only the first is right.
        second_only: number of pictures on which only the second is right.
        count: number of all pictures, at least 1.
        z: standard normal quantile.
    """

    def score(difference: float) -> float:
        """Return how many standard errors the observed difference is above this one."""
        spread = difference * (1 - difference)
        linear = (2 * count - first_only + second_only) * difference - first_only - second_only
        root = math.sqrt(max(0.0, linear * linear + 8 * count * second_only * spread))
        variance = count * ((root - linear) / (2 * count) + spread)
        excess = first_only - second_only - count * difference
        if variance <= 0:
            return math.copysign(math.inf, excess) if excess else 0.0
        return excess / math.sqrt(variance)

    observed = (first_only - second_only) / count
    return (
        _bisect(lambda difference: score(difference) > z, -1.0, observed),
        _bisect(lambda difference: score(difference) > -z, observed, 1.0),
    )


def _bisect(is_below: Callable[[float], bool], low: float, high: float) -> float:
    """Return the border between values for which `is_below` is true and the larger ones."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2
