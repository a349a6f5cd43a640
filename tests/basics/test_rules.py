"""Conditions: what each operator holds of facts that are there, of another type, and missing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.rules import Condition

MISSING = object()


@pytest.mark.parametrize(
    ("fact", "operator", "value", "expected"),
    [
        ("a", "eq", "a", True),
        ("a", "eq", "A", False),
        (1, "eq", 1.0, True),
        ([1], "eq", [1], True),
        (MISSING, "eq", "a", False),
        ("a", "ne", "b", True),
        ("a", "ne", "a", False),
        (MISSING, "ne", "a", True),
        ("a", "in", ["a", "b"], True),
        ("ab", "in", ["a", "b"], False),
        (MISSING, "in", ["a"], False),
        ([1], "in", [[1]], True),
        ("c", "not_in", ["a", "b"], True),
        ("a", "not_in", ["a", "b"], False),
        (MISSING, "not_in", ["a"], True),
        (["x", "y"], "contains", "x", True),
        ("xyz", "contains", "yz", True),
        ("xyz", "contains", "q", False),
        (5, "contains", "5", False),
        (MISSING, "contains", "x", False),
        (101, "gt", 100, True),
        (100, "gt", 100, False),
        (100, "gte", 100, True),
        (99.99, "lt", 100, True),
        (100, "lt", 100, False),
        (100, "lte", 100, True),
        ("5000", "gt", 100, False),
        (True, "gt", 0, False),
        ([200], "gt", 100, False),
        (MISSING, "lt", 100, False),
        (10**400, "gt", 100, True),
        (float("nan"), "gt", 100, False),
        ("DE-123", "matches", r"^DE-\d+$", True),
        ("XDE-123", "matches", r"^DE-\d+$", False),
        ("a DE-1", "matches", r"DE", True),
        (123, "matches", r"\d", False),
        ("", "exists", True, True),
        (0, "exists", True, True),
        (MISSING, "exists", True, False),
        (MISSING, "exists", False, True),
        ("a", "exists", False, False),
    ],
)
def test_operators(fact: Any, operator: str, value: Any, expected: bool) -> None:
    condition = Condition.model_validate({"field": "f", "op": operator, "value": value})
    assert condition.holds({} if fact is MISSING else {"f": fact, "g": value}) is expected


@settings(deadline=None, max_examples=80)
@given(st.integers() | st.floats(), st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_comparisons_are_those_of_the_numbers(left: float, right: float) -> None:
    def says(operator: str) -> bool:
        return Condition.model_validate({"field": "f", "op": operator, "value": right}).holds({"f": left})

    assert says("gt") is (left > right)
    assert says("gte") is (left >= right)
    assert says("lt") is (left < right)
    assert says("lte") is (left <= right)


@pytest.mark.parametrize(("fact", "operator", "value"), [(True, "eq", 1), (1, "in", [True]), ([True], "contains", 1)])
def test_true_is_not_one(fact: Any, operator: str, value: Any) -> None:
    condition = Condition.model_validate({"field": "f", "op": operator, "value": value})
    assert condition.holds({"f": fact}) is False
