"""How many tokens a trial took: of all its calls, or nothing where a call that answered states none."""

from __future__ import annotations

import pytest

from evalkit.records import ModelCall, Usage

from .made import case, grader, model_call, score, trace

TOKENS = grader("tokens")


def test_tokens_of_all_calls_add_up_and_are_told_apart() -> None:
    made = (
        model_call(tokens=(900, 30)),
        ModelCall("some-model", usage=Usage(1000, 70, cached_tokens=800, reasoning_tokens=40)),
    )
    found = score(TOKENS, case(), trace(model_calls=made))
    assert (found.status, found.value, found.passed, found.label) == ("ok", 2000.0, None, "")
    assert found.evidence == {
        "calls": 2, "input_tokens": 1900, "output_tokens": 100, "cached_tokens": 800, "reasoning_tokens": 40,
    }  # fmt: skip
    assert not TOKENS.quality


def test_a_call_that_failed_need_not_state_any() -> None:
    made = (model_call(status="error"), model_call(tokens=(10, 5)))
    assert score(TOKENS, case(), trace(model_calls=made)).value == 15


@pytest.mark.parametrize(("tokens", "passed", "label"), [(100, True, ""), (101, False, "too_many_tokens")])
def test_the_limit_itself_is_within(tokens: int, passed: bool, label: str) -> None:
    found = score(grader("tokens", max_tokens=100), case(), trace(model_calls=(model_call(tokens=(tokens, 0)),)))
    assert (found.passed, found.label) == (passed, label)


@pytest.mark.parametrize(
    "made",
    [(), (model_call(),), (model_call(tokens=(5, 5)), model_call()), (model_call(tokens=(5, 5), status="error"),)],
)
def test_what_is_not_stated_is_not_nought(made: tuple[ModelCall, ...]) -> None:
    assert score(grader("tokens", max_tokens=9), case(), trace(model_calls=made)).status == "not_applicable"
