"""What an answer must be: each kind by the cases of its literature, and the ways people and models write."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.records import AnswerMatch, Case, Expectation, Message

from .made import case, grader, score, trace


def graded(answer: str, kind: str, *, locale: str = "en", params: dict[str, Any] | None = None, **keys: Any) -> Any:
    expect = Expectation(match=AnswerMatch(kind, **keys))  # type: ignore[arg-type]
    asked = Case("case-1", (Message("user", "?"),), expect, locale=locale)
    return score(grader("answer", **(params or {})), asked, trace(answer))


def passed(answer: str, kind: str, **keys: Any) -> bool:
    found = graded(answer, kind, **keys)
    assert found.status == "ok", found.evidence
    return bool(found.passed)


@pytest.mark.parametrize(
    ("answer", "accepted", "fold", "right"),
    [
        # SQuAD's evaluation: lower case, no punctuation, no articles, single blanks
        ("The  Eiffel-Tower!", "eiffeltower", "squad", True),
        ("a cat", "the cat", "squad", True),
        ("Denver Broncos.", "Denver Broncos", "squad", True),
        ("Denver", "Denver Broncos", "squad", False),
        ("another", "other", "squad", False),
        ("„Köln“", "köln", "squad", True),
        # DROP's: a number is its value, a hyphen parts words
        ("1,200.0 yards", "1200 yards", "drop", True),
        ("forty-yard line", "forty yard line", "drop", True),
        ("12.5", "125", "drop", False),
        ("the $40", "40", "drop", True),
        # MATH's is_equiv
        (r"The area is $\boxed{\dfrac{1}{2}}$.", r"\frac12", "math", True),
        (r"\boxed{0.5}", r"\frac{1}{2}", "math", True),
        (r"\boxed{x = 3}", "3", "math", True),
        (r"\boxed{\left(3, \frac{\pi}{2}\right)}", r"(3,\frac{\pi}{2})", "math", True),
        (r"\boxed{90^\circ}", "90", "math", True),
        (r"\boxed{\$1,250}", "1250", "math", True),
        (r"\boxed{\sqrt2}", r"\sqrt{2}", "math", True),
        (r"\boxed{3/4}", r"\frac{3}{4}", "math", True),
        (r"\boxed{5 \text{ cm}}", "5", "math", True),
        (r"first \boxed{1}, then \boxed{2}", "1", "math", False),
        (r"\boxed{\frac{2}{1}}", r"\frac{1}{2}", "math", False),
        ("YES\n", "yes", "case", True),
        ("yes.", "yes", "case", False),
        (" Yes ", "Yes", "none", True),
        ("yes", "Yes", "none", False),
    ],
)
def test_exact_answers_by_the_conventions_of_their_benchmarks(
    answer: str, accepted: str, fold: str, right: bool
) -> None:
    assert passed(answer, "exact", texts=("never this", accepted), fold=fold) is right


def test_what_an_answer_marks_is_compared_alone_where_asked() -> None:
    text = "Let me think. Lyon is big.\n**Answer:** Paris"
    assert not passed(text, "exact", texts=("Paris",))
    assert passed(text, "exact", texts=("Paris",), params={"exact": "marked"})


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B. Because it is.", "B"),
        ("**B) The second**", "B"),
        ("The answer is (B).", "B"),
        ("Answer: B", "B"),
        ("Antwort: B", "B"),
        ("La réponse est B.", "B"),
        ("答案是B", "B"),
        (r"so \boxed{B}", "B"),
        ("#### B", "B"),
        ("A is wrong because of C. The answer is B", "B"),
        ("First I thought the answer is A. No, the answer is B.", "B"),
        ("Let us see.\n\nB\n", "B"),
        ("It can only be (B) here", "B"),
        ("A good question.", None),
        ("I think", None),
        ("(A) or (B)", None),
        ("", None),
    ],
)
def test_the_letter_that_an_answer_chooses(answer: str, letter: str | None) -> None:
    found = graded(answer, "choice", texts=("B",))
    assert found.passed is (letter == "B")
    assert found.label == ("" if letter else "no_choice")
    assert graded(answer, "choice", texts=("C",)).label == ("wrong_choice" if letter else "no_choice")


@pytest.mark.parametrize(
    ("answer", "value", "unit", "locale"),
    [
        ("It costs 1.234,56 € a year.", 1234.56, "EUR", "de-DE"),
        ("It costs €1,234.56 a year.", 1234.56, "EUR", "en-GB"),
        ("Cela coûte 1 234,56 €.", 1234.56, "EUR", "fr-FR"),
        ("Cela coûte 1\u202f234,56\u00a0€.", 1234.56, "EUR", "fr-FR"),
        ("Das kostet CHF 1'234.50.", 1234.5, "CHF", "de-CH"),
        ("Custa R$ 1.234,56", 1234.56, "BRL", "pt-BR"),
        ("It is ₹12,34,567.", 1234567, "INR", "en-IN"),
        ("It costs $1,250", 1250, "USD", "en"),
        ("Es kostet 1.250 €", 1250, "EUR", "en"),
        ("The mean is 1.250", 1.25, "", "en"),
        ("Der Mittelwert ist 1,250", 1.25, "", "de-DE"),
        ("Das sind 1.250 Stück", 1250, "", "de-DE"),
        ("12 %", 12, "%", "en"),
        ("12 Prozent", 0.12, "fraction", "de"),
        ("50 bp", 0.5, "%", "en"),
        ("1.2e3", 1200, "", "en"),
        ("6.02 × 10^23", 6.02e23, "", "en"),
        (r"3 \times 10^{-2}", 0.03, "", "en"),
        ("3/4", 0.75, "", "en"),
        ("2 1/2 hours", 150, "min", "en"),
        ("1½ Stunden", 1.5, "hours", "de"),
        (r"$\frac{3}{8}$", 0.375, "", "en"),
        ("-7 and no more", -7, "", "en"),
        ("−7", -7, "", "en"),
        ("three days", 3, "days", "en"),
        ("drei Tage", 3, "days", "de"),
        ("trois jours", 3, "days", "fr"),
        ("tres días", 72, "hours", "es"),
        ("due giorni", 2, "days", "it"),
        ("três dias", 3, "days", "pt"),
        ("共30天", 30, "days", "zh-CN"),
        ("2 weeks", 14, "days", "en"),
        ("1.5 km", 1500, "m", "en"),
        ("2 lb", 0.907, "kg", "en"),
        ("1 GiB", 1073.741824, "MB", "en"),
        ("2.5 million euros", 2_500_000, "EUR", "en"),
        ("2,5 Mio. €", 2_500_000, "EUR", "de"),
        ("5k", 5000, "", "en"),
        ("order K-2071: 3 items", 3, "", "en"),
        ("10 working days", 10, "working days", "en"),
        ("EUR12.50 since 12.05.2026, 10:30", 12.5, "EUR", "en"),
        ("12 since 2026-05-12", 12, "", "en"),
        ("see 3.5.1: at most 4", 4, "", "en"),
    ],
)
def test_a_number_is_read_as_it_is_written(answer: str, value: float, unit: str, locale: str) -> None:
    assert passed(answer, "number", value=value, unit=unit, locale=locale, relative=0.001), answer


@pytest.mark.parametrize(
    ("answer", "value", "unit", "label"),
    [
        ("It costs $20.", 20, "EUR", "wrong_unit"),
        ("10 working days", 10, "days", "wrong_unit"),
        ("20 kg", 20, "m", "wrong_unit"),
        ("31 days", 30, "days", "wrong_number"),
        ("720 minutes", 720, "hours", "wrong_number"),
        ("no idea", 30, "days", "no_number"),
        ("", 30, "", "no_number"),
        ("1/0", 1, "", "no_number"),
        ("K-30", 30, "", "no_number"),
    ],
)
def test_another_number_or_unit_is_named(answer: str, value: float, unit: str, label: str) -> None:
    found = graded(answer, "number", value=value, unit=unit)
    assert (found.passed, found.value, found.label) == (False, 0.0, label)


@pytest.mark.parametrize(
    ("answer", "how", "right"),
    [
        # the solutions of GSM8K end in #### and the answer
        ("48/2 = <<48/2=24>>24 clips.\n48+24 = 72.\n#### 72", "marked", True),
        ("#### 72\nChecked with 100 others.", "marked", True),
        ("#### 72\nChecked with 100 others.", "last", False),
        ("**72** is right, as 7 and 8 show.", "marked", True),
        ("The answer is 72, for 3 reasons.", "marked", True),
        (r"\boxed{72} of 100", "marked", True),
        ("**Answer: 72**\nIt took 5 steps.", "marked", True),
        ("My answer took 5 steps. It is 72.", "marked", True),
        ("In 3 steps we reach 72.", "marked", True),
        ("We reach 72 in 3 steps.", "marked", False),
        ("In 3 steps we reach 72.", "last", True),
        ("In 3 steps we reach 72.", "only", False),
        ("It is 72. So: 72.", "only", True),
    ],
)
def test_which_of_several_numbers_is_the_answer(answer: str, how: str, right: bool) -> None:
    assert passed(answer, "number", value=72, params={"number": how}) is right


@pytest.mark.parametrize(
    ("found", "tolerance", "relative", "right"),
    [
        ("3.14", 0.01, 0.0, True),
        ("3.16", 0.01, 0.0, False),
        ("3.15", 0.01, 0.0, True),
        ("3.2", 0.0, 0.02, True),
        ("3.2", 0.01, 0.02, True),
        ("3.3", 0.01, 0.02, False),
        ("0.30000000000000004", 0.0, 0.0, False),
    ],
)
def test_the_wider_tolerance_counts_and_its_end_is_in(
    found: str, tolerance: float, relative: float, right: bool
) -> None:
    assert passed(found, "number", value=3.14, tolerance=tolerance, relative=relative) is right


def test_a_number_without_a_unit_counts_unless_the_unit_is_required() -> None:
    assert passed("30", "number", value=30, unit="days")
    found = graded("30", "number", value=30, unit="days", params={"unit": "required"})
    assert found.label == "wrong_unit"


def test_of_several_units_the_number_of_the_right_family_is_taken() -> None:
    assert passed("It takes 14 days and costs €20; 3 of us do it.", "number", value=14, unit="days")


@settings(deadline=None, max_examples=80)
@given(st.integers(-(10**9), 10**9), st.sampled_from(["{:,}", "{}", "{:_}"]))
def test_whole_numbers_come_back_in_any_grouping(value: int, form: str) -> None:
    written = form.format(value).replace("_", "\u202f")
    assert passed(f"It is {written} now.", "number", value=value)


@settings(deadline=None, max_examples=80)
@given(
    st.integers(0, 10**8),
    st.sampled_from([("en", ",", "."), ("de", ".", ","), ("fr", "\u202f", ","), ("de-CH", "'", ".")]),
)
def test_amounts_come_back_in_every_locale(cents: int, how: tuple[str, str, str]) -> None:
    locale, group, point = how
    written = f"{cents / 100:,.2f}".replace(",", "G").replace(".", "P").replace("G", group).replace("P", point)
    assert passed(f"{written} €", "number", value=cents / 100, unit="EUR", locale=locale)


@pytest.mark.parametrize(
    ("answer", "ordered", "value", "label"),
    [
        ("red, green and blue", False, 1.0, ""),
        ("Blue, red and green.", False, 1.0, ""),
        ("- Red\n- Green\n- Blue", True, 1.0, ""),
        ("1. red\n2) green\n3. blue", True, 1.0, ""),
        ('["red", "green", "blue"]', True, 1.0, ""),
        ("The colours are: red, green, and blue.", True, 1.0, ""),
        ("rot, grün und blau", False, 0.0, "missing_member"),
        ("red, green", False, 0.8, "missing_member"),
        ("red, green, blue, black", False, 6 / 7, "extra_member"),
        ("red, red, green, blue", False, 6 / 7, "extra_member"),
        ("blue, red, green", True, 2 / 3, "wrong_order"),
        ("", False, 0.0, "missing_member"),
    ],
)
def test_sets_and_lists_give_the_share_that_is_right(answer: str, ordered: bool, value: float, label: str) -> None:
    found = graded(answer, "set", texts=("red", "green", "blue"), ordered=ordered)
    assert found.value == pytest.approx(value)
    assert (found.passed, found.label) == (not label, label)


def test_a_member_may_hold_the_word_that_joins_the_last_one() -> None:
    assert passed("salt, bread and butter", "set", texts=("salt", "bread and butter"))


ORDER = {"id": "K-1", "total": 20.0, "paid": True, "lines": [{"sku": "A", "n": 2}]}
GOOD = '{"id": "K-1", "total": 20, "paid": true, "lines": [{"sku": "A", "n": 2}], "note": "x"}'


@pytest.mark.parametrize(
    ("answer", "value", "label"),
    [
        (GOOD, 1.0, ""),
        (GOOD.replace("20", "20.15"), 1.0, ""),
        (GOOD.replace("20", "20.25"), 0.8, "wrong_field"),
        (GOOD.replace("true", "1"), 0.8, "wrong_field"),
        (GOOD.replace('"K-1"', '"k-1"'), 0.8, "wrong_field"),
        (GOOD.replace('"n": 2', '"n": 3'), 0.8, "wrong_field"),
        (GOOD.replace("}]", '}, {"sku": "B"}]'), 5 / 6, "wrong_field"),
        ("{}", 0.0, "wrong_field"),
        ("[]", 0.0, "wrong_field"),
        ("Here you are: " + GOOD, 0.0, "not_json"),
        ("```json\n" + GOOD + "\n```", 0.0, "not_json"),
        (GOOD.replace("20", "NaN"), 0.0, "not_json"),
        (GOOD.replace('"id"', '"total": 1, "id"'), 0.0, "not_json"),
        ("[" * 100_000, 0.0, "not_json"),
        ("9" * 5_000, 0.0, "not_json"),
        ("", 0.0, "not_json"),
    ],
)
def test_json_is_compared_leaf_by_leaf(answer: str, value: float, label: str) -> None:
    found = graded(answer, "json", fields=ORDER, tolerances={"total": "1%"})
    assert found.status == "ok"
    assert (found.value, found.label, found.passed) == (pytest.approx(value), label, not label)


@pytest.mark.parametrize(
    ("answer", "place", "right"),
    [
        ("```json\n" + GOOD + "\n```", "fenced", True),
        ("Here:\n```\n" + GOOD + "\n```\nAnything else?", "fenced", True),
        ("```json\n" + GOOD + "\n```\n```json\n" + GOOD + "\n```", "fenced", False),
        ("Here [1] it is: " + GOOD, "fenced", False),
        ("Here it is: " + GOOD + " Bye {", "anywhere", True),
        ("Nothing {here", "anywhere", False),
    ],
)
def test_json_is_taken_out_of_text_only_where_that_is_allowed(answer: str, place: str, right: bool) -> None:
    assert passed(answer, "json", fields=ORDER, params={"json": place}) is right


def test_what_is_ignored_is_not_compared_and_a_schema_is_held_as_well() -> None:
    assert passed(GOOD.replace("K-1", "K-2"), "json", fields=ORDER, ignored=("id",))
    assert passed(GOOD.replace('"sku": "A"', '"sku": "B"'), "json", fields=ORDER, ignored=("lines.*.sku",))
    schema = {"type": "object", "required": ["id"], "properties": {"total": {"maximum": 10}}}
    found = graded(GOOD, "json", schema=schema)
    assert (found.label, found.value) == ("schema", 0.0)
    assert "total" in found.evidence["schema"][0]
    assert passed('{"id": 1}', "json", schema=schema)


def test_patterns_search_or_fit_and_never_hang() -> None:
    assert passed("Ticket TCK-0042 is open.", "regex", pattern=r"\bTCK-\d{4}\b")
    assert not passed("Ticket TCK-0042 is open.", "regex", pattern=r"TCK-\d{4}", whole=True)
    assert passed(" TCK-0042\n", "regex", pattern=r"TCK-\d{4}", whole=True)
    assert graded("a" * 50_000, "regex", pattern="(a+)+b").label == "no_match"
    assert graded("a" * 100_001, "regex", pattern="a").label == "too_long"


@pytest.mark.parametrize(
    "keys",
    [
        {"kind": "exact"}, {"kind": "choice"}, {"kind": "set"}, {"kind": "number"}, {"kind": "json"}, {"kind": "regex"},
        {"kind": "number", "value": 1.0, "unit": "boots"}, {"kind": "regex", "pattern": "("},
    ],
)  # fmt: skip
def test_a_match_that_cannot_be_compared_with_is_an_error_and_no_pass(keys: dict[str, Any]) -> None:
    assert graded("1", **keys).status == "error"


def test_a_match_counts_like_one_fact_and_what_is_forbidden_still_ends_it() -> None:
    match = AnswerMatch("number", value=30.0, unit="days")
    asked = case(facts=(("unused",),), match=match)
    assert score(grader("answer"), asked, trace("Unused, within 30 days.")).passed is True
    found = score(grader("answer"), asked, trace("Unused, within 31 days."))
    assert (found.value, found.label, found.severity) == (0.5, "wrong_number", "major")
    assert found.evidence == {"expected": "30.0 days", "found": "31 days", "read_as": 31.0}
    asked = case(forbidden=("never",), match=match)
    assert score(grader("answer"), asked, trace("30 days, never more")).label == "forbidden_text"


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "piece",
    [
        "7",
        "7,",
        "1.1.",
        "0'",
        "€ ",
        "1 ",
        "#### ",
        "**",
        "\\boxed{",
        "answer ",
        "(A) ",
        "- a\n",
        "a, ",
        "[",
        "{",
        "```\n",
        "1/",
        "1e",
        "1 000 ",
        "\\frac{1}{2}",
    ],
)
@pytest.mark.parametrize("match", [
    AnswerMatch("exact", ("a",), fold="math"), AnswerMatch("exact", ("a",)), AnswerMatch("choice", ("A",)),
    AnswerMatch("number", value=1.0, unit="days"), AnswerMatch("set", ("a", "b")),
    AnswerMatch("set", ("a", "b"), ordered=True),
    AnswerMatch("json", fields={"a": 1}), AnswerMatch("regex", pattern=r"(\w+\s*)+$"),
], ids=lambda match: f"{match.kind}-{match.fold}-{match.ordered}")  # fmt: skip
def test_a_long_answer_of_any_kind_is_graded_in_bounded_time(piece: str, match: AnswerMatch) -> None:
    answer = (piece * (50_000 // len(piece) + 1))[:50_000]
    assert score(grader("answer", json="anywhere"), case(match=match), trace(answer)).status == "ok"
