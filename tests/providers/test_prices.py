"""Prices: dated, exact before pattern, no price is an error, and money is whole micro-dollars."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evalkit.errors import ConfigError, ExitCode
from evalkit.providers import Price, PriceTable
from evalkit.records import Usage

DAY = dt.date(2026, 8, 1)


def price(model: str = "m", valid_from: str = "2026-01-01", **keys: Any) -> Price:
    return Price.model_validate({"model": model, "valid_from": valid_from, "input": 1, "output": 1, **keys})


def found(model: str, *prices: Price, day: dt.date = DAY) -> Decimal:
    return PriceTable(prices, day).find(model).input


def test_the_newest_price_that_is_valid_on_the_day() -> None:
    prices = [
        price(valid_from=day, input=cost) for day, cost in (("2026-03-01", 3), ("2026-01-01", 1), ("2026-09-01", 9))
    ]
    assert found("m", *prices) == 3
    assert found("m", *prices, day=dt.date(2026, 3, 1)) == 3
    assert found("m", *prices, day=dt.date(2026, 2, 28)) == 1
    assert found("m", *prices, day=dt.date(2027, 1, 1)) == 9


def test_an_exact_name_wins_over_a_pattern_even_a_newer_one() -> None:
    prices = [price("m-*", "2026-07-01", input=5), price("m-1", input=2), price("*", "2026-07-31", input=7)]
    assert found("m-1", *prices) == 2
    assert found("m-2", *prices) == 7
    assert found("M-1", *prices) == 7


def test_an_exact_name_that_is_not_valid_yet_leaves_it_to_the_pattern() -> None:
    prices = [price("m-1", "2026-12-01", input=2), price("m-*", input=5)]
    assert found("m-1", *prices) == 5


def test_prices_of_the_project_win_over_those_that_come_along() -> None:
    table = PriceTable((price(input=1),), DAY).with_prices([price(input=4)])
    assert table.find("m").input == 4
    assert table.day == DAY
    assert len(table.prices) == 2


@pytest.mark.parametrize("prices", [(), (price("other"),), (price("m", "2026-08-02"),), (price("m-*"),)])
def test_no_price_is_an_error_that_says_what_to_add(prices: tuple[Price, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        PriceTable(prices, DAY).find("m")
    assert caught.value.exit_code is ExitCode.CONFIG
    assert str(caught.value).splitlines() == [
        "no price for this model: its cost would count as zero",
        "  key:   prices",
        "  value: 'm'",
        "  fix:   add `- {model: NAME, input: USD, output: USD}`, per million tokens, under `prices:`",
    ]


def test_a_price_without_a_day_has_always_been_valid() -> None:
    assert Price.model_validate({"model": "m", "input": 1, "output": 1}).valid_from == dt.date(2020, 1, 1)
    assert PriceTable().day <= dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)


@pytest.mark.parametrize(
    "keys",
    [{"input": -1}, {"output": "-0.01"}, {"cached_input": -1}, {"input": "NaN"}, {"input": "Infinity"}, {"unit": 1}],
)
def test_prices_that_cannot_be(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        price(**keys)


# ── money ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("keys", "usage", "cost"),
    [
        ({"input": "2.50", "output": "10"}, Usage(1_000_000, 0), 2_500_000),
        ({"input": "2.50", "output": "10"}, Usage(0, 1_000_000), 10_000_000),
        ({"input": "0.15", "output": "0.60"}, Usage(100, 50), 45),
        ({"input": "2.50", "output": "10", "cached_input": "0.25"}, Usage(100, 0, cached_tokens=40), 160),
        ({"input": "2.50", "output": "10"}, Usage(100, 0, cached_tokens=40), 250),
        ({"input": "2.50", "output": "10", "cached_input": 0}, Usage(100, 0, cached_tokens=100), 0),
        ({"input": 1, "output": 4}, Usage(10, 7, reasoning_tokens=5), 38),
        ({"input": "0.5", "output": 0}, Usage(1, 0), 1),
        ({"input": "0.5", "output": 0}, Usage(3, 0), 2),
        ({"input": "0.499999", "output": 0}, Usage(1, 0), 0),
        ({"input": 0, "output": 0}, Usage(10**9, 10**9), 0),
        ({"input": "75", "output": "150"}, Usage(0, 0), 0),
    ],
)
def test_what_tokens_cost(keys: dict[str, Any], usage: Usage, cost: int) -> None:
    assert price(**keys).cost_microusd(usage) == cost


MONEY = st.decimals(0, 1000, places=6, allow_nan=False, allow_infinity=False)
TOKENS = st.integers(0, 10_000_000)


@settings(deadline=None, max_examples=200)
@given(MONEY, MONEY, st.none() | MONEY, TOKENS, TOKENS, st.data())
def test_the_cost_is_the_exact_sum_rounded_once_half_up(
    in_: Decimal, out: Decimal, cached_price: Decimal | None, tokens_in: int, tokens_out: int, data: st.DataObject
) -> None:
    cached = data.draw(st.integers(0, tokens_in))
    cost = price(input=in_, output=out, cached_input=cached_price).cost_microusd(
        Usage(tokens_in, tokens_out, cached_tokens=cached)
    )
    exact = (
        (tokens_in - cached) * Fraction(in_)
        + cached * Fraction(in_ if cached_price is None else cached_price)
        + tokens_out * Fraction(out)
    )
    assert cost == (exact + Fraction(1, 2)).__floor__()
    with localcontext(prec=60):
        as_decimal = Decimal(exact.numerator) / Decimal(exact.denominator)
        assert Decimal(cost) == as_decimal.quantize(Decimal(1), ROUND_HALF_UP)
    assert isinstance(cost, int)
    assert cost >= 0


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 100, allow_nan=False), TOKENS)
def test_a_price_written_as_a_number_is_the_number_that_was_written(written: float, tokens: int) -> None:
    exact = Fraction(repr(written)) * tokens
    assert abs(price(input=written).cost_microusd(Usage(tokens, 0)) - exact) <= Fraction(1, 2)


# ── fingerprint ─────────────────────────────────────────────────────────────────────────────


def test_the_fingerprint_is_that_of_the_prices_and_not_of_the_day() -> None:
    table = PriceTable((price("a"), price("b")), DAY)
    assert table.fingerprint == PriceTable((price("b"), price("a")), dt.date(2030, 1, 1)).fingerprint
    others = [
        PriceTable((price("a"),)),
        PriceTable((price("a"), price("c"))),
        PriceTable((price("a"), price("b", input="1.01"))),
        PriceTable((price("a"), price("b", output=2))),
        PriceTable((price("a"), price("b", cached_input=0))),
        PriceTable((price("a"), price("b", "2026-01-02"))),
    ]
    assert len({table.fingerprint, *(other.fingerprint for other in others)}) == 7


def test_tables_that_give_other_costs_have_other_fingerprints() -> None:
    """Of prices of the same day the first counts, be it the same name or a pattern that fits as well."""
    for other in ("m-1", "m-*"):
        low, high = price(other, input=1), price(other if other == "m-1" else "*", input=9)
        first, second = PriceTable((low, high), DAY), PriceTable((high, low), DAY)
        assert first.find("m-1").input != second.find("m-1").input
        assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize(("left", "right"), [("1", "1.0"), ("2.5", "2.50"), ("100", "1E+2")])
def test_the_same_price_written_otherwise_is_the_same(left: str, right: str) -> None:
    assert PriceTable((price(input=left),)).fingerprint == PriceTable((price(input=right),)).fingerprint
