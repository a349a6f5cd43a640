"""Numbers and sentences for people."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.gate.words import amount, change, count_of, interval, points, share


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (math.nan, "–"), (0.9424, "94.2%"), (0.0, "0.0%"), (1.0, "100.0%")]
)
def test_share(value: float | None, text: str) -> None:
    assert share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.0611, "−6.1"),
        (0.004, "+0.4"),
        (0.0, "±0.0"),
        (-0.0, "±0.0"),
        (-0.0004, "±0.0"),
        (0.00051, "+0.1"),
        (-1, "−100.0"),
    ],
)
def test_points_have_a_real_minus_and_no_signed_zero(value: float, text: str) -> None:
    assert points(value) == text


def test_points_of_a_margin_have_no_sign() -> None:
    assert points(0.05, sign=False) == "5.0"
    assert points(0.0, sign=False) == "0.0"


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (-0.0904, -0.0306, "share", "[−9.0, −3.1]"),
        (0.97, 1.2, "ratio", "[−3.0%, +20.0%]"),
        (0.25, 3.789, "seconds", "[250 ms, 3.79 s]"),
        (None, 0.5, "share", "[−∞, +50.0]"),
        (1.0, None, "seconds", "[1.00 s, ∞]"),
        (None, None, "share", ""),
        (0.5, math.inf, "seconds", "[500 ms, ∞]"),
    ],
)
def test_interval(low: float | None, high: float | None, unit: str, text: str) -> None:
    assert interval(low, high, unit) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (1.029, "+2.9%"),
        (0.8, "−20.0%"),
        (1.0, "±0.0%"),
        (0.9999, "±0.0%"),
        (None, "–"),
        (math.inf, "∞"),
        (0.0, "−100.0%"),
    ],
)
def test_change(ratio: float | None, text: str) -> None:
    assert change(ratio) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.942, "share", "94.2%"),
        (0.038, "seconds", "38 ms"),
        (3.786, "seconds", "3.79 s"),
        (0.0000123, "dollars", "$0.000012"),
        (0.0104, "dollars", "$0.0104"),
        (1234.5, "dollars", "$1,234.50"),
        (0.0, "dollars", "$0.0000"),
        (3.0, "count", "3"),
        (1.2, "ratio", "+20.0%"),
        (None, "dollars", "–"),
        (math.nan, "seconds", "–"),
        (math.inf, "dollars", "∞"),
        (-math.inf, "seconds", "−∞"),
    ],
)
def test_amount(value: float | None, unit: str, text: str) -> None:
    assert amount(value, unit) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 cases"), (1, "1 case"), (2, "2 cases"), (1200, "1,200 cases")])
def test_count_of(number: int, text: str) -> None:
    assert count_of(number, "case") == text


def test_a_plural_of_its_own() -> None:
    assert (count_of(1, "query", "queries"), count_of(2, "query", "queries")) == ("1 query", "2 queries")


@given(st.floats(-1, 1))
def test_points_read_back_as_the_rounded_number(value: float) -> None:
    read = float(points(value).replace("−", "-").replace("±", ""))
    assert read == pytest.approx(100 * value, abs=0.0501)
