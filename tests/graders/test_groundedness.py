"""What the sources hold and what they do not: words, numbers and dates of an answer against documents and tools."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evalkit.records import Behaviour, RetrievedDocument, Score, ToolEvent

from .made import case, grader, score, trace

GROUNDED = grader("groundedness")
RETURNS = "You can return an unused kettle within 30 days of delivery. Return shipping is free for members."
DELIVERY = "Standard delivery takes 2 working days. Orders of 1.250,50 euros or more are delivered by courier."
FRIST = "Die Rückgabefrist beträgt 30 Tage ab Lieferung. Der Rückversand ist kostenlos für Mitglieder."
WORDS = ("kettle", "toaster", "member", "courier", "warehouse", "invoice", "warranty", "voucher", "parcel", "refund")


def graded(answer: str, *documents: str | RetrievedDocument, question: str = "What applies?") -> Score:
    """The score of an answer from these documents."""
    return score(GROUNDED, case(question), trace(answer, documents=documents))


@pytest.mark.parametrize(
    ("answer", "documents"),
    [
        ("You can return an unused kettle within 30 days of delivery.", (RETURNS, DELIVERY)),
        ("Unused kettles can be returned within 30 days of delivery [doc-0].", (RETURNS, DELIVERY)),
        ("1. Return shipping is free for members.\n2. Standard delivery takes 2 working days.", (RETURNS, DELIVERY)),
        ("Orders of 1,250.50 euros or more are delivered by courier.", (DELIVERY,)),
        ("Die Rückgabefrist beträgt 30 Tage ab Lieferung.", (FRIST,)),
    ],
)
def test_what_stands_in_the_documents_is_supported(answer: str, documents: tuple[str, ...]) -> None:
    found = graded(answer, *documents)
    assert (found.status, found.passed, found.label, found.severity) == ("ok", True, "", "none")
    assert found.value is not None
    assert 0.7 < found.value <= 1
    assert found.evidence["unsupported"] == []


@pytest.mark.parametrize(
    ("answer", "label", "numbers"),
    [
        ("You can return an unused kettle within 45 days of delivery.", "contradicted", ["45"]),
        ("Orders of 1.350,50 euros or more are delivered by courier.", "contradicted", ["1350.5"]),
        ("You can return an unused kettle of up to 45 kilograms.", "unsupported", ["45"]),
        ("Elephants migrate across savannah grasslands seasonally.", "unsupported", []),
        ("Return shipping is free for members. Elephants migrate across savannah grasslands.", "unsupported", []),
    ],
)
def test_a_number_or_a_claim_that_no_source_holds_fails(answer: str, label: str, numbers: list[str]) -> None:
    found = graded(answer, RETURNS, DELIVERY)
    assert (found.passed, found.label, found.severity) == (False, label, "major")
    assert [item["numbers"] for item in found.evidence["unsupported"]] == [numbers]
    assert found.evidence["unsupported"][0]["text"] in answer


IN_FIGURES = ["2026-03-01", "01.03.2026", "1.3.2026", "1. 3. 2026", "01/03/2026"]
IN_WORDS = ["1 March 2026", "March 1, 2026"]


def in_force(date: str) -> str:
    return f"The policy came into force on {date} for all members."


@pytest.mark.parametrize("written", IN_FIGURES + IN_WORDS)
@pytest.mark.parametrize("said", IN_FIGURES + IN_WORDS)
def test_a_date_may_be_written_in_another_format(written: str, said: str) -> None:
    assert graded(in_force(said), in_force(written)).passed is True
    assert graded(in_force(said.replace("2026", "2027")), in_force(written)).passed is False


def test_the_date_of_a_document_and_the_words_of_the_person_are_sources_too() -> None:
    dated = RetrievedDocument("doc-0", RETURNS, date="2026-02-01")
    answer = "You can return an unused kettle within 30 days of delivery, as of 1 February 2026."
    assert graded(answer, dated).passed is True
    assert graded(answer, RETURNS).passed is False
    answer = "Your kettle bought on 17 May can be returned within 30 days."
    assert graded(answer, RETURNS, question="I bought a kettle on 17 May.").passed is True


@pytest.mark.parametrize(
    "result",
    [
        {"order": "K-1", "status": "shipped", "days": 3, "note": 'left\nwarehouse\t"Berlin"'},
        "order K-1\nstatus shipped, 3 days\nleft warehouse Berlin",
        [{"order": "K-1"}, {"status": "shipped", "days": 3}, ["left warehouse", "Berlin"]],
    ],
)
def test_a_tools_result_is_a_source_whatever_its_form(result: object) -> None:
    event = ToolEvent("lookup", {"order": "K-1"}, result=result)
    found = score(GROUNDED, case(), trace("Shipped: order K-1 left warehouse Berlin 3 days ago.", tool_events=(event,)))
    assert found.passed is True
    assert found.value is not None
    assert found.value > 0.6


def test_a_result_of_zero_is_a_result() -> None:
    event = ToolEvent("balance", {}, result=0)
    found = score(
        GROUNDED, case("My overtime balance?"), trace("Your overtime balance is 0 hours.", tool_events=(event,))
    )
    assert found.status == "ok"
    assert all(not item["numbers"] for item in found.evidence["unsupported"])


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "   ",
        "…",
        "OK.",
        "Which order do you mean?",
        "I could not find this in the documents.",
        "I can't help with that.",
    ],
)
def test_an_answer_without_a_claim_is_not_graded(answer: str) -> None:
    assert graded(answer, RETURNS).status == "not_applicable"


@pytest.mark.parametrize("documents", [(), ("",), (" \n", "")])
def test_without_a_source_nothing_is_graded(documents: tuple[str, ...]) -> None:
    assert graded("You can return an unused kettle within 30 days.", *documents).status == "not_applicable"
    nothing: list[Any] = [None, "", [], {}]
    events = tuple(ToolEvent("find", {}, result=empty) for empty in nothing)
    found = score(GROUNDED, case(), trace("You can return it within 30 days of delivery.", tool_events=events))
    assert found.status == "not_applicable"


@pytest.mark.parametrize("behaviour", ["refuse", "clarify", "escalate"])
def test_where_no_answer_is_wanted_none_is_graded(behaviour: Behaviour) -> None:
    asked = case(behaviour=behaviour)
    assert (
        score(GROUNDED, asked, trace("Elephants migrate seasonally.", documents=(RETURNS,))).status == "not_applicable"
    )


def test_an_answer_in_another_language_than_its_sources_is_not_graded() -> None:
    assert graded("Sie können den Kessel innerhalb von 30 Tagen zurückgeben.", RETURNS).status == "not_applicable"


def test_evidence_shows_the_passage_and_what_it_says_instead() -> None:
    found = graded("You can return an unused kettle within 45 days. Standard delivery takes 2 working days.",
                   RETURNS, DELIVERY)  # fmt: skip
    (bad,) = found.evidence["unsupported"]
    assert (bad["verdict"], bad["instead"], bad["source"]) == ("contradicted", "30 days", "doc-0")
    assert bad["passage"] == "You can return an unused kettle within 30 days of delivery."
    (good,) = found.evidence["supported"]
    assert (good["source"], good["passage"]) == ("doc-1", "Standard delivery takes 2 working days.")


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("Return shipping is free for members.", "Return shipping is not free for members."),
        ("Return shipping is not free for members.", "Return shipping is free for members."),
        ("Members don't pay return shipping.", "Members pay return shipping."),
        ("Der Rückversand ist kostenlos für Mitglieder.", "Der Rückversand ist nicht kostenlos für Mitglieder."),
        ("Le retour est gratuit pour nos membres fidèles.", "Le retour n'est pas gratuit pour nos membres fidèles."),
        ("La devolución es gratuita para los socios.", "La devolución no es gratuita para los socios."),
        ("La restituzione è gratuita per i soci iscritti.", "La restituzione non è gratuita per i soci iscritti."),
        ("A devolução é gratuita para os sócios.", "A devolução não é gratuita para os sócios."),
    ],
)
def test_a_denial_of_what_the_passage_says_contradicts_it(source: str, answer: str) -> None:
    assert graded(source, source).passed is True
    found = graded(answer, source)
    assert (found.passed, found.label) == (False, "contradicted")


def test_true_words_wrongly_combined_are_not_seen() -> None:
    """Support is lexical; forbidden texts of the case are for what must not be said."""
    assert graded("Standard delivery takes 30 working days.", RETURNS, DELIVERY).passed is True


def test_a_day_that_no_source_holds_is_unsupported_though_its_numbers_stand_there() -> None:
    source = "The policy came into force on 1 March 2026 and 2 kettles were returned on 5 April 2026."
    assert graded("The policy came into force on 1 March 2026.", source).passed is True
    found = graded("The policy came into force on 5 March 2026.", source)
    assert found.passed is False
    assert found.evidence["unsupported"][0]["dates"] == ["5 March 2026"]


@pytest.mark.parametrize(
    ("answer", "label", "citation"),
    [
        ("You can return an unused kettle within 30 days of delivery [doc-0].", "", None),
        ("You can return an unused kettle within 30 days of delivery. [1]", "", None),
        ("You can return an unused kettle [sic] within 30 days of delivery.", "", None),
        ("You can return an unused kettle within 30 days of delivery [doc-7].", "wrong_citation", (["doc-7"], "")),
        ("You can return an unused kettle within 30 days of delivery [9].", "wrong_citation", (["9"], "")),
        ("You can return an unused kettle within 30 days of delivery. [doc-1]", "wrong_citation", ([], "doc-0")),
    ],
)
def test_citations_name_a_document_that_exists_and_supports_the_sentence(
    answer: str, label: str, citation: tuple[list[str], str] | None
) -> None:
    found = graded(answer, RETURNS, DELIVERY)
    assert (found.passed, found.label) == (not label, label)
    if citation is not None:
        (told,) = found.evidence["citations"]
        assert (told["unknown"], told["better"]) == citation
    unchecked = score(
        grader("groundedness", check_citations=False), case(), trace(answer, documents=(RETURNS, DELIVERY))
    )
    assert unchecked.passed is True


@pytest.mark.parametrize(
    "text",
    [
        "La restituzione del bollitore inutilizzato è possibile entro 30 giorni dalla consegna.",
        "A chaleira sem uso pode ser devolvida dentro de 30 dias após a entrega.",
    ],
)
def test_italian_and_portuguese_are_graded_too(text: str) -> None:
    assert graded(text, text).passed is True


@pytest.mark.parametrize(
    ("light", "strange"),
    [
        (f"{RETURNS} These various steps generally help.", f"{RETURNS} Elephants migrate across savannahs."),
        (f"{FRIST} Insbesondere helfen folgende weitere Schritte.", f"{FRIST} Elefanten wandern durch Savannen."),
    ],
)
def test_words_that_stand_in_any_text_count_less_than_others(light: str, strange: str) -> None:
    documents = (RETURNS,) if light.startswith(RETURNS) else (FRIST,)
    lost = [graded(text, *documents).value or 0.0 for text in (light, strange)]
    assert 1 > lost[0] > lost[1] + 0.05


@pytest.mark.parametrize("place", ["(passage 2)", "(Passages 1 and 2)", "Document 2:", "(Quelle 1)"])
def test_a_reference_to_a_document_by_its_number_claims_nothing(place: str) -> None:
    found = graded(f"Standard delivery takes 2 working days {place}.", RETURNS, DELIVERY)
    assert (found.passed, found.value) == (True, 1.0)


def test_a_number_of_a_document_that_is_not_there_is_a_number_like_any_other() -> None:
    found = graded("Standard delivery takes 2 working days (passage 7).", RETURNS, DELIVERY)
    assert found.passed is False
    assert found.evidence["unsupported"][0]["numbers"] == ["7"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(max_size=400), max_size=12), st.text(max_size=4000))
def test_evidence_stays_within_its_limit(sentences: list[str], source: str) -> None:
    answer = "\n".join(f"{number} claims nobody {text} supports anywhere" for number, text in enumerate(sentences))
    assert graded(answer, source or "nothing", RETURNS).status in ("ok", "not_applicable")


def test_parameters_move_the_thresholds() -> None:
    answer = "You can return an unused kettle within 45 days of delivery."
    answered = trace(answer, documents=(RETURNS,))
    assert score(grader("groundedness", check_numbers=False), case(), answered).passed is True
    assert score(grader("groundedness", check_numbers=False, min_value=1.01), case(), answered).passed is False
    assert score(grader("groundedness", check_numbers=False, min_support=1.01), case(), answered).passed is False


sentence = st.lists(st.sampled_from(WORDS), min_size=3, max_size=8, unique=True).map(
    lambda words: " ".join(words).capitalize() + "."
)


@settings(deadline=None)
@given(st.lists(sentence, min_size=1, max_size=6), st.data())
def test_a_verbatim_quotation_is_fully_supported_wherever_it_stands(source: list[str], data: st.DataObject) -> None:
    quoted = data.draw(st.lists(st.sampled_from(source), min_size=1, max_size=4))
    found = graded(" ".join(quoted), " ".join(source))
    assert found.passed is True
    assert found.value == pytest.approx(1.0)


@settings(deadline=None)
@given(st.lists(sentence, min_size=1, max_size=4), st.lists(sentence, min_size=2, max_size=5, unique=True), st.data())
def test_the_order_of_the_documents_does_not_matter(said: list[str], documents: list[str], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(documents))
    left, right = graded(" ".join(said), *documents), graded(" ".join(said), *shuffled)
    assert (left.value, left.passed) == (right.value, right.passed)


@settings(deadline=None)
@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_a_number_is_supported_exactly_when_a_source_holds_it(held: int, said: int) -> None:
    assume(f"{held:.6g}" != f"{said:.6g}")
    source = f"The voucher pays {held:,} euros for every damaged parcel of a member."
    assert graded(source.replace(",", "."), source).passed is True
    assert graded(f"The voucher pays {said} euros for every damaged parcel of a member.", source).passed is False


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_any_texts_give_a_share_or_nothing(answer: str, source: str) -> None:
    found = graded(answer, source)
    assert found.status in ("ok", "not_applicable")
    assert found.value is None or 0 <= found.value <= 1 + 1e-9


AGAIN = """
from evalkit_graders.groundedness import Groundedness
from evalkit.records import Case, Message, RetrievedDocument, Trace
words = [f"{a}{b}{a}{b}" for a in "bcdfghjklm" for b in "aeiou"]
documents = tuple(RetrievedDocument(str(n), " ".join(words[n : n + 9]) + ".") for n in range(0, 40, 3))
for start in range(0, 36):
    trace = Trace("w", "c", 0, "ok", answer=" ".join(words[start : start + 14]) + ".", documents=documents)
    print(repr(Groundedness().grade(Case("c", (Message("user", "q"),)), trace).value))
"""


def test_the_same_trace_gets_the_same_value_in_every_process() -> None:
    """Sets are walked in another order under another hash seed; sums must not notice."""
    values = {
        subprocess.run(
            [sys.executable, "-c", AGAIN],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(values) == 1
