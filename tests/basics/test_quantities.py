from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from evalkit.quantities import (
    Duration,
    Fraction,
    Limit,
    Money,
    format_duration,
    format_money,
    parse_duration,
    parse_fraction,
    parse_limit,
    parse_money,
)

AMOUNTS = st.decimals(min_value=-1_000_000, max_value=1_000_000, places=6, allow_nan=False)
SHARE_HELP = "write a share as 5%, 5pt or 0.05"
DURATION_HELP = "write a duration with its unit: 250ms, 8s, 2min"
MONEY_HELP = r"write money in dollars: \$0\.12"
LIMIT_HELP = r"write a limit as a number, 80%, 8s or \$0\.05"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("5pt", 0.05), ("5%", 0.05), ("+10%", 0.10), ("-2.5 pts", -0.025), ("1 point", 0.01), ("3 points", 0.03),
        (" 0% ", 0.0), ("100%", 1.0), (0.05, 0.05), (0, 0.0), (1, 1.0), (-1, -1.0),
    ],
)  # fmt: skip
def test_a_share(written: object, expected: float) -> None:
    assert parse_fraction(written) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("250ms", 250_000), ("8s", 8_000_000), ("2min", 120_000_000), ("2m", 120_000_000), ("1h", 3_600_000_000),
        ("15us", 15), ("0.5s", 500_000), ("8 s", 8_000_000), ("0s", 0), ("0.29s", 290_000),
    ],
)  # fmt: skip
def test_a_duration_in_microseconds(written: str, expected: int) -> None:
    assert parse_duration(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [("$0.12", 120_000), ("$ 5", 5_000_000), ("$0", 0), ("$0.000001", 1), (" $1000 ", 10**9), ("$0.29", 290_000)],
)
def test_money_in_micro_dollars(written: str, expected: int) -> None:
    assert parse_money(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [(0.8, 0.8), (3, 3.0), ("80%", 0.8), ("5pt", 0.05), ("8s", 8.0), ("250ms", 0.25), ("$0.05", 0.05), ("2min", 120.0)],
)
def test_a_limit_is_in_the_unit_of_the_score(written: object, expected: float) -> None:
    assert parse_limit(written) == pytest.approx(expected, abs=1e-12)


