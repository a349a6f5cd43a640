"""Masking of whole traces and cases: every field that can hold a text."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evalkit.codec import decode, encode, plain
from evalkit.grading.textual import contains
from evalkit.records import (
    AnswerMatch,
    Case,
    Document,
    Expectation,
    ExpectedCall,
    FailedAttempt,
    Message,
    ModelCall,
    PolicyDecision,
    Provenance,
    RecordedTool,
    RetrievedDocument,
    RouteStep,
    ToolCall,
    ToolEvent,
    ToolExpectation,
    ToolSpec,
    Trace,
    TraceError,
    Usage,
)
from evalkit.redaction import Redactor
from tests.basics.planted import HOSTILE, SAMPLES
from tests.basics.strategies import TRACES, exact

Path = tuple[str | int, ...]

TRACE = Trace(
    workflow="w",
    case_id="c",
    trial=3,
    status="error",
    answer="a",
    configuration="f",
    request_id="r",
    tenant="t",
    role="user",
    locale="en",
    intent="i",
    risk="low",
    route=(RouteStep("small", "rule", "model", "large"),),
    documents=(RetrievedDocument("d", "text", "title", "2026-01-01", "mail", trusted=False, rank=1, score=0.5),),
    messages=(Message("assistant", "content", (ToolCall("t", {"a": ["x", {"b": "y"}]}, "1"),), "2"),),
    model_calls=(
        ModelCall(
            "m", "reported", "provider", "purpose", "digest", "stop", Usage(1, 2, 3, 4, 5), 5, True, 6, True, 7, 8, 9,
            (FailedAttempt("status", "failure", 503, 1, 2, 3),), "error", "error text", "system", simulated=True,
        ),
    ),
    tool_events=(
        ToolEvent("t", {"a": ["x", {"b": "y"}]}, "1", ("problem",), "deny", "denied", ["r", {"k": "v"}], "error", 2),
    ),
    policy_decisions=(PolicyDecision("act", "subject", "deny", "rule", "major", "message"),),
    finish_reason="stop",
    decode_error="not JSON",
    error=TraceError("provider", "message"),
    started_us=10,
    simulated=True,
    redactions={},
    lag_us=12,
    replaced_characters=11,
)  # fmt: skip
CASE = Case(
    id="c",
    input=(Message("user", "content", (ToolCall("t", {"a": ["x"]}, "1"),), "2"),),
    expect=Expectation(
        "answer", (("fact", "other wording"),), ("forbidden",), "answer", ("citation",),
        ToolExpectation(((ExpectedCall("t", {"a": ("x", {"b": "y"})}, ("o",), ("f",)),),), "strict", ("never",)),
        AnswerMatch(
            "json", ("text",), "case", 1.0, 0.5, 0.1, "days", True, {"properties": {"a": {"const": "x"}}},
            {"a": ["x", {"b": "y"}]}, {"a": "1%"}, ("a.*.b",), "pattern", True,
        ),
    ),
    context=(Document("d", "text", "title", "2026-01-01", "mail", "tenant", ("role",), trusted=False),),
    tools=(ToolSpec("t", "description", {"properties": {"a": {"description": "d"}}}, "money"),),
    recorded_tools=(RecordedTool("t", {"r": ["x"]}, {"a": "x"}, "error"),),
    variables={"v": ["x", {"k": "y"}]},
    tenant="t", role="r", locale="en", intent="i", risk="high", critical=True, cluster="k",
    slices={"s": "x"}, tags=("t",), provenance=Provenance("source", "author", "2026-01-01", "reference"), notes="n",
)  # fmt: skip
FIXED = {
    "status",
    "verdict",
    "point",
    "severity",
    "source",
    "behaviour",
    "order",
    "side_effect",
    "risk",
    "kind",
    "fold",
}
"""Fields, somewhere in a record, whose values are names of a fixed list."""


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def planted(record: Trace | Case, path: Path, text: object) -> Any:
    data = copy.deepcopy(plain(record))
    here = data
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = text
    return data


def open_texts(record: Trace | Case) -> list[Path]:
    """The paths of all texts that are not names of a fixed list."""
    found = []
    for path, value in leaves(plain(record)):
        if isinstance(value, str):
            try:
                decode(type(record), planted(record, path, "other text"))
            except ValueError:
                assert path[-1] in FIXED | {"role"}
            else:
                found.append(path)
    return found


EVERYTHING = "see " + "; ".join(sample.text for sample in SAMPLES) + "; hunter22-key."
TRACE_PATHS = [path for path in open_texts(TRACE) if path != ("case_id",)]
CASE_PATHS = [path for path in open_texts(CASE) if path != ("id",)]


def redactor() -> Redactor:
    return Redactor(secrets=["hunter22-key"], key=b"k")


def empty_fields(value: Any, name: str) -> Iterator[str]:
    """Fields that the records of this file forgot, in nested records too."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from empty_fields(getattr(value, field.name), f"{name}.{field.name}")
    elif isinstance(value, tuple) and value:
        for item in value:
            yield from empty_fields(item, name)
    elif value in (None, "", (), {}):
        yield name


