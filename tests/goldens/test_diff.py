from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.goldens import GoldenSet, diff, from_cases
from evalkit.goldens.diff import KeyChange
from evalkit.records import Case, Document, Expectation, Message, ToolExpectation
from tests.goldens.strategies import RICH, SETS, case

TOOLS = RICH.expect.tools or ToolExpectation()


def golden(*cases: Case, version: str = "1") -> GoldenSet:
    return from_cases("shop", version, cases)


@settings(deadline=None, max_examples=10)
@given(SETS)
def test_a_set_does_not_differ_from_itself(cases: list[Case]) -> None:
    result = diff(golden(*cases), golden(*cases[::-1]))
    assert result.same
    assert (result.added, result.removed, result.changed, result.unchanged) == ((), (), (), len(cases))


IDS = st.sets(st.sampled_from("abcdef"), min_size=1)


@settings(deadline=None, max_examples=25)
@given(old=IDS, new=IDS, touched=st.sets(st.sampled_from("abcdef")))
def test_every_case_is_added_removed_changed_or_unchanged(old: set[str], new: set[str], touched: set[str]) -> None:
    before = golden(*(case(case_id) for case_id in old))
    after = golden(*(case(case_id, notes="new" if case_id in touched else "") for case_id in new), version="2")
    result = diff(before, after)
    assert [member.id for member in result.added] == sorted(new - old)
    assert [member.id for member in result.removed] == sorted(old - new)
    assert [change.case_id for change in result.changed] == sorted(old & new & touched)
    assert result.unchanged == len((old & new) - touched)
    assert result.same == (old == new and not old & touched)


def test_the_versions_are_named_and_the_cases_of_both_are_at_hand() -> None:
    before, after = case("a", notes="x"), case("a", notes="y")
    result = diff(golden(before), golden(after, version="2"))
    assert (result.before, result.after) == ("shop@1", "shop@2")
    assert (result.changed[0].before, result.changed[0].after) == (before, after)
    added = diff(golden(case("a")), golden(case("a"), RICH)).added
    assert added == (RICH,)


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ({"notes": "other"}, ("notes",)),
        ({"critical": False, "risk": "low"}, ("critical", "risk")),
        ({"input": (Message("user", "other"),)}, ("input",)),
        ({"expect": replace(RICH.expect, answer=None, forbidden=())}, ("expect.answer", "expect.forbidden")),
        ({"expect": replace(RICH.expect, tools=replace(TOOLS, order="any"))}, ("expect.tools.order",)),
        ({"expect": replace(RICH.expect, tools=None)}, ("expect.tools",)),
        ({"provenance": replace(RICH.provenance, author="x")}, ("provenance.author",)),
        ({"variables": {"today": "2027-01-01", "flags": {"approved": False}}}, ("variables.today",)),
        (
            {"variables": {"today": "2026-10-05", "flags": {"approved": True, "new": 1}}},
            ("variables.flags.approved", "variables.flags.new"),
        ),
        ({"slices": {"channel": "mail"}}, ("slices.team",)),
        ({"context": (Document("d", "other"),)}, ("context",)),
        ({"tags": RICH.tags[::-1]}, ("tags",)),
    ],
)  # fmt: skip
def test_the_keys_that_differ_are_named(fields: dict[str, Any], keys: tuple[str, ...]) -> None:
    (change,) = diff(golden(RICH), golden(replace(RICH, **fields))).changed
    assert change.keys == keys
    (back,) = diff(golden(replace(RICH, **fields)), golden(RICH)).changed
    assert back.keys == keys


def test_the_order_of_free_keys_is_no_change() -> None:
    assert diff(golden(case(variables={"a": 1, "b": 2})), golden(case(variables={"b": 2, "a": 1}))).same


def test_an_expectation_of_no_call_is_told_from_no_expectation() -> None:
    none, silent = ToolExpectation(alternatives=((),)), None
    left, right = (golden(case(expect=Expectation(tools=tools))) for tools in (none, silent))
    assert [change.keys for change in diff(left, right).changed] == [("expect.tools",)]


@pytest.mark.parametrize(
    ("before", "after"),
    [({"n": 1}, {"n": 1.0}), ({"n": 1}, {"n": True}), ({"n": None}, {}), ({"n": [0]}, {"n": [False]})],
)
def test_a_changed_case_always_names_a_key(before: dict[str, Any], after: dict[str, Any]) -> None:
    (change,) = diff(golden(case(variables=before)), golden(case(variables=after))).changed
    assert change.keys == ("variables.n",)


def test_both_values_are_given_and_a_missing_key_has_none() -> None:
    before, after = {"a": 1, "b": "old", "c": None}, {"a": 1, "b": ["new"], "d": {"x": 2}}
    (change,) = diff(golden(case(variables=before)), golden(case(variables=after))).changed
    assert change.values == (
        KeyChange("variables.b", '"old"', '["new"]'),
        KeyChange("variables.c", "null", ""),
        KeyChange("variables.d", "", '{"x":2}'),
    )
