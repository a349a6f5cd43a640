"""E-processes and the confidence sequence: what holds exactly is computed, not simulated."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, special, stats

from evalkit.stats.sequential import (
    RATIOS,
    asymptotic_radius,
    log_e_rate_higher,
    log_e_rate_lower,
    log_e_share_differs,
)

SHARES = st.floats(0.01, 0.99)
LogE = Callable[[int, int], float]


def chance_of_the_canary(share: float, ratio: float) -> float:
    """That an event is the canary's, when its rate is so many times the control's."""
    return share * ratio / (share * ratio + 1 - share)


def mean_under(log_e: LogE, events: int, theta: float) -> float:
    """The exact mean of an e-value after so many events, each the canary's with this chance."""
    chances = stats.binom.pmf(np.arange(events + 1), events, theta)
    return float(sum(p * math.exp(log_e(k, events - k)) for k, p in enumerate(chances.tolist())))


def ever_crosses(log_e: LogE, events: int, theta: float, alpha: float, *, upper: bool) -> float:
    """The exact chance of ever reaching 1/alpha when looking after every event, by following all paths.

    Counts that cross lie beyond a bound that moves by at most one step an event.
    """
    limit = math.log(1 / alpha)
    alive: NDArray[np.float64] = np.asarray([1.0])
    crossed, bound = 0.0, 0
    for n in range(1, events + 1):
        alive = np.concatenate([alive * (1 - theta), [0.0]]) + np.concatenate([[0.0], alive * theta])
        if upper:
            while bound <= n and log_e(bound, n - bound) < limit:
                bound += 1
            over = np.arange(n + 1) >= bound
        else:
            while bound <= n and log_e(bound, n - bound) >= limit:
                bound += 1
            over = np.arange(n + 1) < bound
        crossed += float(alive[over].sum())
        alive[over] = 0.0
    return crossed


# ── the mean is at most one ─────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 40), SHARES, st.floats(1, 3))
def test_at_the_allowed_ratio_the_mean_is_exactly_one(events: int, share: float, allowed: float) -> None:
    theta = chance_of_the_canary(share, allowed)
    assert mean_under(lambda a, b: log_e_rate_higher(a, b, share, allowed), events, theta) == pytest.approx(1)


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 40), SHARES, st.floats(1, 3), st.floats(0.1, 1))
def test_below_the_allowed_ratio_the_mean_is_at_most_one(
    events: int, share: float, allowed: float, times: float
) -> None:
    theta = chance_of_the_canary(share, allowed * times)
    assert mean_under(lambda a, b: log_e_rate_higher(a, b, share, allowed), events, theta) <= 1 + 1e-9


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 40), SHARES, st.floats(1.1, 3), st.floats(1, 10))
def test_at_or_above_the_promotion_margin_the_mean_is_at_most_one(
    events: int, share: float, margin: float, times: float
) -> None:
    theta = chance_of_the_canary(share, margin * times)
    mean = mean_under(lambda a, b: log_e_rate_lower(a, b, share, margin), events, theta)
    assert mean <= 1 + 1e-9
    at_margin = chance_of_the_canary(share, margin)
    assert mean_under(lambda a, b: log_e_rate_lower(a, b, share, margin), events, at_margin) == pytest.approx(1)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 60), SHARES)
def test_under_the_planned_assignment_the_mean_is_exactly_one(requests: int, share: float) -> None:
    assert mean_under(lambda a, b: log_e_share_differs(a, b, share), requests, share) == pytest.approx(1, rel=1e-6)


# ── looking after every event ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(("share", "events"), [(0.05, 1200), (0.5, 600)])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
def test_continuous_peeking_seldom_accuses_an_equal_canary(share: float, events: int, alpha: float) -> None:
    crossed = ever_crosses(lambda a, b: log_e_rate_higher(a, b, share), events, share, alpha, upper=True)
    assert 0.1 * alpha < crossed <= alpha


def test_continuous_peeking_seldom_promotes_a_canary_at_the_margin() -> None:
    theta = chance_of_the_canary(0.05, 2.0)
    crossed = ever_crosses(lambda a, b: log_e_rate_lower(a, b, 0.05, 2.0), 1200, theta, 0.05, upper=False)
    assert 0.005 < crossed <= 0.05


def test_continuous_peeking_seldom_calls_a_right_assignment_broken() -> None:
    generator = np.random.default_rng(17)
    crossed = 0
    for _ in range(300):
        canary = (generator.random(1500) < 0.3).cumsum()
        crossed += any(log_e_share_differs(int(a), n - int(a), 0.3) >= math.log(50) for n, a in enumerate(canary, 1))
    assert crossed / 300 <= 0.02 + 0.012


