"""How long until the answer began: the first token of the last call, and the calls before it."""

from __future__ import annotations

import pytest

from evalkit.records import ModelCall

from .made import case, grader, model_call, score, trace

TTFT = grader("ttft")


def test_calls_before_the_answer_count_in_full_and_waits_never() -> None:
    made = (
        model_call(seconds=2.0, ttft_us=300_000, waited_us=5_000_000),
        model_call(seconds=4.0, ttft_us=500_000, waited_us=9_000_000),
    )
    found = score(TTFT, case(), trace(model_calls=made))
    assert (found.status, found.value, found.passed) == ("ok", 2.5, None)
    assert found.evidence == {"calls": 2, "last_call_s": 0.5, "simulated": False}
    assert not TTFT.quality


@pytest.mark.parametrize(("seconds", "passed", "label"), [(1.0, True, ""), (1.000001, False, "slow_start")])
def test_the_limit_itself_is_in_time(seconds: float, passed: bool, label: str) -> None:
    made = (model_call(seconds=3, ttft_us=round(seconds * 1e6)),)
    found = score(grader("ttft", max_seconds=1.0), case(), trace(model_calls=made))
    assert (found.passed, found.label) == (passed, label)


@pytest.mark.parametrize("simulated", [False, True])
def test_simulated_time_says_so(simulated: bool) -> None:
    made = (model_call(seconds=1, ttft_us=1),)
    assert score(TTFT, case(), trace(model_calls=made, simulated=simulated)).evidence["simulated"] is simulated


@pytest.mark.parametrize(
    "made",
    [
        (),
        (model_call(seconds=1),),
        (model_call(seconds=1, timed=False), model_call(seconds=1, ttft_us=5)),
        (model_call(seconds=1, ttft_us=5), model_call(seconds=1)),
        (model_call(seconds=1, ttft_us=5, status="error"),),
    ],
)
def test_an_answer_that_was_not_streamed_has_no_figure(made: tuple[ModelCall, ...]) -> None:
    assert score(grader("ttft", max_seconds=9), case(), trace(model_calls=made)).status == "not_applicable"
