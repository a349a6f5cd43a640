"""Prediction-powered means: coverage, and what the grader is worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats import powered_mean


def _draw(rng: np.random.Generator, right: float) -> tuple[np.ndarray, np.ndarray]:
    truth = rng.random(1500) < 0.8
    return truth, np.where(rng.random(1500) < right, truth, ~truth)


@pytest.mark.parametrize("right", [0.95, 0.8, 0.5, 0.2])
def test_the_interval_holds_the_truth_however_good_the_grader_is(right: float) -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        truth, said = _draw(rng, right)
        found = powered_mean(truth[:150], said[:150], said[150:])
        held += found.low <= 0.8 <= found.high
    # 400 draws of a 95% interval: fewer than 367 have a chance of 1 in 1,000
    assert held >= 367


def test_a_good_grader_is_worth_labels_and_a_blind_one_costs_none() -> None:
    rng = np.random.default_rng(1)
    worth = {}
    for right in (0.97, 0.5):
        drawn = [_draw(rng, right) for _ in range(100)]
        worth[right] = np.mean([powered_mean(truth[:150], said[:150], said[150:]).worth for truth, said in drawn])
    assert worth[0.97] > 3
    assert worth[0.5] == pytest.approx(1, abs=0.05)


def test_a_biased_grader_is_corrected() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(4000) < 0.6
    said = truth | (rng.random(4000) < 0.5)
    assert said.mean() > 0.75
    found = powered_mean(truth[:400], said[:400], said[400:])
    assert found.low <= truth.mean() <= found.high


def test_the_weight_is_the_one_with_the_smallest_variance() -> None:
    rng = np.random.default_rng(3)
    truth, said = _draw(rng, 0.9)
    y, f, others = truth[:200].astype(float), said[:200].astype(float), said[200:].astype(float)
    found = powered_mean(y, f, others)

    def variance(weight: float) -> float:
        return float((y - weight * f).var(ddof=1) / y.size + weight**2 * others.var(ddof=1) / others.size)

    grid = np.linspace(0, 1, 101)
    assert found.weight == pytest.approx(grid[np.argmin([variance(weight) for weight in grid])], abs=0.1)
    assert found.high - found.value == pytest.approx(1.959964 * variance(found.weight) ** 0.5)


def test_clusters_that_stand_together_widen_the_interval() -> None:
    truth = np.repeat(np.random.default_rng(5).random(30) < 0.7, 5)
    clusters = list(np.repeat(np.arange(30), 5))
    alone = powered_mean(truth, truth, [], clusters=None)
    together = powered_mean(truth, truth, [], clusters=clusters)
    assert together.high - together.low > 2 * (alone.high - alone.low)


@given(st.lists(st.booleans(), min_size=2, max_size=30))
def test_without_further_cases_the_labels_stand_alone(truth: list[bool]) -> None:
    found = powered_mean(truth, truth, [])
    assert (found.value, found.low, found.high) == pytest.approx(found.labels_alone)


@pytest.mark.parametrize(("truth", "said"), [([1], [1]), ([1, 0], [1])])
def test_too_few_labels_are_refused(truth: list[int], said: list[int]) -> None:
    with pytest.raises(ValueError, match="two or more"):
        powered_mean(truth, said, [1, 0])
