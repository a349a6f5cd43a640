"""How often the paired comparison is wrong, by seeded simulation of golden sets that look like real ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.stats import Paired, holm, paired_difference

Floats = NDArray[np.float64]
ALPHA, BETA, MARGIN = 0.05, 0.10, 0.05


def golden_set(generator: np.random.Generator, n: int) -> Floats:
    """Chances of passing, case by case: most nearly always, some nearly never, some now and then."""
    kind = generator.choice(3, n, p=[0.80, 0.08, 0.12])
    steady, hopeless = generator.beta(60, 1, n), generator.beta(1, 30, n)
    return np.choose(kind, [steady, hopeless, generator.beta(2, 2, n)])


def lowered(chances: Floats, drop: float) -> Floats:
    """The chances lowered alike, cut at zero, so that their mean falls by the drop."""
    low, high = 0.0, 1.0
    for _ in range(40):
        step = (low + high) / 2
        low, high = (step, high) if (chances - np.clip(chances - step, 0, 1)).mean() < drop else (low, step)
    return np.clip(chances - high, 0, 1)


def compared(generator: np.random.Generator, n: int, drop: float, trials: int) -> Paired:
    before = golden_set(generator, n)
    now = lowered(before, drop) if drop else before
    rates = generator.binomial(trials, np.stack([before, now])) / trials
    return paired_difference(rates[0], rates[1], tail_low=BETA, tail_high=ALPHA)


def blocks(found: Paired) -> bool:
    return found.p_worse <= ALPHA and found.low <= -MARGIN


def passes(found: Paired) -> bool:
    return found.low > -MARGIN


@pytest.mark.parametrize(("n", "trials"), [(60, 1), (300, 1), (150, 3)])
def test_an_unchanged_candidate_is_seldom_blocked(n: int, trials: int) -> None:
    generator = np.random.default_rng(n + trials)
    blocked = np.mean([blocks(compared(generator, n, 0.0, trials)) for _ in range(300)])
    assert blocked <= ALPHA


@pytest.mark.parametrize(("n", "trials"), [(60, 1), (409, 1), (150, 3)])
def test_a_candidate_worse_by_the_margin_seldom_passes(n: int, trials: int) -> None:
    generator = np.random.default_rng(n + trials)
    passed = np.mean([passes(compared(generator, n, MARGIN, trials)) for _ in range(300)])
    assert passed <= BETA + 0.05


def test_five_points_are_found_with_the_published_number_of_cases() -> None:
    """409 paired cases with a stored baseline: power 90% at 5% false alarms is what the specification measured."""
    generator = np.random.default_rng(409)
    found = [compared(generator, 409, MARGIN, 1) for _ in range(300)]
    assert np.mean([item.p_worse <= ALPHA for item in found]) > 0.85
    unchanged = [compared(generator, 409, 0.0, 1) for _ in range(300)]
    assert np.mean([passes(item) for item in unchanged]) > 0.95


def test_twice_the_margin_is_blocked_with_a_hundred_cases_of_three_trials() -> None:
    generator = np.random.default_rng(10)
    assert np.mean([blocks(compared(generator, 100, 2 * MARGIN, 3)) for _ in range(200)]) > 0.95


# ── cases that stand or fall together ───────────────────────────────────────────────────


def moved_together(
    generator: np.random.Generator, clusters: int, size: int, broke: float, fixed: float
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Whole clusters break, are repaired, or stay."""
    move = generator.choice([-1, 0, 1], clusters, p=[broke, 1 - broke - fixed, fixed])
    before, now = np.where(move == 1, 0.0, 1.0), np.where(move == -1, 0.0, 1.0)
    return np.repeat(before, size), np.repeat(now, size), np.repeat(np.arange(clusters), size)


def test_the_clustered_test_keeps_its_level_where_a_naive_one_does_not() -> None:
    generator = np.random.default_rng(21)
    clustered = naive = 0
    for _ in range(800):
        before, now, clusters = moved_together(generator, 40, 5, 0.15, 0.15)
        clustered += paired_difference(before, now, clusters).p_worse <= ALPHA
        naive += paired_difference(before, now).p_worse <= ALPHA
    assert clustered / 800 <= ALPHA
    assert naive / 800 > 0.15


