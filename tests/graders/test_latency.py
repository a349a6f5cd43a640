"""How long the models took: the wire time of the calls that answered, and nothing beside it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .made import case, grader, model_call, score, trace

LATENCY = grader("latency")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**9), st.integers(1, 9)), min_size=1, max_size=5))
def test_waiting_and_retries_are_beside_the_value_and_never_in_it(made: list[tuple[int, int, int]]) -> None:
    calls = tuple(model_call(seconds=wire / 1e6, waited_us=waited, attempts=tries) for wire, waited, tries in made)
    found = score(LATENCY, case(), trace(model_calls=calls))
    assert found.value == pytest.approx(sum(wire for wire, _, _ in made) / 1e6)
    assert found.evidence["waited_s"] == pytest.approx(sum(waited for _, waited, _ in made) / 1e6)
    assert (found.passed, found.evidence["calls"]) == (None, len(made))


@pytest.mark.parametrize(("seconds", "passed", "label"), [(8.0, True, ""), (8.000001, False, "slow")])
def test_the_limit_itself_is_in_time(seconds: float, passed: bool, label: str) -> None:
    found = score(grader("latency", max_seconds=8.0), case(), trace(model_calls=(model_call(seconds=seconds),)))
    assert (found.passed, found.label) == (passed, label)


@pytest.mark.parametrize("simulated", [False, True])
def test_simulated_time_says_so(simulated: bool) -> None:
    found = score(LATENCY, case(), trace(model_calls=(model_call(seconds=1),), simulated=simulated))
    assert found.evidence["simulated"] is simulated


@pytest.mark.parametrize(
    "made", [(), (model_call(timed=False),), (model_call(seconds=2.0), model_call(timed=False))]
)  # fmt: skip
def test_a_trial_with_a_call_that_was_not_timed_has_no_figure(made: tuple[object, ...]) -> None:
    assert score(grader("latency", max_seconds=1), case(), trace(model_calls=made)).status == "not_applicable"


def test_it_measures_and_does_not_judge_quality() -> None:
    assert not LATENCY.quality
