"""Broken cases grouped by what sets them apart."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit import codec
from evalkit.gate.explanation import group_failures
from evalkit.gate.facts import CaseFacts
from evalkit.gate.verdict import FailureGroup, Verdict

from .world import World, make_cases, passing, rule

FENCED = frozenset({("fenced", "")})
TOPICS = ("refund", "delivery", "warranty", "invoice")


def facts(number: int, **changes: object) -> CaseFacts:
    """A case like the others: keys that have nothing to do with anything."""
    draw = random.Random(number)
    keys = {"locale": draw.choice(["en", "de", "fr"]), "intent": draw.choice(TOPICS), "role": draw.choice("abcdefgh")}
    plain = CaseFacts(keys=keys, question=f"Tell me about my {draw.choice(TOPICS)} of {draw.choice('abcdef')}.")
    return replace(plain, **changes)  # type: ignore[arg-type]


def names(count: int) -> list[str]:
    return [f"case-{number:05d}" for number in range(count)]


def grouped(broken: list[CaseFacts], others: list[CaseFacts], *failures: frozenset[str]) -> tuple[FailureGroup, ...]:
    groups = group_failures(names(len(broken)), broken, others, failures)
    told = [case for group in groups for case in group.cases]
    assert sorted(told) == names(len(broken)), "each broken case is in exactly one group"
    assert all(group.size == len(group.cases) and group.example in group.cases for group in groups)
    return groups


OTHERS = [facts(number) for number in range(1_000, 1_200)]


def test_a_code_fence_is_named_with_its_size_lift_and_an_example() -> None:
    broken = [facts(number, changes=FENCED) for number in range(30)]
    others = [replace(case, changes=FENCED) for case in OTHERS[:4]] + OTHERS[4:]
    (group,) = grouped(broken, others, *[frozenset({"tool_call: not decodable"})] * 30)
    assert (group.kind, group.size, group.of) == ("change", 30, 30)
    assert (group.matching, group.others, group.of_others) == (30, 4, 200)
    assert group.lift == pytest.approx(50)
    assert group.example == "case-00000"
    assert group.sentence == (
        "The answer is wrapped in a code fence now: 30 of 30 broken cases, 4 of 200 others. "
        "Mostly tool_call: not decodable (30)."
    )


def test_what_no_other_case_shares_has_no_finite_lift() -> None:
    (group,) = grouped([facts(number, changes=FENCED) for number in range(10)], OTHERS)
    assert (group.others, group.lift) == (0, None)


def test_a_cause_is_named_before_its_effect() -> None:
    both = FENCED | {("no call", ""), ("unreadable call", "")}
    groups = grouped([facts(number, changes=both) for number in range(20)], OTHERS)
    assert [group.sentence.partition(":")[0] for group in groups] == ["The answer is wrapped in a code fence now"]


def test_a_slice_is_found_by_its_key() -> None:
    broken = [facts(number) for number in range(40)]
    broken = [replace(case, keys={**case.keys, "locale": "es"}) for case in broken]
    (group, *_) = grouped(broken, OTHERS)
    assert (group.kind, group.size) == ("slice", 40)
    assert group.sentence.startswith("Locale is es: 40 of 40 broken cases, 0 of 200 others.")


def test_a_slice_of_two_keys_is_found_as_one_rule() -> None:
    cases = [facts(number) for number in range(3_000)]
    broken = [case for case in cases if (case.keys["locale"], case.keys["intent"]) == ("de", "refund")]
    others = [case for case in cases if case not in broken]
    (group, *_) = grouped(broken, others)
    assert group.kind == "slice"
    assert "locale is de" in group.sentence.lower()
    assert "intent is refund" in group.sentence.lower()
    assert (group.size, group.others) == (len(broken), 0)


def test_a_tool_sets_cases_apart() -> None:
    broken = [facts(number, tools=frozenset({"pay"})) for number in range(15)]
    (group,) = grouped(broken, OTHERS)
    assert group.sentence.startswith("Tool pay is called: 15 of 15")


def test_words_of_questions_and_answers_are_themes() -> None:
    asked = [facts(number, question=f"Where is the aquarium of {number}?") for number in range(12)]
    (group, *_) = grouped(asked, OTHERS)
    assert group.kind == "theme"
    assert "the question speaks of “aquarium”" in group.sentence.lower()
    said = [facts(number, new_words="please consult lawyer") for number in range(12)]
    (group, *_) = grouped(said, OTHERS)
    assert "the answer says “" in group.sentence.lower()


def test_two_patterns_are_two_groups_and_the_rest_is_said() -> None:
    broken = [facts(number, changes=FENCED) for number in range(20)]
    broken += [facts(number, changes=frozenset({("refuses", "")})) for number in range(20, 35)]
    broken += [facts(number) for number in range(35, 39)]
    groups = grouped(broken, OTHERS)
    assert [(group.kind, group.size) for group in groups] == [("change", 20), ("change", 15), ("rest", 4)]
    assert groups[-1].sentence == "The others share nothing that sets them apart: 4 of 39 broken cases."


def test_what_other_cases_share_as_often_explains_nothing() -> None:
    change = frozenset({("longer", "")})
    broken = [facts(number, changes=change if number % 2 else frozenset()) for number in range(30)]
    others = [replace(case, changes=change if place % 2 else frozenset()) for place, case in enumerate(OTHERS)]
    assert [group.kind for group in grouped(broken, others)] == ["rest"]


def test_broken_cases_chosen_by_chance_are_seldom_explained() -> None:
    found = 0
    for seed in range(60):
        cases = [facts(10_000 + 300 * seed + number) for number in range(220)]
        found += grouped(cases[:20], cases[20:])[0].kind != "rest"
    assert found <= 5


def test_kinds_of_failure_tell_the_rest_apart() -> None:
    kinds = [frozenset({f"answer: {'rude' if number % 2 else 'wrong'}"}) for number in range(20)]
    groups = grouped([facts(number) for number in range(20)], OTHERS, *kinds)
    assert {group.sentence for group in groups} == {
        "Graders say answer: rude: 10 of 20 broken cases.",
        "Graders say answer: wrong: 10 of 20 broken cases.",
    }


def test_without_other_cases_there_is_no_lift() -> None:
    (group,) = grouped([facts(number, changes=FENCED) for number in range(4)], [])
    assert (group.kind, group.of_others, group.lift) == ("change", 0, None)


def test_the_same_cases_give_the_same_groups() -> None:
    cases = [facts(number, changes=FENCED if number % 3 else frozenset()) for number in range(60)]
    assert grouped(cases, OTHERS) == grouped(cases, OTHERS)


# ── in a verdict ────────────────────────────────────────────────────────────────────────


def test_a_verdict_holds_the_groups_and_they_are_stored(tmp_path: Path) -> None:
    world = World(tmp_path / "store", make_cases(60, locale=lambda number: "de" if number < 12 else "en"))
    baseline = world.run({"answer": passing(world.cases, "case-050")})
    broken = [f"case-{number:03d}" for number in range(12)]
    verdict = world.judge(world.run({"answer": passing(world.cases, "case-050", *broken)}, version="2"), baseline)
    assert rule(verdict, "answer").status == "block"
    (group,) = verdict.groups
    assert group.cases == tuple(broken)
    assert group.sentence.startswith("Locale is de: 12 of 12 broken cases, 0 of 47 others.")
    assert "answer: wrong (12)" in group.sentence
    assert codec.decode(Verdict, codec.encode(verdict)) == verdict


def test_one_broken_case_is_shown_and_not_explained(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    assert world.judge(world.run({"answer": passing(world.cases, "case-000")}), baseline).groups == ()
    assert world.judge(world.run({"answer": passing(world.cases)}), None).groups == ()
