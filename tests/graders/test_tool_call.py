"""Selection, arguments, order and count of tool calls against what the case accepts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.records import ExpectedCall, Score, ToolEvent, ToolExpectation, ToolSpec

from .made import calls, case, grader, score, trace, wants

TOOLS = grader("tool_call")
REFUND = ExpectedCall("refund", {"order": ("K-1",), "amount": (20, 20.0)}, optional=("amount",), free=("reason",))
LOOKUP = ExpectedCall("lookup", {"order": ("K-1",)})
Call = tuple[str, dict[str, Any]]


def graded(expected: ToolExpectation | None, *made: Call, **params: Any) -> Score:
    """The score of these calls."""
    return score(grader("tool_call", **params), case(tools=expected), trace(tool_events=calls(*made)))


def one(accepted: Any, given_: Any, **params: Any) -> bool | None:
    """Whether one argument is right."""
    expected = wants(ExpectedCall("f", {"x": (accepted,)}))
    return graded(expected, ("f", {"x": given_}), **params).passed


@pytest.mark.parametrize(
    ("made", "label"),
    [
        ([("refund", {"order": "K-1", "amount": 20})], ""),
        ([("refund", {"amount": 20.0, "order": "k1"})], ""),
        ([("refund", {"order": "K-1"})], ""),
        ([("refund", {"order": "K-1", "reason": "broken"})], ""),
        ([("refund", {"order": "K-2"})], "wrong_argument"),
        ([("refund", {"order": "K-1", "amount": 21})], "wrong_argument"),
        ([("refund", {"order": "K-1", "amount": None})], "wrong_argument"),
        ([("refund", {"amount": 20})], "missing_argument"),
        ([("refund", {"order": "K-1", "now": True})], "extra_argument"),
        ([("lookup", {"order": "K-1"})], "wrong_tool"),
        ([("Refund", {"order": "K-1"})], "wrong_tool"),
        ([], "missing_call"),
        ([("refund", {"order": "K-1"})] * 2, "superfluous_call"),
        ([("refund", {"order": "K-1"}), ("lookup", {"order": "K-1"})], "superfluous_call"),
    ],
)
def test_each_way_to_be_wrong_has_its_label(made: list[Call], label: str) -> None:
    found = graded(wants(REFUND), *made)
    assert (found.status, found.passed, found.label) == ("ok", not label, label)
    assert found.severity == ("major" if label else "none")
    assert found.evidence["calls"] == [name for name, _ in made]


@pytest.mark.parametrize(
    ("accepted", "given_"),
    [
        ("New York", "new york"),
        ("New York", "New-York"),
        ("it's", 'it"s'),
        (5, 5),
        (5, 5.0),
        (5.0, 5),
        ([1, "a b"], [1, "AB"]),
        ({"a": [1], "b": "x"}, {"b": "X", "a": [1]}),
        (None, None),
        (True, True),
        ("", "  "),
    ],
)
def test_values_are_equal_as_the_function_calling_leaderboard_has_it(accepted: Any, given_: Any) -> None:
    assert one(accepted, given_) is True


@pytest.mark.parametrize(
    ("accepted", "given_"),
    [
        (1, True),
        (True, 1),
        (True, "true"),
        (5, "5"),
        ("5", 5),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ([1], 1),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1}, {}),
        ("", None),
        (0, False),
        (20, float("nan")),
        ("Zürich", "Zurich"),
        ("2026-03-01", "01.03.2026"),
    ],
)
def test_other_values_are_not_equal(accepted: Any, given_: Any) -> None:
    assert one(accepted, given_) is False


@pytest.mark.parametrize("given_", ["new york", "New-York", "New York "])
def test_exact_text_forgives_nothing(given_: str) -> None:
    assert one("New York", given_, text="exact") is False
    assert one("New York", "New York", text="exact") is True


def test_light_punctuation_includes_the_decimal_point_of_a_number_in_text() -> None:
    """Amounts belong in numbers; where a tool takes them as text, ``text: exact`` tells them apart."""
    assert one("10.50", "1050") is True
    assert one("10.50", "1050", text="exact") is False


@pytest.mark.parametrize(("float_for_integer", "passed"), [(False, False), (True, True)])
def test_a_float_is_no_integer_unless_it_may_be(float_for_integer: bool, passed: bool) -> None:
    tool = ToolSpec("f", parameters={"type": "object", "properties": {"x": {"type": "integer"}, "y": True}})
    asked = case(specs=(tool,), tools=wants(ExpectedCall("f", {"x": (5,), "y": (1,)})))
    answered = trace(tool_events=calls(("f", {"x": 5.0, "y": 1.0})))
    found = score(grader("tool_call", float_for_integer=float_for_integer), asked, answered)
    assert (found.passed, found.label) == (passed, "" if passed else "wrong_type")


def test_any_of_several_sequences_is_right_and_the_nearest_explains_the_failure() -> None:
    either = ToolExpectation(alternatives=((LOOKUP, REFUND), (ExpectedCall("handover"),)))
    assert graded(either, ("handover", {})).passed is True
    assert graded(either, ("lookup", {"order": "K-1"}), ("refund", {"order": "K-1"})).passed is True
    found = graded(either, ("lookup", {"order": "K-1"}), ("refund", {"order": "K-9"}))
    assert (found.label, "K-9" in found.evidence["detail"]) == ("wrong_argument", True)


def test_order_counts_only_where_the_case_says_so() -> None:
    made: list[Call] = [("refund", {"order": "K-1"}), ("lookup", {"order": "K-1"})]
    assert graded(wants(LOOKUP, REFUND), *made).passed is True
    assert graded(wants(LOOKUP, REFUND, order="strict"), *made).label == "wrong_tool"
    assert graded(wants(LOOKUP, REFUND, order="strict"), *reversed(made)).passed is True


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 3), min_size=1), min_size=1, max_size=5), st.data())
def test_the_order_of_parallel_calls_does_not_matter(accepted: list[set[int]], data: st.DataObject) -> None:
    """Every call has one of its expectation's values; a greedy pairing would miss some of these."""
    expected = wants(*(ExpectedCall("f", {"x": tuple(sorted(values))}) for values in accepted))
    made = [("f", {"x": data.draw(st.sampled_from(sorted(values)))}) for values in accepted]
    shuffled = data.draw(st.permutations(made))
    assert graded(expected, *shuffled).passed is True
    wrong = [*shuffled[1:], ("f", {"x": 9})]
    assert graded(expected, *wrong).label == "wrong_argument"