def test_the_records_of_this_file_leave_no_field_out() -> None:
    assert list(empty_fields(TRACE, "trace")) == ["trace.redactions"]
    assert list(empty_fields(CASE, "case")) == []


@pytest.mark.parametrize("path", TRACE_PATHS, ids=lambda path: ".".join(map(str, path)))
def test_no_secret_survives_in_any_field_of_a_trace_but_the_id_of_its_case(path: Path) -> None:
    trace = decode(Trace, planted(TRACE, path, EVERYTHING))
    stored = redactor().trace(trace)
    written = encode(stored).decode()
    assert [sample.kind for sample in SAMPLES if sample.core in written] == []
    assert "hunter22" not in written
    assert stored.redactions == {sample.kind: 1 for sample in SAMPLES} | {"secret": 1}
    masked = redactor().text(EVERYTHING)
    assert exact(plain(stored)) == exact({**planted(TRACE, path, masked), "redactions": stored.redactions})


@pytest.mark.parametrize("path", CASE_PATHS, ids=lambda path: ".".join(map(str, path)))
def test_no_secret_survives_in_any_field_of_a_case_but_its_id(path: Path) -> None:
    masked = redactor().case(decode(Case, planted(CASE, path, EVERYTHING)))
    assert exact(plain(masked)) == exact(planted(CASE, path, redactor().text(EVERYTHING)))


@settings(deadline=None, max_examples=60)
@given(trace=TRACES)
def test_masking_a_trace_twice_changes_nothing_more(trace: Trace) -> None:
    once = redactor().trace(trace)
    assert redactor().trace(once) == once
    full = decode(Trace, {**plain(trace), "answer": EVERYTHING, "decode_error": EVERYTHING})
    masked = redactor().trace(full)
    again = redactor().trace(masked)
    assert exact(plain(again)) == exact(plain(masked))
    assert masked.redactions["email"] >= 2


def test_a_trace_without_secrets_is_stored_as_it_is() -> None:
    assert redactor().trace(TRACE) is TRACE
    assert redactor().case(CASE) is CASE
    stored, written = redactor().encoded(TRACE)
    assert stored is TRACE
    assert written == encode(TRACE)


def masked_one_by_one(masker: Redactor, value: Any, counts: Counter[str], *, foreign: bool = False) -> Any:
    """Every text masked by itself: the long way."""
    if isinstance(value, dict):
        if foreign:
            return masker.value(value, counts)
        return {
            key: masked_one_by_one(masker, item, counts, foreign=key in ("arguments", "result", "variables"))
            for key, item in value.items()
        }
    if isinstance(value, list) and not foreign:
        return [masked_one_by_one(masker, item, counts) for item in value]
    return masker.value(value, counts) if foreign or isinstance(value, str) else value


KNOWN_KEY = 'line 1\n"\\ü2'
MASKERS = [
    Redactor(key=b"k"),
    Redactor(key=b"k", secrets=[KNOWN_KEY, "20261122"]),
    Redactor(key=b"k", keep=["email", "card"]),
    Redactor(key=b"k", personal_data=False),
]
NUMBERS = st.sampled_from([4111111111111111, -4111111111111111, 20261122, 4111111111111112, 1.5, True, None])
VALUES: st.SearchStrategy[Any] = st.recursive(
    HOSTILE | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=2),
    max_leaves=4,
)
STARTS = st.sampled_from([0, 1_795_336_286_123_456, 4_111_111_111_111_111])


@settings(deadline=None, max_examples=300)
@given(
    masker=st.sampled_from(MASKERS),
    text=HOSTILE,
    value=VALUES,
    started=STARTS,
    redactions=st.dictionaries(HOSTILE | st.just("started_us"), st.integers(0, 9), max_size=1),
)
@example(MASKERS[1], f"x{KNOWN_KEY}x", None, 0, {})
@example(MASKERS[1], "[secret]", None, 0, {})
@example(MASKERS[0], "", {"a": 1, "started_us": 4111111111111111}, 1, {})
@example(MASKERS[0], "", [1, 4111111111111111], 1, {})
def test_masking_a_trace_is_masking_each_of_its_texts(
    masker: Redactor, text: str, value: Any, started: int, redactions: dict[str, int]
) -> None:  # fmt: skip
    """However a datum is escaped in JSON, and whatever stands around it there."""
    trace = Trace(
        "w", "c", 0, "ok", answer=text, tool_events=(ToolEvent("t", value),), started_us=started, redactions=redactions
    )
    counts: Counter[str] = Counter()
    expected = masked_one_by_one(masker, plain(trace), counts)
    found = bool(counts)
    if found:
        counts.update(redactions)
        expected["redactions"] = dict(counts)
    stored, written = masker.encoded(trace)
    assert exact(plain(stored)) == exact(expected)
    assert written == encode(stored)
    assert (stored is trace) == (not found)