REFUSED: list[tuple[Callable[[Any], float], str, list[object]]] = [
    (
        parse_fraction, SHARE_HELP,
        ["", "5", "five%", "1,5%", "%", "5%%", "5 % 5", ".5%", "1e-3%", "--5%", None, True, False, [], "$5", "5s"],
    ),
    (
        parse_duration, DURATION_HELP,
        ["", "8", 8, 8.0, "s", "8 sec", "8S", "1:30", "1m30s", None, True, "8s8s", "nan s"],
    ),
    (parse_money, MONEY_HELP, ["", "5", 5, 0.12, "€5", "5$", "$1,000", "-$5", "$", "US$5", None, True]),
    (parse_limit, LIMIT_HELP, ["", "5", "fast", "8 parsecs", None, True, False, [], {}]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("parse", "message", "value"), [(parse, message, value) for parse, message, values in REFUSED for value in values]
)
def test_what_is_no_quantity_is_refused_with_an_example(
    parse: Callable[[Any], float], message: str, value: object
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        parse(value)


@pytest.mark.parametrize("value", [5, 1.01, -2])
def test_a_number_above_one_is_no_share_and_says_how_to_write_it(value: float) -> None:
    with pytest.raises(ValueError, match=f"^{value} is more than 100%: write {value}% or {value}pt$"):
        parse_fraction(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
@pytest.mark.parametrize("parse", [parse_fraction, parse_limit])
def test_what_no_comparison_could_use_is_no_quantity(parse: Callable[[object], float], value: float) -> None:
    """With NaN or infinity a rule could never fire."""
    with pytest.raises(ValueError, match=r"^write a"):
        parse(value)


@pytest.mark.parametrize(
    ("parse", "unit"),
    [
        (parse_fraction, "{}%"),
        (parse_duration, "{}s"),
        (parse_money, "${}"),
        (parse_limit, "{}s"),
        (parse_limit, "{}%"),
    ],
)
def test_a_number_too_large_is_refused(parse: Callable[[object], float], unit: str) -> None:
    with pytest.raises(ValueError, match="write"):
        parse(unit.format("9" * 400))


def test_the_longest_duration_fits_64_bits() -> None:
    assert parse_duration("999999999h") < 2**63
    with pytest.raises(ValueError, match="write"):
        parse_duration("1000000000h")


@settings(deadline=None, max_examples=200)
@given(AMOUNTS)
def test_money_and_seconds_are_exact_to_the_millionth(amount: Decimal) -> None:
    expected = int(amount * 1_000_000)
    assert parse_money(f"${amount:f}") == expected
    assert parse_duration(f"{amount:f}s") == expected
    assert parse_limit(f"{amount:f}s") == expected / 1_000_000


@settings(deadline=None, max_examples=100)
@given(st.decimals(min_value=-100, max_value=100, places=3))
def test_per_cent_points_and_plain_shares_mean_the_same(percent: Decimal) -> None:
    share = float(percent / 100)
    assert parse_fraction(f"{percent}%") == parse_fraction(f"{percent} pt") == pytest.approx(share, abs=1e-15)
    assert parse_fraction(share) == share
    assert parse_limit(f"{percent}%") == parse_fraction(f"{percent}%")


@pytest.mark.parametrize(
    ("kind", "written", "expected"),
    [(Fraction, "5pt", 0.05), (Duration, "8s", 8_000_000), (Money, "$0.12", 120_000), (Limit, "$0.05", 0.05)],
)
def test_the_types_parse_in_a_model_and_refuse_with_the_same_words(kind: Any, written: str, expected: float) -> None:
    adapter: TypeAdapter[float] = TypeAdapter(kind)
    assert adapter.validate_python(written) == expected
    with pytest.raises(ValidationError, match="write"):
        adapter.validate_python("soon")


@pytest.mark.parametrize(
    ("microseconds", "shown"),
    [
        (0, "0 µs"), (999, "999 µs"), (1_000, "1 ms"), (38_000, "38 ms"), (999_000, "999 ms"), (1_000_000, "1.00 s"),
        (3_790_000, "3.79 s"), (59_990_000, "59.99 s"), (60_000_000, "1 min 00 s"), (134_000_000, "2 min 14 s"),
        (119_600_000, "2 min 00 s"), (5_400_000_000, "90 min 00 s"),
    ],
)  # fmt: skip
def test_a_duration_for_people(microseconds: float, shown: str) -> None:
    assert format_duration(microseconds) == shown


@pytest.mark.parametrize(
    ("microseconds", "shown"),
    [(999.7, "1 ms"), (999_700, "1.00 s"), (59_999_000, "1 min 00 s"), (-3_790_000, "-3.79 s")],
)
def test_rounding_goes_over_into_the_next_unit(microseconds: float, shown: str) -> None:
    assert format_duration(microseconds) == shown


@pytest.mark.parametrize(
    ("microdollars", "shown"),
    [
        (0, "$0.0000"), (1, "$0.000001"), (9_999, "$0.009999"), (10_000, "$0.0100"), (120_000, "$0.1200"),
        (1_000_000, "$1.00"), (1_234_567_890_000, "$1,234,567.89"),
    ],
)  # fmt: skip
def test_money_for_people(microdollars: float, shown: str) -> None:
    assert format_money(microdollars) == shown


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 9_999), st.integers(0, 9_999))
def test_two_small_prices_can_be_told_apart(left: int, right: int) -> None:
    assert (format_money(left) == format_money(right)) == (left == right)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**12))
def test_money_for_people_is_right_to_half_of_its_last_digit(microdollars: int) -> None:
    shown = format_money(microdollars).removeprefix("$").replace(",", "")
    places = len(shown.partition(".")[2])
    error = abs(Decimal(shown) - Decimal(microdollars) / 1_000_000)
    assert error <= Decimal("0.501") / 10**places
