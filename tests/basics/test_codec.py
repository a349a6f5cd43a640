from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings

from evalkit.codec import ValidationError, decode, encode, plain, strict
from evalkit.records import (
    Case,
    Document,
    Expectation,
    ExpectedCall,
    Message,
    RecordedTool,
    Score,
    ToolExpectation,
    Trace,
)
from tests.basics.strategies import JSON, TRACES, exact


@settings(deadline=None, max_examples=60)
@given(TRACES)
def test_a_trace_comes_back_from_json_as_it_was(trace: Trace) -> None:
    again = decode(Trace, encode(trace))
    assert again == trace
    assert exact(plain(again)) == exact(plain(trace))
    assert decode(Trace, encode(trace).decode()) == trace
    assert decode(Trace, plain(trace)) == trace


@settings(deadline=None, max_examples=100)
@given(JSON)
def test_free_values_keep_their_types(value: Any) -> None:
    again = decode(RecordedTool, encode(RecordedTool("t", result=value)))
    assert exact(again.result) == exact(value)


def test_json_is_compact_and_readable_by_the_standard_library() -> None:
    case = Case("ü\n", (Message("user", 'a"b\x00'),), variables={"n": 1.0})
    assert json.loads(encode(case)) == plain(case)
    assert b": " not in encode(case)
    assert "ü".encode() in encode(case)


def test_plain_data_is_made_of_lists_dicts_and_scalars_with_tuples_turned_into_lists() -> None:
    data = plain(Case("a", (Message("user", "x"),), tags=("t",), expect=Expectation(facts=(("a", "b"),))))
    assert data["tags"] == ["t"]
    assert data["expect"]["facts"] == [["a", "b"]]
    assert data["input"] == [{"role": "user", "content": "x", "tool_calls": [], "tool_call_id": None}]


def test_defaults_can_be_left_out_at_every_level() -> None:
    case = Case("a", (Message("user", "x"),), expect=Expectation(behaviour="refuse"))
    assert plain(case, exclude_defaults=True) == {
        "id": "a",
        "input": [{"role": "user", "content": "x"}],
        "expect": {"behaviour": "refuse"},
    }


def test_decoding_gives_the_records_own_tuples() -> None:
    case = decode(Case, {"id": "a", "input": [{"role": "user"}], "expect": {"facts": [["x"]]}, "tags": ["t"]})
    assert case == Case("a", (Message("user"),), expect=Expectation(facts=(("x",),)), tags=("t",))
    assert isinstance(case.input, tuple)


NESTED: list[tuple[dict[str, Any], tuple[str | int, ...]]] = [
    ({"id": "a", "input": [], "nope": 1}, ("nope",)),
    ({"id": "a", "input": [{"role": "user", "nope": 1}]}, ("input", 0, "nope")),
    (
        {"id": "a", "input": [{"role": "user", "tool_calls": [{"name": "t", "nope": 1}]}]},
        ("input", 0, "tool_calls", 0, "nope"),
    ),
    ({"id": "a", "input": [], "expect": {"nope": 1}}, ("expect", "nope")),
    ({"id": "a", "input": [], "expect": {"tools": {"nope": 1}}}, ("expect", "tools", "nope")),
    (
        {"id": "a", "input": [], "expect": {"tools": {"alternatives": [[{"name": "t", "nope": 1}]]}}},
        ("expect", "tools", "alternatives", 0, 0, "nope"),
    ),
    ({"id": "a", "input": [], "context": [{"id": "d", "text": "x", "nope": 1}]}, ("context", 0, "nope")),
    ({"id": "a", "input": [], "tools": [{"name": "t", "nope": 1}]}, ("tools", 0, "nope")),
    ({"id": "a", "input": [], "recorded_tools": [{"name": "t", "nope": 1}]}, ("recorded_tools", 0, "nope")),
    ({"id": "a", "input": [], "provenance": {"nope": 1}}, ("provenance", "nope")),
]


@pytest.mark.parametrize(
    ("data", "where"), NESTED, ids=lambda item: ".".join(map(str, item)) if isinstance(item, tuple) else ""
)
def test_an_unknown_key_is_refused_by_strict_and_ignored_by_decode(data: Any, where: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        strict(Case, data)
    problems = caught.value.errors()
    assert [problem["loc"] for problem in problems] == [("record", *where)]
    assert decode(Case, data).id == "a"


def test_free_values_may_have_any_key_in_strict_data() -> None:
    data = {"id": "a", "input": [], "variables": {"nope": {"nope": 1}}, "slices": {"nope": "x"}}
    assert strict(Case, data).variables == {"nope": {"nope": 1}}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"id": "a"},
        {"id": 5, "input": []},
        {"id": "a", "input": "text"},
        {"id": "a", "input": [{"role": "robot"}]},
        {"id": "a", "input": [], "risk": "huge"},
        {"id": "a", "input": [], "critical": "perhaps"},
        {"id": "a", "input": [], "slices": {"k": 1}},
        {"id": "a", "input": [], "expect": None},
        None,
        [],
    ],
)
def test_data_that_does_not_fit_is_refused(data: Any) -> None:
    with pytest.raises(ValidationError):
        decode(Case, data)
    with pytest.raises(ValidationError):
        strict(Case, data)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", "null", b'{"id":"a","input":[]} x'])
def test_text_that_is_not_the_json_of_a_record_is_refused(data: bytes | str) -> None:
    with pytest.raises(ValidationError):
        decode(Case, data)


def test_strict_and_decode_agree_on_what_fits() -> None:
    case = Case(
        "a",
        (Message("user", "x"),),
        expect=Expectation(tools=ToolExpectation(((ExpectedCall("t", {"n": (1, "1", None)}),),), "strict")),
        context=(Document("d", "text", trusted=False),),
    )
    assert strict(Case, plain(case)) == decode(Case, plain(case)) == case


def test_a_score_that_is_not_a_number_never_comes_back_as_one() -> None:
    for value in (math.nan, math.inf, -math.inf):
        assert decode(Score, encode(Score("c", 0, "g", "1", "f", "ok", value=value))).value is None


def test_every_field_of_a_record_is_written() -> None:
    assert list(plain(Trace("w", "c", 0, "ok"))) == [field.name for field in dataclasses.fields(Trace)]