@settings(deadline=None, max_examples=150)
@given(masker=st.sampled_from(MASKERS), text=HOSTILE, value=VALUES)
@example(MASKERS[0], "x", {"a": 1, "started_us": 4111111111111111})
def test_masking_a_case_is_masking_each_of_its_texts(masker: Redactor, text: str, value: Any) -> None:
    case = Case("c", (Message("user", text),), variables={"v": value})
    counts: Counter[str] = Counter()
    masked = masker.case(case)
    assert exact(plain(masked)) == exact(masked_one_by_one(masker, plain(case), counts))
    assert (masked is case) == (not counts)


def test_every_match_is_counted_by_kind() -> None:
    trace = Trace(
        "w", "c", 0, "ok", answer="a@example.com, b@example.com", request_id="203.0.113.77", tenant="c@example.com"
    )
    assert redactor().trace(trace).redactions == {"email": 3, "ip": 1}


def test_values_that_are_no_text_keep_their_type() -> None:
    arguments = {"n": 1, "f": 1.0, "t": True, "z": None, "s": "a@example.com", "l": [0, 0.0, False]}
    stored = redactor().trace(Trace("w", "c", 0, "ok", tool_events=(ToolEvent("t", arguments),)))
    assert exact(stored.tool_events[0].arguments) == exact({**arguments, "s": redactor().text("a@example.com")})


def test_a_case_and_its_trace_can_still_be_compared_after_masking() -> None:
    case = redactor().case(Case("c", (Message("user", "x"),), expect=Expectation(facts=(("anna@example.com",),))))
    trace = redactor().trace(Trace("w", "c", 0, "ok", answer="Write to Anna@example.com, please."))
    assert case.expect.facts[0][0] in trace.answer


def test_a_forbidden_text_is_still_found_after_masking() -> None:
    forbidden, answer = "DE00 1234 5678 9012 3456 00", "Pay to IBAN DE00-1234-5678-9012-3456-00."
    assert contains(answer, forbidden)
    case = redactor().case(Case("c", (Message("user", "x"),), expect=Expectation(forbidden=(forbidden,))))
    trace = redactor().trace(Trace("w", "c", 0, "ok", answer=answer))
    assert contains(trace.answer, case.expect.forbidden[0])


def test_the_id_of_a_case_stays_so_that_its_results_can_be_found() -> None:
    case = redactor().case(Case("anna@example.com", (Message("user", "I am bo@example.com"),)))
    assert case.id == "anna@example.com"
    assert "bo@example.com" not in case.input[0].content


def test_a_trace_keeps_the_id_of_its_case() -> None:
    assert redactor().trace(Trace("w", "anna@example.com", 0, "ok")).case_id == "anna@example.com"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.kind)
def test_no_secret_survives_as_a_key_of_an_object(sample: Any) -> None:
    trace = Trace(
        "w", "c", 0, "ok", tool_events=(ToolEvent("t", {sample.text: 1}, result={"deep": [{sample.text: 2}]}),)
    )
    assert sample.core.encode() not in encode(redactor().trace(trace))


def test_no_card_number_survives_as_a_number() -> None:
    trace = Trace("w", "c", 0, "ok", tool_events=(ToolEvent("t", result={"card": 4111111111111111}),))
    assert b"4111111111111111" not in encode(redactor().trace(trace))


def test_numbers_of_the_record_itself_stay() -> None:
    trace = Trace("w", "c", 0, "ok", answer="a@example.com", started_us=4111111111111111)
    assert redactor().trace(trace).started_us == 4111111111111111


def test_two_keys_that_become_alike_keep_both_values() -> None:
    masked = redactor().value({"A@example.com": 1, "a@example.com": 2}, Counter())
    token = redactor().text("a@example.com")
    assert masked == {token: 1, f"{token} (2)": 2}


def test_counts_of_an_earlier_masking_are_kept() -> None:
    first = redactor().trace(Trace("w", "c", 0, "ok", answer="a@example.com"))
    second = Redactor(secrets=["answer-key"], key=b"k").trace(decode(Trace, {**plain(first), "tenant": "answer-key"}))
    assert second.redactions == {"email": 1, "secret": 1}


def test_masking_a_value_leaves_the_one_given_as_it_was() -> None:
    value = {"a": ["x@example.com", {"b": "203.0.113.77"}]}
    before = copy.deepcopy(value)
    counts: Counter[str] = Counter()
    assert redactor().value(value, counts) != before
    assert value == before
    assert counts == {"email": 1, "ip": 1}
