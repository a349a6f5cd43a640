"""What a trial cost: all its calls, in dollars, or nothing where a price is not known."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .made import case, grader, model_call, score, trace

COST = grader("cost")
PRICES = st.lists(st.integers(0, 10**9), min_size=1, max_size=6)


@settings(deadline=None)
@given(PRICES, PRICES)
def test_cost_is_additive_over_calls_whatever_their_order(left: list[int], right: list[int]) -> None:
    def value(prices: list[int]) -> float:
        made = tuple(model_call(usd=price / 1e6) for price in prices)
        found = score(COST, case(), trace(model_calls=made)).value
        assert found is not None
        return found

    assert value(left + right) == pytest.approx(value(left) + value(right))
    assert value(left + right) == value(right + left)


def test_a_measurement_neither_passes_nor_fails() -> None:
    found = score(COST, case(), trace(model_calls=(model_call(usd=0.012, tokens=(900, 30)),)))
    assert (found.status, found.value, found.passed, found.label) == ("ok", 0.012, None, "")
    assert found.evidence == {"calls": 1, "input_tokens": 900, "output_tokens": 30}
    assert not COST.quality


def test_calls_of_a_route_that_was_given_up_cost_too() -> None:
    made = (model_call(usd=0.01, status="error"), model_call(usd=0.02))
    assert score(COST, case(), trace(model_calls=made)).value == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("usd", "passed", "label"), [(0.05, True, ""), (0.049999, True, ""), (0.050001, False, "over_budget")]
)
def test_the_limit_itself_is_within_the_budget(usd: float, passed: bool, label: str) -> None:
    found = score(grader("cost", max_usd=0.05), case(), trace(model_calls=(model_call(usd=usd),)))
    assert (found.passed, found.label) == (passed, label)


def test_a_limit_of_zero_is_a_limit() -> None:
    assert score(grader("cost", max_usd=0.0), case(), trace(model_calls=(model_call(usd=0.001),))).passed is False
    assert score(grader("cost", max_usd=0.0), case(), trace(model_calls=(model_call(),))).passed is True


@pytest.mark.parametrize(
    "made", [(), (model_call(priced=False),), (model_call(usd=0.02), model_call(priced=False))]
)  # fmt: skip
def test_without_a_price_for_every_call_there_is_no_figure(made: tuple[object, ...]) -> None:
    assert score(grader("cost", max_usd=0.01), case(), trace(model_calls=made)).status == "not_applicable"
