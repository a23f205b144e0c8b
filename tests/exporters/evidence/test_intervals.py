"""Intervals of counted shares, against published figures and against their definition."""

import math

import numpy as np
import pytest

from edge_fm_exporters.evidence import intervals


@pytest.mark.parametrize(
    ("hits", "count", "published"),
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_gives_published_intervals(hits: int, count: int, published: tuple[float, float]) -> None:
    """They are in Newcombe, 1998, "Two-sided confidence intervals for the single proportion", table I."""
    assert intervals.wilson(hits, count) == pytest.approx(published, abs=5e-5)


def test_nothing_counted_tells_nothing() -> None:
    """Without a picture, the interval holds every share."""
    assert intervals.wilson(0, 0) == (0, 1)


def test_the_paired_interval_is_the_published_one() -> None:
    """It is that of Fagerland et al., 2014, for 1 and 7 of 21 pictures that differ."""
    assert intervals.paired_difference(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


def log_likelihood_ratio_free_score(first: int, second: int, count: int, difference: float) -> float:
    """Return Tango's score with its constrained maximum likelihood found on a grid, not by its formula."""
    rest = count - first - second
    shares = np.linspace(max(0.0, -difference), (1 - difference) / 2, 200_001)[1:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_likelihood = (
            first * np.log(shares + difference)
            + second * np.log(shares)
            + rest * np.log(1 - difference - 2 * shares)
        )
    share = shares[np.nanargmax(log_likelihood)]
    variance = count * (2 * share + difference - difference**2)
    return float((first - second - count * difference) / math.sqrt(variance))


@pytest.mark.parametrize("counts", [(1, 7, 21), (3, 1, 100), (40, 4, 1000), (16, 6, 161)])
def test_the_bounds_are_where_the_score_test_turns(counts: tuple[int, int, int]) -> None:
    """At each bound the observed difference is 1.96 standard errors away, by the definition of the score."""
    low, high = intervals.paired_difference(*counts)
    assert log_likelihood_ratio_free_score(*counts, low) == pytest.approx(intervals.Z_95, abs=2e-3)
    assert log_likelihood_ratio_free_score(*counts, high) == pytest.approx(-intervals.Z_95, abs=2e-3)


@pytest.mark.parametrize(
    ("first", "second", "above"), [(3, 0, False), (4, 0, True), (12, 4, True), (11, 4, False)]
)
def test_above_zero_means_what_mcnemar_says(first: int, second: int, above: bool) -> None:
    """The lower bound is above 0 where (b - c)^2 / (b + c) exceeds 3.84, whatever the number of pictures."""
    for count in (40, 10_000):
        assert (intervals.paired_difference(first, second, count)[0] > 0) == above
        assert (intervals.paired_difference(second, first, count)[1] < 0) == above


@pytest.mark.parametrize("count", [1, 7, 5000])
def test_extremes_are_intervals_too(count: int) -> None:
    """Answers that are all equal or all differ have an interval within [-1, 1] around the difference."""
    for first, second in ((0, 0), (count, 0), (0, count)):
        low, high = intervals.paired_difference(first, second, count)
        assert -1 <= low <= (first - second) / count <= high <= 1
        assert high - low > 1e-4


def test_the_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    """It does for 93 to 98 % of 4,000 drawn tables of 100 pictures."""
    rng = np.random.default_rng(0)
    tables = rng.multinomial(100, [0.04, 0.02, 0.94], 4000)
    held = []
    for first, second, _ in tables.tolist():
        low, high = intervals.paired_difference(first, second, 100)
        held.append(low <= 0.02 <= high)
    assert 0.93 < np.mean(held) < 0.98