# ── what the numbers are ────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 300), st.integers(0, 5000), SHARES, st.floats(1, 2))
def test_e_value_is_the_mean_of_the_likelihood_ratios(canary: int, control: int, share: float, allowed: float) -> None:
    null = chance_of_the_canary(share, allowed)
    logs = [
        stats.binom.logpmf(canary, canary + control, chance_of_the_canary(share, allowed * ratio))
        - stats.binom.logpmf(canary, canary + control, null)
        for ratio in RATIOS
    ]
    expected = float(special.logsumexp(logs) - math.log(len(RATIOS)))
    assert log_e_rate_higher(canary, control, share, allowed) == pytest.approx(expected, abs=1e-6, rel=1e-9)


def test_alternatives_are_those_of_the_specification() -> None:
    assert RATIOS == (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)


def test_an_event_in_the_canary_accuses_and_one_in_the_control_defends() -> None:
    for canary, control in [(0, 0), (3, 40), (60, 1000)]:
        here = log_e_rate_higher(canary, control, 0.05), log_e_rate_lower(canary, control, 0.05, 2.0)
        assert log_e_rate_higher(canary + 1, control, 0.05) > here[0] > log_e_rate_higher(canary, control + 1, 0.05)
        assert log_e_rate_lower(canary + 1, control, 0.05, 2.0) < here[1]
        assert here[1] < log_e_rate_lower(canary, control + 1, 0.05, 2.0)


def test_without_an_event_nothing_is_known() -> None:
    assert log_e_rate_higher(0, 0, 0.05) == pytest.approx(0)
    assert log_e_rate_lower(0, 0, 0.05, 2.0) == pytest.approx(0)
    assert log_e_share_differs(0, 0, 0.05) == pytest.approx(0)


def test_millions_of_events_stay_finite() -> None:
    assert log_e_rate_higher(500_000, 1_000_000, 0.05) > 100_000
    assert -math.inf < log_e_rate_higher(1_000, 9_000_000, 0.05) < 0
    # Laplace: the likelihood over all shares is a normal bump of this width
    bump = math.sqrt(2 * math.pi * 0.05 * 0.95 / 100_000_000)
    assert log_e_share_differs(5_000_000, 95_000_000, 0.05) == pytest.approx(math.log(bump), abs=1e-3)


def test_a_slightly_broken_assignment_is_found_where_a_chi_square_test_finds_it() -> None:
    total = 100_000
    for observed, broken in ((5_000, False), (5_100, False), (5_400, True), (4_600, True)):
        chi_square = stats.chisquare([observed, total - observed], [0.05 * total, 0.95 * total]).pvalue
        assert (log_e_share_differs(observed, total - observed, 0.05) > math.log(1000)) is broken
        assert bool(chi_square < 1e-6) is broken


# ── the asymptotic confidence sequence ──────────────────────────────────────────────────


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3, 0.001])
@pytest.mark.parametrize("n", [2, 100, 5000])
def test_radius_is_the_one_sided_normal_mixture_of_the_paper(alpha: float, n: int) -> None:
    best = 2 * math.log(1 / (2 * alpha))
    rho = math.sqrt((best + math.log(1 + best)) / 500)
    deviation = 3.0
    expected = deviation * math.sqrt(
        2 * (n * rho**2 + 1) / (n**2 * rho**2) * math.log(1 + math.sqrt(n * rho**2 + 1) / (2 * alpha))
    )
    assert asymptotic_radius(n, deviation / math.sqrt(n), alpha) == pytest.approx(expected)


@pytest.mark.parametrize("tuned_for", [100, 500, 5000])
def test_radius_is_nearly_tightest_where_it_is_tuned(tuned_for: int) -> None:
    alpha = 0.05 / 3

    def radius(log_rho2: float) -> float:
        rho2 = math.exp(log_rho2)
        scale = 2 * (tuned_for * rho2 + 1) / (tuned_for * rho2)
        return math.sqrt(scale * math.log(1 + math.sqrt(tuned_for * rho2 + 1) / (2 * alpha)))

    best = optimize.minimize_scalar(radius, bounds=(-20, 5), method="bounded").fun
    assert best <= asymptotic_radius(tuned_for, 1.0, alpha, tuned_for) <= 1.02 * best


@pytest.mark.parametrize("n", [0, 1])
def test_one_observation_rules_nothing_out(n: int) -> None:
    assert asymptotic_radius(n, 0.5, 0.05) == math.inf


def test_radius_is_wider_than_a_single_look_and_shrinks_like_a_mean() -> None:
    widths = [asymptotic_radius(n, 1 / math.sqrt(n), 0.05) for n in (100, 1_000, 10_000, 1_000_000)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0] / 60
    for n, width in zip((100, 1_000, 10_000, 1_000_000), widths, strict=True):
        assert width > stats.norm.isf(0.05) / math.sqrt(n)