@pytest.mark.parametrize(
    ("clusters", "size", "broke", "fixed"), [(50, 5, 0.05, 0.0), (30, 10, 0.2, 0.0), (40, 4, 0.15, 0.1)]
)
def test_clustered_interval_misses_as_often_as_it_says(clusters: int, size: int, broke: float, fixed: float) -> None:
    generator = np.random.default_rng(clusters)
    missed_low = missed_high = 0
    for _ in range(500):
        found = paired_difference(
            *moved_together(generator, clusters, size, broke, fixed), tail_low=0.1, tail_high=0.05
        )
        missed_low += found.low > fixed - broke
        missed_high += found.high < fixed - broke
    assert missed_low / 500 <= 0.10 + 0.045
    assert missed_high / 500 <= 0.05 + 0.03


@pytest.mark.parametrize(("clusters", "size", "broke"), [(20, 10, 0.05), (30, 10, 0.02)])
def test_clusters_that_seldom_break_are_not_counted_as_many_cases(clusters: int, size: int, broke: float) -> None:
    generator = np.random.default_rng(clusters)
    drawn = [paired_difference(*moved_together(generator, clusters, size, broke, 0.0)) for _ in range(300)]
    assert np.mean([found.low > -broke for found in drawn]) <= 0.10 + 0.06


def test_two_clusters_without_a_change_rule_out_no_five_points() -> None:
    before, now, clusters = np.ones(100), np.ones(100), np.repeat([0, 1], 50)
    assert paired_difference(before, now, clusters).low < -MARGIN


def test_clustered_rates_of_several_trials_are_covered_too() -> None:
    generator = np.random.default_rng(31)
    clusters = np.repeat(np.arange(40), 4)
    missed = 0
    for _ in range(500):
        before = generator.binomial(3, 0.9, 160) / 3
        now = generator.binomial(3, np.where(generator.random(40) < 0.2, 0.5, 0.9)[clusters]) / 3
        missed += paired_difference(before, now, clusters).low > -0.08
    assert missed / 500 <= 0.10 + 0.045


# ── several graders ─────────────────────────────────────────────────────────────────────


def test_holm_holds_the_false_alarms_of_many_graders_together() -> None:
    generator = np.random.default_rng(41)
    raw = adjusted = 0
    for _ in range(300):
        p_values = [compared(generator, 80, 0.0, 1).p_worse for _ in range(6)]
        raw += min(p_values) <= ALPHA
        adjusted += min(holm(p_values)) <= ALPHA
    assert adjusted / 300 <= ALPHA
    assert raw / 300 > 0.08


def test_holm_over_small_slices_holds_where_normal_approximations_leak() -> None:
    """Twenty slices of fifteen cases: the specification measured 16% false alarms of Holm on z-scores."""
    generator = np.random.default_rng(43)
    exact = 0
    for _ in range(150):
        before = golden_set(generator, 300)
        rates = generator.binomial(1, np.stack([before, before])).astype(np.float64)
        slices = [slice(start, start + 15) for start in range(0, 300, 15)]
        exact += min(holm([paired_difference(rates[0][part], rates[1][part]).p_worse for part in slices])) <= ALPHA
    assert exact / 150 <= ALPHA


def test_a_collapsed_slice_of_several_trials_is_named() -> None:
    generator = np.random.default_rng(44)
    found = wrong = 0
    for _ in range(60):
        before = golden_set(generator, 300)
        now = np.where(np.arange(300) < 15, 0.1 * before, before)
        rates = generator.binomial(3, np.stack([before, now])) / 3
        slices = [slice(start, start + 15) for start in range(0, 300, 15)]
        adjusted = holm([paired_difference(rates[0][part], rates[1][part]).p_worse for part in slices])
        found += adjusted[0] <= ALPHA
        wrong += min(adjusted[1:]) <= ALPHA
    assert found / 60 > 0.95
    assert wrong / 60 <= ALPHA
