"""Tango's score interval: its defining equation by an independent likelihood, published results, exact coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from evalkit.stats import paired_share_difference

TABLES = st.integers(2, 300).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda b: st.tuples(st.just(b), st.integers(0, n - b), st.just(n)))
)
TAILS = st.sampled_from([0.01, 0.025, 0.05, 0.1])


def _score(broke: int, fixed: int, n: int, delta: float) -> float:
    """The score statistic, its nuisance parameter found by maximising the trinomial likelihood numerically."""
    concordant = n - broke - fixed

    def loss(p_broke: float) -> float:
        parts = ((broke, p_broke), (fixed, p_broke + delta), (concordant, 1 - delta - 2 * p_broke))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in parts if count)

    low, high = max(0.0, -delta), (1 - delta) / 2
    found = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-13})
    candidates = [float(found.x), low, high]
    p_broke = min(candidates, key=loss)
    variance = n * (2 * p_broke + delta - delta**2)
    return (fixed - broke - n * delta) / math.sqrt(variance)


@settings(deadline=None, max_examples=60)
@given(TABLES, TAILS, TAILS)
def test_both_ends_solve_the_score_equation(table: tuple[int, int, int], below: float, above: float) -> None:
    broke, fixed, n = table
    low, high = paired_share_difference(broke, fixed, n, below, above)
    if low > -1 + 1e-6:
        assert _score(broke, fixed, n, low) == pytest.approx(stats.norm.isf(below), abs=2e-3)
    if high < 1 - 1e-6:
        assert _score(broke, fixed, n, high) == pytest.approx(-stats.norm.isf(above), abs=2e-3)


@pytest.mark.parametrize(
    ("broke", "fixed", "n", "low", "high"),
    [
        # Fagerland, Lydersen and Laake 2017, chapter 8: response before and after consolidation therapy
        (16, 6, 161, -0.1240, -0.0054),
        # the same chapter: airway hyper-responsiveness before and after stem cell transplantation
        (7, 1, 21, -0.5172, -0.0260),
    ],
)
def test_published_intervals(broke: int, fixed: int, n: int, low: float, high: float) -> None:
    assert paired_share_difference(broke, fixed, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("n", [1, 20, 60, 5000])
@pytest.mark.parametrize("tail", [0.025, 0.1])
def test_without_a_discordant_pair_the_width_is_the_closed_form(n: int, tail: float) -> None:
    z2 = stats.norm.isf(tail) ** 2
    assert paired_share_difference(0, 0, n, tail, tail) == pytest.approx((-z2 / (n + z2), z2 / (n + z2)), abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(TABLES, TAILS, TAILS)
def test_exchanging_before_and_now_mirrors_the_interval(
    table: tuple[int, int, int], below: float, above: float
) -> None:
    broke, fixed, n = table
    low, high = paired_share_difference(broke, fixed, n, below, above)
    assert paired_share_difference(fixed, broke, n, above, below) == pytest.approx((-high, -low), abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(TABLES)
def test_the_interval_holds_the_estimate_stays_in_range_and_widens_with_confidence(table: tuple[int, int, int]) -> None:
    broke, fixed, n = table
    inner, outer = paired_share_difference(broke, fixed, n, 0.1, 0.1), paired_share_difference(broke, fixed, n)
    assert -1 <= outer[0] <= inner[0] <= (fixed - broke) / n <= inner[1] <= outer[1] <= 1


def test_everything_broken_leaves_no_lower_end_above_minus_one() -> None:
    low, high = paired_share_difference(50, 0, 50, 0.1, 0.05)
    assert low == -1.0
    assert -1 < high < -0.8


def test_fractional_counts_lie_between_the_whole_ones() -> None:
    lows = [paired_share_difference(broke, 2, 80)[0] for broke in (5, 5.5, 6)]
    assert lows == sorted(lows, reverse=True)
    assert len(set(lows)) == 3


@pytest.mark.parametrize("n", [20, 40])
def test_exact_coverage_is_near_what_is_said_over_the_whole_range(n: int) -> None:
    """Every table of n pairs is enumerated: no simulation error. A score interval may miss a little more at places."""
    tables = [(b, f) for b in range(n + 1) for f in range(n + 1 - b)]
    ends = [paired_share_difference(b, f, n, 0.10, 0.05) for b, f in tables]
    low, high = np.asarray(ends).T
    counts = np.asarray([(b, f, n - b - f) for b, f in tables])
    missed_low, missed_high = [], []
    for p_broke in (0.02, 0.05, 0.1, 0.2, 0.3):
        for p_fixed in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3):
            chance = stats.multinomial.pmf(counts, n, [p_broke, p_fixed, 1 - p_broke - p_fixed])
            truth = p_fixed - p_broke
            missed_low.append(float(chance[low > truth + 1e-9].sum()))
            missed_high.append(float(chance[high < truth - 1e-9].sum()))
    assert np.mean(missed_low) == pytest.approx(0.10, abs=0.02)
    assert np.mean(missed_high) == pytest.approx(0.05, abs=0.02)
    assert max(missed_low) < 0.17
    assert max(missed_high) < 0.09
