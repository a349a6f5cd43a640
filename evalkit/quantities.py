"""Quantities as people write them in YAML: ``5pt``, ``10%``, ``+10%``, ``8s``, ``250ms``, ``$0.12``.

Each becomes one number in the unit that evalkit computes with: points and per cent as a
fraction, durations as microseconds, money as micro-dollars.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

__all__ = [
    "Duration",
    "Fraction",
    "Limit",
    "Money",
    "format_duration",
    "format_money",
    "parse_duration",
    "parse_fraction",
    "parse_limit",
    "parse_money",
]

_NUMBER = r"([+-]?\d{1,9}(?:\.\d+)?)"
"""Nine digits: a billion hours, in microseconds, still fit 64 bits."""
_FRACTION = re.compile(_NUMBER + r"\s*(%|pt|pts|points?)")
_DURATION = re.compile(_NUMBER + r"\s*(us|ms|s|min|m|h)")
_MONEY = re.compile(r"\$\s*" + _NUMBER)
_SHARE_HELP = "write a share as 5%, 5pt or 0.05"
_LIMIT_HELP = "write a limit as a number, 80%, 8s or $0.05"
_LARGEST = 1e12
_MICROSECONDS = {"us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000, "m": 60_000_000, "h": 3_600_000_000}


def parse_fraction(value: object) -> float:
    """``5pt``, ``5%`` or ``+5%`` as 0.05; a plain number is taken as a fraction already."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if abs(value) <= 1:
            return float(value)
        if abs(value) <= _LARGEST:
            raise ValueError(f"{value} is more than 100%: write {value}% or {value}pt")
        raise ValueError(_SHARE_HELP)
    match = _FRACTION.fullmatch(str(value).strip())
    if not match:
        raise ValueError(_SHARE_HELP)
    return float(match.group(1)) / 100


def parse_duration(value: object) -> int:
    """``250ms``, ``8s`` or ``2min`` in microseconds."""
    match = _DURATION.fullmatch(str(value).strip())
    if not match:
        raise ValueError("write a duration with its unit: 250ms, 8s, 2min")
    return round(float(match.group(1)) * _MICROSECONDS[match.group(2)])


def parse_money(value: object) -> int:
    """``$0.12`` in micro-dollars."""
    match = _MONEY.fullmatch(str(value).strip())
    if not match:
        raise ValueError("write money in dollars: $0.12")
    return round(float(match.group(1)) * 1_000_000)


def parse_limit(value: object) -> float:
    """A limit in the unit of a score: ``8s`` in seconds, ``$0.05`` in dollars, ``80%`` as 0.8, numbers as they are."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if abs(value) <= _LARGEST:
            return float(value)
        raise ValueError(_LIMIT_HELP)
    text = str(value).strip()
    if _DURATION.fullmatch(text):
        return parse_duration(text) / 1_000_000
    if _MONEY.fullmatch(text):
        return parse_money(text) / 1_000_000
    if _FRACTION.fullmatch(text):
        return parse_fraction(text)
    raise ValueError(_LIMIT_HELP)


def _json_schema(pattern: re.Pattern[str], *others: re.Pattern[str], number: bool = False) -> WithJsonSchema:
    """For editors: the written forms, not the number that they become."""
    forms = "|".join(f"(?:{item.pattern})" for item in (pattern, *others))
    text = {"type": "string", "pattern": f"^(?:{forms})$"}
    return WithJsonSchema({"anyOf": [{"type": "number"}, text]} if number else text)


Fraction = Annotated[float, BeforeValidator(parse_fraction), _json_schema(_FRACTION, number=True)]
"""A share, written ``5%`` or ``5pt``."""
Duration = Annotated[int, BeforeValidator(parse_duration), _json_schema(_DURATION)]
"""A duration in microseconds, written ``8s``."""
Money = Annotated[int, BeforeValidator(parse_money), _json_schema(_MONEY)]
"""Micro-dollars, written ``$0.12``."""
Limit = Annotated[float, BeforeValidator(parse_limit), _json_schema(_FRACTION, _DURATION, _MONEY, number=True)]
"""A limit in the unit of a score, written ``0.8``, ``80%``, ``8s`` or ``$0.05``."""


def format_duration(microseconds: float) -> str:
    """A duration for people: ``38 ms``, ``3.79 s``, ``2 min 14 s``."""
    sign, size = ("-", -microseconds) if microseconds < 0 else ("", microseconds)
    if round(size) < 1_000:
        return f"{sign}{size:.0f} µs"
    if round(size / 1_000) < 1_000:
        return f"{sign}{size / 1_000:.0f} ms"
    if round(size / 1_000_000, 2) < 60:
        return f"{sign}{size / 1_000_000:.2f} s"
    minutes, seconds = divmod(round(size / 1_000_000), 60)
    return f"{sign}{minutes} min {seconds:02d} s"


def format_money(microdollars: float) -> str:
    """Money for people: enough digits to tell small prices apart."""
    dollars = microdollars / 1_000_000
    if dollars and abs(dollars) < 0.01:
        return f"${dollars:.6f}"
    return f"${dollars:,.4f}" if abs(dollars) < 1 else f"${dollars:,.2f}"
