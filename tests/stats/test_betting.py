"""Betting e-processes: their mean is at most one, exactly; peeking does not hurt; power by a small simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats.betting import confidence_bound, log_e_above, log_e_below

CHANCES = st.floats(0.02, 0.98)


@settings(deadline=None, max_examples=30)
@given(CHANCES, st.integers(1, 8))
def test_at_the_doubted_mean_the_e_value_has_mean_one(chance: float, count: int) -> None:
    below = above = 0.0
    for outcome in itertools.product((0.0, 1.0), repeat=count):
        values = np.asarray(outcome)
        weight = float(np.prod(np.where(values == 1, chance, 1 - chance)))
        below += weight * math.exp(log_e_below(values, chance, 1.0)[-1])
        above += weight * math.exp(log_e_above(values, chance, 0.0)[-1])
    assert below == pytest.approx(1)
    assert above == pytest.approx(1)


@settings(deadline=None, max_examples=30)
@given(CHANCES, st.floats(0.01, 0.5), st.integers(1, 8))
def test_on_the_side_of_the_hypothesis_the_mean_is_smaller_still(chance: float, by: float, count: int) -> None:
    higher = min(1.0, chance + by)
    mean = 0.0
    for outcome in itertools.product((0.0, 1.0), repeat=count):
        values = np.asarray(outcome)
        weight = float(np.prod(np.where(values == 1, higher, 1 - higher)))
        mean += weight * math.exp(log_e_below(values, chance, 1.0)[-1])
    assert mean <= 1 + 1e-9


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.floats(-0.9, 0.9))
def test_the_two_directions_mirror_each_other(values: list[float], mean: float) -> None:
    increments = np.asarray(values)
    assert log_e_below(increments, mean, 1.0) == pytest.approx(log_e_above(-increments, -mean, -1.0))


def test_looking_at_every_trial_seldom_accuses() -> None:
    generator = np.random.default_rng(1)
    differences = generator.choice([-1.0, 0.0, 1.0], (400, 1500), p=[0.04, 0.92, 0.04])
    crossed = np.mean([log_e_below(row, 0.0, 1.0).max() >= math.log(20) for row in differences])
    assert crossed <= 0.05 + 0.02


def test_a_drop_is_found_and_a_margin_ruled_out() -> None:
    generator = np.random.default_rng(2)
    worse = generator.choice([-1.0, 0.0, 1.0], (100, 1500), p=[0.09, 0.87, 0.04])
    same = generator.choice([-1.0, 0.0, 1.0], (100, 1500), p=[0.04, 0.92, 0.04])
    assert np.mean([log_e_below(row, 0.0, 1.0).max() >= math.log(20) for row in worse]) > 0.9
    assert np.mean([log_e_above(row, -0.05, -1.0).max() >= math.log(10) for row in same]) > 0.9


def test_an_increment_beyond_its_bound_is_an_error() -> None:
    with pytest.raises(ValueError, match="beyond its bound"):
        log_e_below(np.asarray([1.2]), 0.5, 1.0)


def test_without_increments_nothing_is_known() -> None:
    assert len(log_e_below(np.empty(0), 0.0, 1.0)) == 0
    assert confidence_bound(np.empty(0), (-1.0, 1.0), 0.05, upper=True) == 1.0
    assert confidence_bound(np.empty(0), (-1.0, 1.0), 0.05, upper=False) == -1.0


def test_confidence_bounds_are_where_means_begin_to_be_refuted() -> None:
    values = np.random.default_rng(3).choice([-1.0, 0.0, 1.0], 400, p=[0.06, 0.9, 0.04])
    high = confidence_bound(values, (-1.0, 1.0), 0.05, upper=True)
    low = confidence_bound(values, (-1.0, 1.0), 0.10, upper=False)
    assert low < values.mean() < high
    assert log_e_below(values, high, 1.0)[-1] == pytest.approx(math.log(20), abs=1e-3)
    assert log_e_above(values, low, -1.0)[-1] == pytest.approx(math.log(10), abs=1e-3)


def test_a_confidence_bound_holds_where_drawing_stops_at_the_worst_moment() -> None:
    generator = np.random.default_rng(4)
    missed = 0
    for row in generator.choice([0.0, 1.0], (200, 600), p=[0.1, 0.9]):
        # the moment at which the mean of what was seen is lowest, from the twentieth on
        means = row.cumsum() / np.arange(1, 601)
        stop = 20 + int(means[19:].argmin())
        missed += confidence_bound(row[:stop], (0.0, 1.0), 0.05, upper=True) < 0.9
    assert missed / 200 <= 0.05 + 0.03
