"""How an answer changed, in the words of a group."""

from __future__ import annotations

import pytest

from evalkit.gate.facts import CHANGES, Said, answer_changes

LONG = "The parcel leaves on Monday and is with you on Wednesday; you get a mail with a link to follow it on its way."
CALL = "[area(side1=3, side2=4)]"


@pytest.mark.parametrize(
    ("before", "now", "wanted"),
    [
        (CALL, f"```json\n{CALL}\n```", {"fenced"}),
        (f"~~~\n{CALL}\n~~~", CALL, {"fence lost"}),
        (LONG, "", {"empty"}),
        (LONG, "   \n", {"empty"}),
        ('{"total": 3}', "The total is 3.", {"no JSON"}),
        ("The total is 3.", '[{"total": 3}]', {"JSON"}),
        ('{"total": 3}', 'Here: {"total": 3}', {"no JSON"}),
        (
            LONG,
            "I'm sorry, but I can't help with that request today, it is not something we are told about.",
            {"refuses"},
        ),
        ("Das kann ich Ihnen leider nicht sagen.", "Die Lieferung kommt am Montag zu Ihnen.", {"refusal lost"}),
        ("The order arrives on Monday [delivery-2026].", "The order arrives on Monday.", {"citations lost"}),
        (
            "The delivery is free of charge for all the orders.",
            "Die Lieferung ist für alle Bestellungen kostenlos und schnell.",
            {"language"},
        ),
        (LONG, LONG[:30], {"shorter"}),
        (LONG[:30], LONG, {"longer"}),
        (LONG, LONG, {"same"}),
        (LONG, LONG.replace("Monday", "Friday"), set()),
        ("", "", set()),
    ],
)
def test_the_form_of_an_answer(before: str, now: str, wanted: set[str]) -> None:
    assert {name for name, _ in answer_changes(Said(answer=before), Said(answer=now))} == wanted


@pytest.mark.parametrize(
    ("before", "now", "wanted"),
    [
        (Said(tools=("pay",)), Said(), {("no call", "")}),
        (Said(tools=("pay", "find")), Said(tools=("find", "mail")), {("call lost", "pay"), ("new call", "mail")}),
        (Said(route="small"), Said(route="large"), {("route", "large")}),
        (Said(), Said(unreadable=True), {("unreadable call", "")}),
        (Said(documents=("a", "b")), Said(documents=("a",)), {("documents", "")}),
        (Said(), Said(finished=False), {("unfinished", "")}),
        (Said(finished=False), Said(finished=False), set()),
        (Said(answer="a"), Said(answer="b", finish_reason="length"), {("cut off", "length")}),
        (Said(answer="a", finish_reason="length"), Said(answer="b", finish_reason="length"), set()),
    ],
)
def test_what_a_trial_did(before: Said, now: Said, wanted: set[tuple[str, str]]) -> None:
    assert answer_changes(before, now) == wanted


def test_every_change_has_words() -> None:
    for text, weight in CHANGES.values():
        assert text.format("it")[0].islower()
        assert 0 < weight <= 1
