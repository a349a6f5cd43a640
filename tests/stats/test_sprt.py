"""The two-sided test on history: its formulas, and its errors by a small simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats.anchor import Anchor, History, make_anchor, schedule
from evalkit.stats.sprt import AnchoredSprt, expected_information, wald_bounds
from tests.stats.test_error_rates import golden_set, lowered


def anchored(generator: np.random.Generator, runs: int = 20, cases: int = 300) -> tuple[np.ndarray, Anchor]:
    rates = golden_set(generator, cases)
    return rates, make_anchor(History.of(np.full(cases, runs), generator.binomial(runs, rates)), 0.05)


def test_bounds_are_where_the_likelihood_ratios_reach_walds() -> None:
    _, anchor = anchored(np.random.default_rng(1))
    test = AnchoredSprt(anchor, 0.05, 0.05, 0.10)
    assert (test.lower, test.upper) == pytest.approx((math.log(0.10 / 0.95), math.log(0.90 / 0.05)))
    counts = np.asarray([10, 120, 900])
    fail, fine = test.bounds(counts)
    assert test.llr(fail, counts, unchanged=True) == pytest.approx(np.full(3, test.upper))
    assert test.llr(fine, counts) == pytest.approx(np.full(3, test.lower))
    assert bool((fail < fine).all())


def test_history_shorter_than_three_of_its_errors_is_not_enough() -> None:
    _, anchor = anchored(np.random.default_rng(2))
    assert AnchoredSprt(anchor, 3.01 * anchor.tau).sufficient
    assert not AnchoredSprt(anchor, 2.99 * anchor.tau).sufficient


@settings(deadline=None, max_examples=40)
@given(st.floats(-2.2, 2.8), st.floats(-0.15, 0.1))
def test_expected_information_is_that_of_a_walk_between_two_bounds(llr: float, estimate: float) -> None:
    """The mean exit time solves ``v/2 f'' + m f' = -1`` with f = 0 at both bounds."""
    lower, upper = wald_bounds(0.05, 0.10)
    drift, step = -0.05 * (estimate + 0.025), 1e-3

    def f(place: float) -> float:
        return expected_information(place, estimate, 0.05, lower, upper)

    second = (f(llr + step) - 2 * f(llr) + f(llr - step)) / step**2
    first = (f(llr + step) - f(llr - step)) / (2 * step)
    assert 0.05**2 / 2 * second + drift * first == pytest.approx(-1, abs=0.02)
    assert f(lower) == f(upper) == 0


def test_more_trials_are_those_of_the_simulation_and_end_where_history_ends() -> None:
    _, anchor = anchored(np.random.default_rng(3))
    test = AnchoredSprt(anchor, 0.05)
    assert 70 < test.more_trials(0.0, 0) < 140
    assert test.more_trials(-0.5, 200) == 0
    short = AnchoredSprt(anchored(np.random.default_rng(3), runs=2)[1], 0.01)
    assert test.more_trials(-0.024, 0) > test.more_trials(0.0, 0)
    assert short.more_trials(-0.005, 100) == math.inf


def test_many_looks_are_thinned_for_the_interval() -> None:
    _, anchor = anchored(np.random.default_rng(4))
    test = AnchoredSprt(anchor, 0.01)
    looks = np.arange(1, 601)
    middle, low, high = test.interval(looks * 10, -0.004, (0.1, 0.05))
    assert low < middle < high
    assert middle == pytest.approx(-0.004, abs=0.002)


def stopped(count: int, drop: float) -> list[tuple[bool, int, float, float, float]]:
    """Verdict, trials, and how the interval lies to the truth, of so many candidates."""
    generator = np.random.default_rng(2026)
    found = []
    for seed in range(count):
        rates, anchor = anchored(generator)
        now = lowered(rates, drop) if drop else rates
        test = AnchoredSprt(anchor, 0.05)
        order = schedule(anchor.share, 3000, seed)
        increments = anchor.increments(order, (generator.random(3000) < now[order]).astype(float))
        counts = np.arange(10, 3001, 10)
        estimates = increments.cumsum()[counts - 1] / counts
        fail, fine = test.bounds(counts)
        first = int(((estimates <= fail) | (estimates >= fine)).argmax())
        middle, low, high = test.interval(counts[: first + 1], float(estimates[first]), (0.1, 0.05))
        truth = float((now - rates).mean())
        failed = bool(estimates[first] <= fail[first])
        found.append((failed, int(counts[first]), low - truth, middle - truth, high - truth))
    return found


@pytest.mark.parametrize(("drop", "low", "high", "calls"), [(0.0, 0.0, 0.02, 140), (0.05, 0.88, 0.98, 160)])
def test_errors_calls_and_interval_in_the_world_of_the_specification(
    drop: float, low: float, high: float, calls: int
) -> None:
    """The specification measured .5-1% false alarms and 92-95% power with 121-127 and 141-177 calls."""
    found = np.asarray(stopped(300, drop), np.float64)
    assert low <= found[:, 0].mean() <= high
    assert calls - 50 < found[:, 1].mean() < calls
    assert float((found[:, 2] > 0).mean()) <= 0.10 + 0.05
    assert float((found[:, 4] < 0).mean()) <= 0.05 + 0.035
    assert 0.35 < float((found[:, 3] > 0).mean()) < 0.65
