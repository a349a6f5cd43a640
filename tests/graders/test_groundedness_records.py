"""Structured sources field by field: flags, choices, hours and what is not known, in any JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.records import Score, ToolEvent

from .made import case, grader, score, trace

VENUE: dict[str, Any] = {
    "name": "Harbour Mill",
    "outdoorSeating": False,
    "take_out": True,
    "wifi": "free",
    "music": None,
    "parking": {"garage": False, "street": True, "valet": False},
    "hours": {"Monday": "9:0-17:30", "Tuesday": "9:0-17:30", "Saturday": "10:0-14:0"},
    "notes": "Guests praise the lemon cake and the friendly waiters of Harbour Mill.",
}


def graded(answer: str, record: Any = VENUE) -> Score:
    """The score of an answer from one record."""
    return score(grader("groundedness"), case("Describe it."), trace(answer, documents=(json.dumps(record),)))


def verdicts(found: Score) -> list[tuple[str, str]]:
    """Verdict and what the record says instead, of each sentence without support."""
    return [(item["verdict"], item.get("instead", "")) for item in found.evidence["unsupported"]]


@pytest.mark.parametrize(
    "answer",
    [
        "Harbour Mill has no outdoor seating and offers take out.",
        "Harbour Mill has take-out, free wifi and street parking.",
        "Harbour Mill offers street parking but no garage parking or valet parking.",
        "Harbour Mill opens Monday to Tuesday from 9 am to 5:30 pm.",
        "Harbour Mill is open on Saturday from 10:00 to 14:00.",
        "Guests praise the lemon cake of Harbour Mill.",
        "name: Harbour Mill, outdoor seating: no, take out: yes.",
    ],
)
def test_what_the_fields_say_is_supported(answer: str) -> None:
    found = graded(answer)
    assert (found.passed, verdicts(found)) == (True, [])


@pytest.mark.parametrize(
    ("answer", "instead"),
    [
        ("Harbour Mill offers outdoor seating.", "outdoorSeating: false"),
        ("Harbour Mill does not offer take out.", "take_out: true"),
        ("Harbour Mill has no wifi for guests.", 'wifi: "free"'),
        ("Harbour Mill has garage parking for guests.", "parking.garage: false"),
        ("Harbour Mill has parking, but no street parking.", "parking.street: true"),
        ("Harbour Mill is open on Monday from 9 am to 6 pm.", "hours: "),
        ("Harbour Mill is open Monday to Friday from 9 am to 5:30 pm.", "hours: "),
        ("Harbour Mill is open seven days a week for guests.", "hours: "),
        ("Harbour Mill is open on Saturday from 9 am to 5:30 pm.", "hours: "),
    ],
)
def test_another_value_than_the_fields_is_a_contradiction(answer: str, instead: str) -> None:
    found = graded(answer)
    assert (found.passed, found.label) == (False, "contradicted")
    ((verdict, said),) = verdicts(found)
    assert verdict == "contradicted"
    assert said.startswith(instead)


def test_a_field_without_a_value_supports_nothing() -> None:
    assert verdicts(graded("Harbour Mill plays music for guests.")) == [("unsupported", "")]
    told = graded("Harbour Mill offers take out, and whether it has music is not stated.")
    assert (told.passed, verdicts(told)) == (True, [])


def test_a_tools_result_is_a_record_too() -> None:
    event = ToolEvent("lookup", {}, result={"order": {"giftWrapped": False, "shipped": True}})
    answered = trace("Your order was shipped and is gift wrapped.", tool_events=(event,))
    found = score(grader("groundedness"), case(), answered)
    assert verdicts(found) == [("contradicted", "order.giftWrapped: false")]


def test_of_a_list_with_both_values_a_field_contradicts_nothing() -> None:
    orders = [{"order": "kettle", "shipped": True}, {"order": "toaster", "shipped": False}]
    assert verdicts(graded("The kettle order was shipped.", orders)) == []
    assert verdicts(graded("The toaster order was not shipped.", orders)) == []
    same = [{"order": "kettle", "shipped": True}, {"order": "toaster", "shipped": True}]
    assert verdicts(graded("The kettle order was not shipped.", same)) == [("contradicted", "[0].shipped: true")]


def test_a_quoted_document_is_not_held_against_a_record() -> None:
    event = ToolEvent("lookup", {}, result={"valid": True, "voucher": "V-1"})
    text = "Vouchers are valid for 12 months and not paid out in cash."
    found = score(grader("groundedness"), case(), trace(text, documents=(text,), tool_events=(event,)))
    assert found.passed is True


WORDS = ("delivery", "terrace", "sauna", "lift", "laundry", "breakfast", "fireplace", "playground")


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(WORDS), st.booleans(), min_size=1), st.data())
def test_a_flag_is_contradicted_exactly_when_it_is_told_the_other_way(
    flags: dict[str, bool], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(flags)))
    told = data.draw(st.booleans())
    answer = f"Guests of Harbour Mill {'have a' if told else 'have no'} {name} there."
    found = graded(answer, {"name": "Harbour Mill guests", "house": {"place": "Harbour Mill guests", **flags}})
    assert (("contradicted", f"house.{name}: {json.dumps(flags[name])}") in verdicts(found)) is (
        told is not flags[name]
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(json_values, st.text(max_size=200))
def test_any_record_and_any_answer_give_a_share_or_nothing(record: Any, answer: str) -> None:
    found = graded(answer, record)
    assert found.status in ("ok", "not_applicable")
    assert found.value is None or 0 <= found.value <= 1
