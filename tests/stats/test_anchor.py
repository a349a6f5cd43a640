"""History made ready: variances, allocation, order of trials, increments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evalkit.stats.anchor import History, allocation, make_anchor, random_schedule, schedule

Floats = NDArray[np.float64]
COUNTS = st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), min_size=1, max_size=30)


def passes(counts: list[tuple[int, float]]) -> History:
    trials = np.asarray([n for n, _ in counts], np.float64)
    return History.of(trials, np.floor(trials * np.asarray([share for _, share in counts])))


# ── variances ───────────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=40)
@given(COUNTS)
def test_variance_of_pass_and_fail_is_the_posterior_mean_under_jeffreys_prior(counts: list[tuple[int, float]]) -> None:
    history = passes(counts)
    a, b = history.total + 0.5, history.trials - history.total + 0.5
    mean, variance = history.smoothed()
    assert mean == pytest.approx(a / (a + b))
    assert variance == pytest.approx(a * b / ((a + b) * (a + b + 1)))


def test_the_design_is_the_published_one() -> None:
    history = History.of([20, 20, 5], [20, 7, 4])
    margin, whole = 0.05, 12
    anchor = make_anchor(history, margin, whole)
    _, before = history.smoothed()
    p1 = np.maximum((history.total + 0.5) / (history.trials + 1) - margin * whole / 3, 0)
    expected = np.maximum(before, 0.62 * before + 0.38 * p1 * (1 - p1))
    assert anchor.variance == pytest.approx(expected)
    roots = np.maximum(np.sqrt(expected), 0.15)
    assert anchor.share == pytest.approx(roots / roots.sum())
    assert anchor.step_variance == pytest.approx((3 / 12) ** 2 * (expected / anchor.share).sum() / 3**2)
    h = history.total / history.trials
    tau2 = (3 / 12) ** 2 * (h * (1 - h) * history.trials / (history.trials - 1) / history.trials).sum() / 3**2
    assert anchor.tau == pytest.approx(math.sqrt(tau2))


def test_variance_under_a_drop_is_larger_than_without_one_in_stable_cases() -> None:
    anchor = make_anchor(History.of([20] * 50, [20] * 50), 0.05)
    assert anchor.unchanged_variance < anchor.step_variance < anchor.dropped_variance


def test_scores_that_vary_less_than_pass_and_fail_need_fewer_trials() -> None:
    scores = np.random.default_rng(1).uniform(0.6, 0.8, (20, 100))
    graded = History.of([20] * 100, scores.sum(axis=0), (scores**2).sum(axis=0))
    binary = History.of([20] * 100, np.round(scores.sum(axis=0)))
    assert make_anchor(graded, 0.05).step_variance < make_anchor(binary, 0.05).step_variance / 3
    sample = scores.var(axis=0, ddof=1) / 20
    assert graded.variance_of_mean() == pytest.approx(sample)


def test_history_of_different_length_weighs_by_its_own_length() -> None:
    history = History.of([2, 200], [1, 100])
    assert history.variance_of_mean() == pytest.approx([0.25 * 2 / 1 / 2, 0.25 * 200 / 199 / 200])


def test_one_trial_of_history_is_not_taken_for_certainty() -> None:
    assert make_anchor(History.of([1] * 50, [1] * 50), 0.05).tau > 0.02


def test_cases_without_history_are_refused() -> None:
    history = History.of([5, 0], [4, 0])
    assert math.isnan(history.mean[1])
    assert np.isinf(history.variance_of_mean()[1])
    with pytest.raises(ValueError, match="case 1 has no history"):
        make_anchor(history, 0.05)
    assert len(make_anchor(history.take(np.asarray([0])), 0.05, 2).share) == 1


@pytest.mark.parametrize(
    ("trials", "total", "squares"),
    [([3], [4], None), ([3], [-1], None), ([3, 2], [1], None), ([3], [1.5], [2]), ([3], [math.nan], None),
     ([4], [2.0], [0.5])],
)  # fmt: skip
def test_impossible_history_is_refused(trials: list[int], total: list[float], squares: list[float] | None) -> None:
    with pytest.raises(ValueError, match="history"):
        History.of(trials, total, squares)


# ── allocation and order ────────────────────────────────────────────────────────────────


def test_allocation_minimises_the_variance() -> None:
    generator = np.random.default_rng(2)
    variance = generator.uniform(0.03, 0.25, 40)
    best = (variance / allocation(variance)).sum()
    assert best == pytest.approx(np.sqrt(variance).sum() ** 2)
    for _ in range(20):
        assert (variance / generator.dirichlet(np.full(40, 50))).sum() > best


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0.001, 0.25), min_size=1, max_size=40), st.integers(0, 400), st.integers(0, 2**32))
def test_every_prefix_of_the_order_is_in_proportion(variances: list[float], count: int, seed: int) -> None:
    share = allocation(np.asarray(variances))
    order = schedule(share, count, seed)
    assert len(order) == count
    drawn = np.bincount(order, minlength=len(share))
    # at one common time each case is within one trial of its share
    assert (drawn / share).max() - ((drawn + 1) / share).min() <= (1 / share).max() + 1e-6


def test_same_seed_same_order_and_a_longer_one_begins_with_the_shorter() -> None:
    share = allocation(np.random.default_rng(3).uniform(0, 0.25, 30))
    order = schedule(share, 200, 5)
    assert order.tolist() == schedule(share, 500, 5)[:200].tolist()
    assert order.tolist() != schedule(share, 200, 6).tolist()
    assert random_schedule(share, 50, 5).tolist() == random_schedule(share, 80, 5)[:50].tolist()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.001, 0.25), min_size=1, max_size=20), st.integers(1, 8), st.integers(0, 1000))
def test_no_case_has_more_trials_than_the_cap(variances: list[float], cap: int, seed: int) -> None:
    order = schedule(allocation(np.asarray(variances)), 10_000, seed, cap)
    assert np.bincount(order).max() == cap


def test_needed_trials_come_as_soon_as_there_are_calls() -> None:
    history = History.of([20] * 90, np.random.default_rng(4).binomial(20, 0.9, 90))
    anchor = make_anchor(history, 0.05, 300, need=np.ones(90))
    assert sorted(schedule(anchor.share, 90, 1).tolist()) == list(range(90))
    critical = np.zeros(90)
    critical[:3] = 5
    anchor = make_anchor(history, 0.05, 300, need=critical)
    plain = make_anchor(history, 0.05, 300)
    assert anchor.share[:3].min() > plain.share[:3].max()
    assert anchor.step_variance < 4 * plain.step_variance


def test_drawing_with_replacement_follows_the_shares() -> None:
    share = np.asarray([0.5, 0.3, 0.15, 0.05])
    assert np.bincount(random_schedule(share, 40_000, 9)) / 40_000 == pytest.approx(share, abs=0.01)


# ── increments ──────────────────────────────────────────────────────────────────────────


def test_increments_estimate_the_change_of_the_whole_set_without_bias() -> None:
    generator = np.random.default_rng(5)
    rates = generator.beta(4, 1, 60)
    anchor = make_anchor(History.of([50] * 60, generator.binomial(50, rates)), 0.05, 200)
    now = np.clip(rates - 0.2 * generator.random(60), 0, 1)
    truth = (now - anchor.mean).sum() / 200
    estimates = []
    for seed in range(1500):
        order = schedule(anchor.share, 80, seed)
        estimates.append(anchor.increments(order, (generator.random(80) < now[order]).astype(float)).mean())
    error = np.std(estimates) / math.sqrt(1500)
    assert abs(np.mean(estimates) - truth) < 4 * error
    assert float(np.var(estimates)) < 1.35 * anchor.step_variance / 80


def test_information_is_bounded_by_the_history() -> None:
    anchor = make_anchor(History.of([10] * 100, [9] * 100), 0.05)
    assert anchor.information(10**9) == pytest.approx(1 / anchor.tau**2, rel=1e-3)
    assert anchor.information(0) == 0
    assert anchor.trials_for(float(anchor.information(137))) == pytest.approx(137)
    assert anchor.trials_for(1.01 / anchor.tau**2) == math.inf
