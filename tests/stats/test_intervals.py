"""Intervals of shares and percentiles against scipy, statsmodels and numpy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from evalkit.stats import clopper_pearson, percentile, percentile_interval, wilson, zero_failures_bound

COUNTS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
TAILS = st.sampled_from([0.005, 0.025, 0.05, 0.1, 0.25])


# ── shares ──────────────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=80)
@given(COUNTS, TAILS)
def test_wilson_is_that_of_statsmodels(counts: tuple[int, int], tail: float) -> None:
    successes, n = counts
    expected = proportion_confint(successes, n, alpha=2 * tail, method="wilson")
    assert wilson(successes, n, tail) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=80)
@given(COUNTS, TAILS)
def test_clopper_pearson_is_that_of_scipy(counts: tuple[int, int], tail: float) -> None:
    successes, n = counts
    expected = stats.binomtest(successes, n).proportion_ci(1 - 2 * tail, method="exact")
    assert clopper_pearson(successes, n, tail) == pytest.approx((expected.low, expected.high), abs=1e-10)


def test_wilson_of_a_table_worked_by_hand() -> None:
    # z = 2 (tail 0.02275), 8 of 10: centre (0.8 + 0.2) / 1.4, half (1 / 1.4) sqrt(0.016 * 4 + 0.04)
    low, high = wilson(8, 10, float(stats.norm.sf(2)))
    half = math.sqrt(0.104) / 1.4
    assert (low, high) == pytest.approx((1 / 1.4 - half, 1 / 1.4 + half))


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@pytest.mark.parametrize("n", [1, 2, 30, 100_000])
def test_ends_of_a_share_stay_in_range_and_are_closed_where_nothing_or_all_succeeded(
    interval: Callable[[int, int], tuple[float, float]], n: int
) -> None:
    none, every = interval(0, n), interval(n, n)
    assert none[0] == pytest.approx(0, abs=1e-12)
    assert every[1] == pytest.approx(1, abs=1e-12)
    assert 0 < none[1] == pytest.approx(1 - every[0])
    assert none[1] < 1


@pytest.mark.parametrize("n", [5, 20, 60])
def test_clopper_pearson_never_covers_less_than_it_says(n: int) -> None:
    ends = [clopper_pearson(k, n, 0.05) for k in range(n + 1)]
    for share in np.linspace(0.01, 0.99, 49):
        chance = stats.binom.pmf(np.arange(n + 1), n, share)
        below = sum(chance[k] for k, (low, _) in enumerate(ends) if low > share)
        above = sum(chance[k] for k, (_, high) in enumerate(ends) if high < share)
        assert below <= 0.05 + 1e-12
        assert above <= 0.05 + 1e-12


# ── no failure at all ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("rate", "n"), [(0.1, 29), (0.05, 59), (0.02, 149), (0.01, 299), (0.005, 598), (0.001, 2995)])
def test_clean_trials_needed_for_a_claim(rate: float, n: int) -> None:
    """The published table n = ceil(ln 0.05 / ln(1 - r)): so many claim it, one fewer does not."""
    assert zero_failures_bound(n) <= rate < zero_failures_bound(n - 1)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 10_000), TAILS)
def test_zero_failures_bound_is_the_exact_upper_end_of_no_failure(n: int, tail: float) -> None:
    assert zero_failures_bound(n, tail) == pytest.approx(clopper_pearson(0, n, tail)[1], rel=1e-9)


@pytest.mark.parametrize("n", [0, -3])
def test_without_a_trial_nothing_is_ruled_out(n: int) -> None:
    assert zero_failures_bound(n) == 1.0


# ── percentiles ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("q", [0.01, 0.5, 0.95, 0.99])
def test_percentile_is_the_inverted_distribution_function_of_numpy(q: float) -> None:
    generator = np.random.default_rng(3)
    for n in [*range(1, 130), 200, 1000]:
        values = generator.lognormal(size=n)
        assert percentile(values, q) == np.percentile(values, 100 * q, method="inverted_cdf")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60), st.sampled_from([0.05, 0.5, 0.95]))
def test_percentile_is_the_smallest_value_with_that_share_at_or_below(values: list[float], q: float) -> None:
    found = percentile(np.asarray(values), q)
    assert found in values
    assert sum(value <= found for value in values) >= q * len(values) - 1e-9
    smaller = [value for value in values if value < found]
    assert not smaller or sum(value <= max(smaller) for value in values) < q * len(values)


def test_percentile_interval_ends_are_the_order_statistics_that_the_binomial_gives() -> None:
    generator = np.random.default_rng(4)
    for n in [1, 5, 20, 58, 72, 100, 400]:
        ordered = np.sort(generator.normal(size=n))
        for q in (0.5, 0.95):
            for tail in (0.025, 0.1):
                low, high = percentile_interval(generator.permutation(ordered), q, tail)
                # below the k-th smallest lies the percentile with P(at most k - 1 values are below it)
                lows = [k for k in range(1, n + 1) if stats.binom.cdf(k - 1, n, q) <= tail]
                highs = [k for k in range(1, n + 1) if stats.binom.sf(k - 1, n, q) <= tail]
                assert low == (ordered[max(lows) - 1] if lows else -math.inf)
                assert high == (ordered[min(highs) - 1] if highs else math.inf)


def test_p95_needs_72_values_for_an_upper_end() -> None:
    # 0.95^72 = 0.0249: from 72 values on, the largest is above the percentile with 97.5%
    values = np.arange(72, dtype=np.float64)
    assert percentile_interval(values[:71], 0.95)[1] == math.inf
    assert percentile_interval(values, 0.95)[1] == 71.0


def test_percentile_interval_covers_a_skewed_percentile_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    truth = float(np.exp(stats.norm.ppf(0.95)))
    drawn = [percentile_interval(generator.lognormal(size=150), 0.95, 0.05) for _ in range(2000)]
    missed_low = np.mean([low > truth for low, _ in drawn])
    missed_high = np.mean([high < truth for _, high in drawn])
    assert missed_low <= 0.06
    assert missed_high <= 0.06
    assert missed_low + missed_high > 0.02