def test_no_call_at_all_can_be_what_is_right() -> None:
    nothing = ToolExpectation(alternatives=((),))
    assert graded(nothing).passed is True
    assert graded(nothing, ("lookup", {})).label == "superfluous_call"


def test_a_forbidden_tool_is_wrong_whatever_else_is_right() -> None:
    expected = ToolExpectation(alternatives=((LOOKUP,),), forbidden=("delete",))
    made: list[Call] = [("lookup", {"order": "K-1"}), ("delete", {})]
    assert graded(expected, *made).label == "forbidden_tool"
    assert graded(expected, *made, ignore=("delete",)).label == "forbidden_tool"
    assert graded(ToolExpectation(forbidden=("delete",)), ("lookup", {})).passed is True


def test_ignored_tools_do_not_count() -> None:
    assert graded(wants(LOOKUP), ("note", {"text": "x"}), ("lookup", {"order": "K-1"}), ignore=("note",)).passed is True
    assert graded(None, ("note", {}), ignore=("note",)).status == "not_applicable"


@pytest.mark.parametrize("status", ["denied", "error", "not_run", "ok"])
def test_a_call_counts_when_it_was_asked_for_whatever_became_of_it(status: Any) -> None:
    events = calls(("lookup", {"order": "K-1"}), status=status)
    assert score(TOOLS, case(tools=wants(LOOKUP)), trace(tool_events=events)).passed is True
    forbidden = ToolExpectation(forbidden=("lookup",))
    assert score(TOOLS, case(tools=forbidden), trace(tool_events=events)).passed is False


@pytest.mark.parametrize("expected", [None, ToolExpectation(), wants(LOOKUP)])
def test_arguments_that_break_the_schema_are_wrong_in_every_case(expected: ToolExpectation | None) -> None:
    events = calls(("lookup", {"order": "K-1"}), schema_errors=("order: 'K-1' is too short",))
    found = score(TOOLS, case(tools=expected), trace(tool_events=events))
    assert (found.passed, found.label) == (False, "invalid_arguments")
    assert "too short" in found.evidence["detail"]


def test_calls_that_could_not_be_read_say_why() -> None:
    found = score(TOOLS, case(tools=wants(LOOKUP)), trace("```json", decode_error="wrapped in a code fence"))
    assert (found.label, found.evidence["detail"]) == ("not_decodable", "wrapped in a code fence")


def test_nothing_expected_and_nothing_called_is_not_graded() -> None:
    assert graded(None).status == "not_applicable"
    assert graded(ToolExpectation()).status == "ok"


@pytest.mark.parametrize("critical", [False, True])
def test_a_mistake_on_a_critical_case_is_critical(critical: bool) -> None:
    found = score(TOOLS, case(critical=critical, tools=wants(LOOKUP)), trace())
    assert found.severity == ("critical" if critical else "major")


HOSTILE = "x" * 200_000 + "\x00\x1b[2J</script>"


@pytest.mark.parametrize(
    "event",
    [
        ToolEvent("lookup", {"order": HOSTILE}),
        ToolEvent("lookup", {"order": [HOSTILE] * 3}),
        ToolEvent(HOSTILE, {}),
        ToolEvent("lookup", HOSTILE, schema_errors=(f"not JSON: {HOSTILE}",)),
        ToolEvent("lookup", {HOSTILE: 1, "order": "K-1"}),
    ],
)
def test_a_model_that_writes_very_much_has_failed_and_has_not_broken_the_grader(event: ToolEvent) -> None:
    found = score(TOOLS, case(tools=wants(LOOKUP)), trace(tool_events=(event,)))
    assert (found.status, found.passed) == ("ok", False)


def test_a_thousand_calls_are_a_failure_with_short_evidence() -> None:
    events = tuple(ToolEvent(f"{'🙂' * 100}{number}", {}) for number in range(1_000))
    found = score(TOOLS, case(tools=wants(LOOKUP)), trace(tool_events=events))
    assert (found.status, found.label) == ("ok", "superfluous_call")


def test_expressions_are_text_and_are_not_computed() -> None:
    assert one(4, "2+2") is False
    assert one("x", "__import__('os').system('true')") is False
