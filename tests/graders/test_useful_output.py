"""When the first sentence that says something could be seen: on constructed traces, to the microsecond."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.records import ModelCall
from evalkit_graders.useful_output import UsefulOutput, useful_end

from .made import case, model_call, score, trace

USEFUL = "You have 30 days."


@pytest.mark.parametrize(
    "filler",
    [
        "Sure!", "Great question!", "I'd be happy to help you with that.", "Thank you for reaching out to us.",
        "Hello!", "Let me look into that for you.", "## Answer", "Here is what I found:", "**", "Here's the answer:",
        "Gerne helfe ich Ihnen weiter.", "Vielen Dank für Ihre Anfrage.", "Natürlich!",
        "Bien sûr !", "Merci pour votre question.", "¡Claro!", "Gracias por su mensaje.",
        "Certo!", "Grazie per la domanda.", "Claro!", "Obrigado por entrar em contato.", "您好！", "很高兴为您解答。",
    ],
)  # fmt: skip
def test_filler_is_passed_over(filler: str) -> None:
    text = f"{filler}\n{USEFUL} More follows."
    assert useful_end(text) == len(filler) + 1 + len(USEFUL)
    assert useful_end(filler) is None


@pytest.mark.parametrize(
    "sentence",
    [
        "You can return it.", "Sure, it is on its way.", "Sure, 30 days.", "No.", "Yes.", "Thank you for the 3 mails.",
        "Let me be clear: " + "no return of opened boxes is possible " * 3 + "at all.", "Es geht nicht.", "不可以。",
    ],
)  # fmt: skip
def test_what_says_something_is_useful(sentence: str) -> None:
    assert useful_end(sentence) == len(sentence)


def seconds(answer: str, *made: ModelCall, **params: Any) -> Any:
    return score(UsefulOutput(**params), case(), trace(answer, model_calls=made))


def test_the_time_is_that_of_the_first_token_and_the_share_of_the_rest() -> None:
    answer = "Sure!\nIt is 30 days from now. " + "Y" * 70
    end = len("Sure!\nIt is 30 days from now.")
    found = seconds(answer, model_call(seconds=3.0, ttft_us=1_000_000))
    assert found.value == pytest.approx(1.0 + 2.0 * end / len(answer))
    assert (found.passed, found.label) == (None, "")
    assert found.evidence == {"calls": 1, "characters_before": end, "streamed": True, "simulated": False}


def test_calls_before_count_in_full_and_waits_never() -> None:
    first = model_call(seconds=2.0, waited_us=9_000_000)
    last = model_call(seconds=1.0, ttft_us=500_000, waited_us=9_000_000)
    assert seconds(USEFUL, first, last).value == pytest.approx(3.0)


def test_an_answer_that_was_not_streamed_is_seen_when_it_is_whole() -> None:
    found = seconds(USEFUL + " More follows here.", model_call(seconds=4.0))
    assert (found.value, found.evidence["streamed"]) == (4.0, False)


@pytest.mark.parametrize(("most", "passed", "label"), [(4.0, True, ""), (3.9, False, "slow_output")])
def test_the_limit_itself_is_in_time(most: float, passed: bool, label: str) -> None:
    found = seconds(USEFUL, model_call(seconds=4.0), max_seconds=most)
    assert (found.passed, found.label) == (passed, label)


def test_an_answer_of_filler_alone_is_never_useful() -> None:
    found = seconds("Sure! Great question!", model_call(seconds=1.0, ttft_us=1), max_seconds=60)
    assert (found.value, found.passed, found.label) == (1.0, False, "no_useful_output")
    assert seconds("Sure!", model_call(seconds=1.0)).passed is None


@pytest.mark.parametrize(
    ("answer", "made"),
    [
        (USEFUL, ()),
        ("", (model_call(seconds=1.0),)),
        (" \n", (model_call(seconds=1.0),)),
        (USEFUL, (model_call(seconds=1.0, timed=False),)),
        (USEFUL, (model_call(timed=False), model_call(seconds=1.0))),
        (USEFUL, (model_call(seconds=1.0, status="error"),)),
    ],
)
def test_without_an_answer_or_times_there_is_no_figure(answer: str, made: tuple[ModelCall, ...]) -> None:
    assert seconds(answer, *made, max_seconds=1).status == "not_applicable"


@settings(deadline=None, max_examples=60)
@given(st.text("aZ. !\n1€", min_size=1, max_size=40), st.integers(0, 10**6), st.integers(0, 10**6))
def test_it_lies_between_the_first_and_the_last_token(answer: str, ttft: int, rest: int) -> None:
    found = seconds(answer, model_call(seconds=(ttft + rest) / 1e6, ttft_us=ttft))
    if found.status == "ok":
        assert ttft / 1e6 - 1e-9 <= found.value <= (ttft + rest) / 1e6 + 1e-9


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["Sure! ", "sure ", ". ", "# \n", "**", "A. ", "- 1. a\n"])
def test_a_long_answer_is_read_in_bounded_time(piece: str) -> None:
    assert seconds((piece * 50_000)[:50_000], model_call(seconds=1.0, ttft_us=1)).status == "ok"
