"""Routing held against the oracle, on tables made by hand and by definition."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats.routing import cascade, escalation_helps, oracle_choice, routed

# items: both right, only the dear one, only the cheap one, none
RIGHT = [[1, 1], [0, 1], [1, 0], [0, 0]]
COST = [[1.0, 10.0]] * 4


def test_the_oracle_takes_the_cheapest_right_model_and_the_cheapest_where_none_is() -> None:
    assert oracle_choice(RIGHT, COST).tolist() == [0, 1, 0, 0]
    assert oracle_choice([[1, 1]], [[2.0, 2.0]]).tolist() == [0]
    assert oracle_choice([[1, 1]], [[3.0, 2.0]]).tolist() == [1]


def test_the_dear_model_always_is_needless_but_for_what_it_alone_gets_right() -> None:
    found = routed(RIGHT, COST, [1, 1, 1, 1])
    assert (found.quality, found.cost) == (0.5, 10.0)
    assert (found.oracle_quality, found.oracle_cost) == (0.75, 13 / 4)
    assert (found.quality_regret, found.cost_regret) == (0.25, 10.0 - 13 / 4)
    assert (found.missed, found.missed_escalations, found.needless_escalations) == (0.25, 0.0, 0.75)


def test_the_cheap_model_always_misses_what_only_the_dear_one_gets_right() -> None:
    found = routed(RIGHT, COST, [0, 0, 0, 0])
    assert (found.quality, found.cost) == (0.5, 1.0)
    assert (found.missed, found.missed_escalations, found.needless_escalations) == (0.25, 0.25, 0.0)
    assert found.cost_regret < 0 < found.quality_regret


def test_the_oracle_has_no_regret() -> None:
    found = routed(RIGHT, COST, oracle_choice(RIGHT, COST))
    assert (found.quality_regret, found.cost_regret, found.missed, found.needless_escalations) == (0, 0, 0, 0)


def test_a_cascade_pays_all_that_it_asks() -> None:
    found = cascade(RIGHT, COST)
    assert found.choice.tolist() == [0, 1, 0, 1]
    assert found.spent.tolist() == [1.0, 11.0, 1.0, 11.0]
    assert found.escalated.tolist() == [False, True, False, True]
    held = routed(RIGHT, COST, found.choice, found.spent)
    assert (held.cost, held.quality_regret) == (6.0, 0.0)
    assert cascade(RIGHT, COST, [1, 0]).spent.tolist() == [10.0, 10.0, 11.0, 11.0]


def test_escalation_to_a_model_that_is_no_better_does_not_help() -> None:
    right = [[1, 0]] * 30 + [[0, 1]] * 20 + [[1, 1]] * 50
    found = escalation_helps(right, [[1.0, 5.0]] * 100, 0, 1)
    assert (found.gain, found.fixed, found.broke, found.extra_cost) == (-0.1, 20, 30, 4.0)
    assert not found.helps
    assert math.isnan(found.cost_per_gain)
    back = escalation_helps(right, [[1.0, 5.0]] * 100, 1, 0)
    assert (back.gain, back.low, back.high) == pytest.approx((0.1, -found.high, -found.low), abs=1e-6)


def test_escalation_that_helps_says_what_a_further_right_answer_costs() -> None:
    found = escalation_helps([[0, 1]] * 40 + [[1, 1]] * 60, [[1.0, 5.0]] * 100, 0, 1)
    assert found.helps
    assert found.low < found.gain == 0.4 < found.high
    assert found.cost_per_gain == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("right", "cost"),
    [
        ([], []),
        ([[1]], [[1.0, 2.0]]),
        ([1, 0], [1.0, 2.0]),
        ([[0.5]], [[1.0]]),
        ([[1]], [[-1.0]]),
        ([[1]], [[math.nan]]),
    ],
)
def test_tables_that_are_none_are_refused(right: Any, cost: Any) -> None:
    with pytest.raises(ValueError, match=r"tables|right is"):
        oracle_choice(right, cost)


@pytest.mark.parametrize("choice", [[0], [2, 0, 0, 0], [-1, 0, 0, 0]])
def test_a_choice_that_is_no_model_is_refused(choice: list[int]) -> None:
    with pytest.raises(ValueError, match="number of a model"):
        routed(RIGHT, COST, choice)


TABLES = st.integers(1, 5).flatmap(
    lambda items: st.tuples(
        st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=items, max_size=items),
        st.lists(st.lists(st.sampled_from([1.0, 2.0, 5.0]), min_size=3, max_size=3), min_size=items, max_size=items),
    )
)


@settings(deadline=None, max_examples=40)
@given(TABLES)
def test_no_policy_is_better_than_the_oracle_nor_as_good_for_less(tables: tuple[Any, Any]) -> None:
    right, cost = (np.array(table, np.float64) for table in tables)
    for choice in product(range(3), repeat=min(len(right), 3)):
        found = routed(right[:3], cost[:3], list(choice))
        assert found.quality_regret >= 0
        assert found.quality_regret > 0 or found.cost_regret >= -1e-12
    steps = cascade(right, cost)
    assert routed(right, cost, steps.choice, steps.spent).quality_regret == 0
