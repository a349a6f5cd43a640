"""The threshold that agrees best with labels, against scikit-learn's curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from evalkit.stats import best_threshold

ITEMS = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=6, max_size=50).filter(
    lambda items: 2 <= sum(good for good, _ in items) <= len(items) - 2
)


@given(ITEMS)
def test_no_threshold_of_the_curve_is_better(items: list[tuple[bool, int]]) -> None:
    good, value = (np.array(column) for column in zip(*items, strict=True))
    found = best_threshold(good, value, draws=20)
    falls, rises, _ = metrics.roc_curve(good, value)
    said = value >= found.value
    youden = said[good].mean() - said[~good].mean()
    assert youden == pytest.approx((rises - falls).max())


def test_the_middle_of_the_gap_is_taken_and_its_interval_knows_the_noise() -> None:
    apart = best_threshold([False] * 20 + [True] * 20, [0.1] * 20 + [0.9] * 20)
    assert apart.value == pytest.approx(0.5)
    assert apart.accuracy.value == 1.0
    rng = np.random.default_rng(0)
    good = rng.random(300) < 0.6
    mixed = best_threshold(good, np.where(good, rng.normal(0.7, 0.2, 300), rng.normal(0.4, 0.2, 300)))
    assert mixed.low < mixed.value < mixed.high
    assert 0.65 < mixed.accuracy.value < 0.9


def test_accuracy_is_of_items_that_the_threshold_was_not_chosen_on() -> None:
    rng = np.random.default_rng(3)
    found = [
        best_threshold(rng.random(40) < 0.5, rng.random(40), draws=50, seed=seed).accuracy.value for seed in range(40)
    ]
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_both_classes_are_needed() -> None:
    with pytest.raises(ValueError, match="each class"):
        best_threshold([True, True, False], [1, 2, 3])
