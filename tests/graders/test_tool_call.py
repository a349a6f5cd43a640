"""Selection, arguments, order and count of tool calls against what the case accepts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.fingerprint import canonical_json
from evalkit.records import ExpectedCall, Score, ToolEvent, ToolExpectation, ToolSpec
from tests.basics.strategies import JSON

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
        ([("refund", {"amount": 20.0, "order": " k-1 "})], ""),
        ([("refund", {"amount": 20.0, "order": "k1"})], "wrong_value"),
        ([("refund", {"order": "K-1"})], ""),
        ([("refund", {"order": "K-1", "reason": "broken"})], ""),
        ([("refund", {"order": "K-2"})], "wrong_value"),
        ([("refund", {"order": "K-1", "amount": 21})], "wrong_value"),
        ([("refund", {"order": "K-1", "amount": None})], "wrong_type"),
        ([("refund", {"order": "K-1", "amount": "20"})], "wrong_type"),
        ([("refund", {"order": ["K-1"]})], "wrong_type"),
        ([("refund", {"amount": 20})], "missing_argument"),
        ([("refund", {"order": "K-1", "now": True})], "unknown_argument"),
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
    assert one(accepted, given_, text="lenient") is True


@pytest.mark.parametrize(
    ("accepted", "given_"),
    [
        ("New York", " new  york\n"),
        ("it's", "It’s"),
        ("ﬁnal", "FINAL"),
        ("Straße", "STRASSE"),
        (5, 5.0),
        ([1, "a b"], [1.0, "A B"]),
        ({"a": [1], "b": "x"}, {"b": "X", "a": [1]}),
        (2**60, 2**60),
    ],
)
def test_by_default_case_blanks_and_forms_of_characters_do_not_count(accepted: Any, given_: Any) -> None:
    assert one(accepted, given_) is True


@pytest.mark.parametrize(
    ("accepted", "given_"),
    [
        ("10.50", "1050"),
        ("12-34", "1234"),
        ("a/b", "ab"),
        ("New York", "NewYork"),
        ("a_b", "a b"),
        (2**60, 2.0**60 + 1024),
    ],
)
def test_by_default_punctuation_and_where_the_blanks_are_count(accepted: Any, given_: Any) -> None:
    assert one(accepted, given_) is False


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
@pytest.mark.parametrize("text", ["normalised", "lenient", "exact"])
def test_other_values_are_not_equal(accepted: Any, given_: Any, text: str) -> None:
    assert one(accepted, given_, text=text) is False


@pytest.mark.parametrize("given_", ["new york", "New-York", "New York "])
def test_exact_text_forgives_nothing(given_: str) -> None:
    assert one("New York", given_, text="exact") is False
    assert one("New York", "New York", text="exact") is True


def test_light_punctuation_includes_the_decimal_point_of_a_number_in_text() -> None:
    """Why ``lenient`` is not the default: as the leaderboard compares, two amounts are one."""
    assert one("10.50", "1050", text="lenient") is True
    assert one("10.50", "1050", text="exact") is False


def typed(schema: Any, accepted: Any, given_: Any, **params: Any) -> Score:
    """The score of one argument that has this schema."""
    tool = ToolSpec("f", parameters={"type": "object", "properties": {"x": schema}})
    asked = case(specs=(tool,), tools=wants(ExpectedCall("f", {"x": (accepted,)})))
    return score(grader("tool_call", **params), asked, trace(tool_events=calls(("f", {"x": given_}))))


INTEGER, NUMBER = {"type": "integer"}, {"type": "number"}


@pytest.mark.parametrize(
    ("schema", "accepted", "given_", "strictly"),
    [
        (INTEGER, 5, 5.0, False),
        (INTEGER, 5, 5, True),
        (INTEGER, 5.0, 5.0, True),
        (INTEGER, 5.0, 5, True),
        (NUMBER, 5.0, 5, True),
        (NUMBER, 5, 5.0, True),
        (True, 5, 5.0, False),
        ({"type": "array", "items": INTEGER}, [5], [5.0], False),
        ({"type": "array", "items": NUMBER}, [5.0], [5], False),
        ({"type": "array", "items": NUMBER}, [5], [5], True),
        ({"type": "object", "properties": {"y": INTEGER}}, {"y": 5}, {"y": 5.0}, False),
    ],
)
def test_a_float_is_no_integer_only_where_numbers_are_strict(
    schema: Any, accepted: Any, given_: Any, strictly: bool
) -> None:
    assert typed(schema, accepted, given_).passed is True
    found = typed(schema, accepted, given_, numbers="strict")
    assert (found.passed, found.label) == (strictly, "" if strictly else "wrong_type")


def test_any_of_several_sequences_is_right_and_the_nearest_explains_the_failure() -> None:
    either = ToolExpectation(alternatives=((LOOKUP, REFUND), (ExpectedCall("handover"),)))
    assert graded(either, ("handover", {})).passed is True
    assert graded(either, ("lookup", {"order": "K-1"}), ("refund", {"order": "K-1"})).passed is True
    found = graded(either, ("lookup", {"order": "K-1"}), ("refund", {"order": "K-9"}))
    assert (found.label, "K-9" in found.evidence["detail"]) == ("wrong_value", True)


def test_order_counts_only_where_the_case_says_so() -> None:
    made: list[Call] = [("refund", {"order": "K-1"}), ("lookup", {"order": "K-1"})]
    assert graded(wants(LOOKUP, REFUND), *made).passed is True
    found = graded(wants(LOOKUP, REFUND, order="strict"), *made)
    assert (found.label, found.evidence["detail"]) == ("wrong_order", "`refund` is call 1 of 2, expected as call 2")
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
    assert graded(expected, *wrong).label == "wrong_value"


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
    assert "call 1 of 1, lookup: order: 'K-1' is too short" in found.evidence["detail"]
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
    assert (found.status, found.label, found.evidence["others"]) == ("ok", "wrong_tool", {"superfluous_call": 999})


def test_expressions_are_text_and_are_not_computed() -> None:
    assert one(4, "2+2") is False
    assert one("x", "__import__('os').system('true')") is False


TRANSFER = ExpectedCall("transfer", {"amount": (100, 100.5), "to": ({"name": "Anna", "iban": "DE1"},)})


@pytest.mark.parametrize(
    ("made", "label", "detail"),
    [
        (
            [("transfer", {"amount": "100", "to": {"name": "Anna", "iban": "DE1"}})],
            "wrong_type",
            'call 1 of 1, transfer.amount: expected 100 or 100.5, got "100"',
        ),
        (
            [("transfer", {"amount": 100, "to": {"name": "Anna", "iban": "DE2"}})],
            "wrong_value",
            'call 1 of 1, transfer.to.iban: expected "DE1", got "DE2"',
        ),
        (
            [("transfer", {"amount": 100, "to": {"name": "Anna"}})],
            "wrong_value",
            'call 1 of 1, transfer.to.iban: expected "DE1", got nothing',
        ),
        (
            [("transfer", {"amount": 100, "to": {"name": "Anna", "iban": "DE1", "bic": "X"}})],
            "wrong_value",
            'call 1 of 1, transfer.to.bic: expected nothing, got "X"',
        ),
        ([("transfer", {"amount": 100})], "missing_argument", "call 1 of 1, transfer: `to` is missing"),
        (
            [("transfer", {"amount": 100, "to": {"name": "Anna", "iban": "DE1"}, "now": True})],
            "unknown_argument",
            "call 1 of 1, transfer: `now` is not expected",
        ),
        ([("pay", {})], "wrong_tool", "call 1 of 1: expected `transfer`, got `pay`"),
        ([], "missing_call", "`transfer` was not called (call 1 of 1 expected)"),
    ],
)
def test_the_first_difference_is_explained(made: list[Call], label: str, detail: str) -> None:
    found = graded(wants(TRANSFER), *made)
    assert (found.label, found.evidence["detail"], "others" in found.evidence) == (label, detail, False)


def test_a_difference_inside_of_a_list_is_named_by_its_place() -> None:
    found = graded(wants(ExpectedCall("f", {"x": ([{"a": 1}, {"a": 2}],)})), ("f", {"x": [{"a": 1}, {"a": 3}]}))
    assert found.evidence["detail"] == "call 1 of 1, f.x[1].a: expected 2, got 3"


def test_many_accepted_values_are_counted() -> None:
    found = graded(wants(ExpectedCall("f", {"x": (1, 2, 3, 4, 5)})), ("f", {"x": 6}))
    assert found.evidence["detail"] == "call 1 of 1, f.x: expected 1 or 2 or 3 or 2 others, got 6"


def test_what_else_differs_is_counted_by_kind() -> None:
    expected = wants(LOOKUP, ExpectedCall("f", {"x": (1,), "y": (2,)}), ExpectedCall("g"))
    made: list[Call] = [("f", {"x": 1, "y": 3, "z": 4}), ("lookup", {"order": "K-1"}), ("h", {}), ("h", {})]
    found = graded(expected, *made)
    assert found.label == "wrong_value"
    assert found.evidence["detail"] == "call 1 of 4, f.y: expected 2, got 3"
    assert found.evidence["others"] == {"unknown_argument": 1, "wrong_tool": 1, "superfluous_call": 1}


def test_of_two_calls_of_a_tool_the_nearer_one_is_explained() -> None:
    expected = wants(ExpectedCall("f", {"x": (1,), "y": (1,)}), ExpectedCall("f", {"x": (2,), "y": (2,)}))
    found = graded(expected, ("f", {"x": 2, "y": 3}), ("f", {"x": 1, "y": 1}))
    assert found.evidence["detail"] == "call 1 of 2, f.y: expected 2, got 3"


def test_a_sequence_can_be_out_of_order_beside_another_fault() -> None:
    expected = wants(LOOKUP, ExpectedCall("f"), ExpectedCall("g"), order="strict")
    found = graded(expected, ("f", {}), ("lookup", {"order": "K-1"}))
    assert {found.label, *found.evidence["others"]} == {"wrong_order", "missing_call"}


def test_only_the_named_tools_count() -> None:
    expected = wants(LOOKUP, REFUND)
    made: list[Call] = [("search", {}), ("refund", {"order": "K-1"})]
    assert graded(expected, *made).passed is False
    assert graded(expected, *made, only=("refund",)).passed is True
    assert graded(expected, ("search", {}), only=("refund",)).label == "missing_call"
    assert graded(ToolExpectation(forbidden=("search",)), *made, only=("refund",)).label == "forbidden_tool"


SCHEMA = {
    "type": "object",
    "properties": {"n": {"$ref": "#/$defs/count"}, "unit": {"enum": ["km", "mi"]}},
    "required": ["n"],
    "additionalProperties": False,
    "$defs": {"count": {"type": "integer", "minimum": 1}},
}


@pytest.mark.parametrize(
    ("given_", "label", "detail"),
    [
        ({"n": 1, "unit": "km"}, "", ""),
        ({"n": 1.0}, "", ""),
        ({}, "missing_argument", "'n' is a required property"),
        ({"n": "1"}, "wrong_type", "f.n: '1' is not of type 'integer'"),
        ({"n": 0}, "wrong_value", "f.n: 0 is less than the minimum of 1"),
        ({"n": 1, "unit": "m"}, "wrong_value", "f.unit: 'm' is not one of"),
        ({"n": 1, "what": 1}, "unknown_argument", "'what' was unexpected"),
    ],
)
@pytest.mark.parametrize("expected", [None, wants(ExpectedCall("f", free=("*",)))])
def test_arguments_are_held_to_the_schema_of_a_tool_of_the_case(
    expected: ToolExpectation | None, given_: dict[str, Any], label: str, detail: str
) -> None:
    asked = case(specs=(ToolSpec("f", parameters=SCHEMA),), tools=expected)
    found = score(TOOLS, asked, trace(tool_events=calls(("f", given_))))
    assert (found.passed, found.label) == (not label, label)
    assert detail in found.evidence.get("detail", "")
    assert score(grader("tool_call", schema="ignore"), asked, trace(tool_events=calls(("f", given_)))).passed is True


def test_a_tool_that_is_not_offered_is_unknown() -> None:
    asked = case(specs=(ToolSpec("f"),))
    found = score(TOOLS, asked, trace(tool_events=calls(("g", {}), schema_errors=("no tool `g`",))))
    assert (found.passed, found.label) == (False, "unknown_tool")


@pytest.mark.parametrize("expected", [None, wants(LOOKUP), wants(ExpectedCall("lookup", free=("*",)))])
@pytest.mark.parametrize("schema", ["check", "ignore"])
def test_arguments_that_are_no_object_cannot_be_right(expected: ToolExpectation | None, schema: str) -> None:
    event = ToolEvent("lookup", '{"order": "K-1"', schema_errors=("arguments are not JSON: it ends",))
    found = score(grader("tool_call", schema=schema), case(tools=expected), trace(tool_events=(event,)))
    assert (found.passed, found.label) == (False, "not_decodable")
    assert found.evidence["detail"] == "call 1 of 1, lookup: arguments are not JSON: it ends"


CALL = '{"name": "lookup", "arguments": {"order": "K-1"}}'


@pytest.mark.parametrize("answer", [CALL, f"I look.\n```json\n{CALL}\n```", "lookup(order='K-1')"])
def test_calls_in_the_answer_are_read_only_where_that_is_asked_for(answer: str) -> None:
    asked = case(tools=wants(LOOKUP))
    assert score(TOOLS, asked, trace(answer)).label == "missing_call"
    assert score(grader("tool_call", read_text=True), asked, trace(answer)).passed is True
    assert score(grader("tool_call", read_text=True), case(tools=ToolExpectation(((),))), trace(answer)).passed is False


def test_what_the_system_could_not_read_is_not_read_for_it() -> None:
    answered = trace(f"```json\n{CALL}\n```", decode_error="wrapped in a code fence")
    found = score(grader("tool_call", read_text=True), case(tools=wants(LOOKUP)), answered)
    assert (found.label, found.evidence["detail"]) == ("not_decodable", "wrapped in a code fence")


@pytest.mark.parametrize("expected", [None, ToolExpectation(((),)), ToolExpectation(forbidden=("lookup",))])
def test_prose_of_a_system_that_reads_calls_from_text_is_no_fault_where_none_is_wanted(
    expected: ToolExpectation | None,
) -> None:
    answered = trace("You have 30 days.", decode_error="not Python call syntax")
    assert score(TOOLS, case(tools=expected), answered).passed is (None if expected is None else True)


def test_calls_of_the_trace_go_before_text() -> None:
    answered = trace(CALL, tool_events=calls(("other", {})))
    assert score(grader("tool_call", read_text=True), case(tools=wants(LOOKUP)), answered).label == "wrong_tool"


def test_a_call_in_text_that_would_have_to_be_computed_is_refused() -> None:
    found = score(grader("tool_call", read_text=True), case(tools=wants(LOOKUP)), trace("lookup(order='K-' + '1')"))
    assert (found.label, "not computed" in found.evidence["detail"]) == ("not_decodable", True)


def test_prose_calls_nothing() -> None:
    assert score(grader("tool_call", read_text=True), case(), trace("You have 30 days.")).status == "not_applicable"


@settings(deadline=None, max_examples=100)
@given(JSON, st.sampled_from(["normalised", "lenient", "exact"]), st.sampled_from(["equal", "strict"]))
def test_a_value_is_itself(value: Any, text: str, numbers: str) -> None:
    assert one(value, value, text=text, numbers=numbers) is True


@settings(deadline=None, max_examples=100)
@given(JSON, JSON)
def test_exact_and_strict_values_are_equal_only_where_their_json_is(left: Any, right: Any) -> None:
    same = canonical_json(left) == canonical_json(right)
    minus_zero = "-0.0" in repr((left, right))
    assert minus_zero or one(left, right, text="exact", numbers="strict") is same
