"""Numbers and sentences for people who know no statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from evalkit.fingerprint import short

__all__ = [
    "UNITS",
    "amount",
    "change",
    "commit_of",
    "count_of",
    "grader_in_slice",
    "interval",
    "points",
    "rule_name",
    "share",
]

UNITS: Mapping[str, Literal["share", "seconds", "dollars", "count"]] = {
    "latency": "seconds",
    "ttft": "seconds",
    "cost": "dollars",
    "tokens": "count",
}
"""Units of graders that do not measure shares."""


def share(value: float | None) -> str:
    """A share as ``94.2%``."""
    return "–" if value is None or math.isnan(value) else f"{value:.1%}"


def points(value: float, *, sign: bool = True) -> str:
    """A difference of shares in points: ``−6.1`` or ``+0.4``."""
    text = "∞" if math.isinf(value) else f"{abs(value) * 100:.1f}"
    if not sign:
        return text
    return f"±{text}" if text == "0.0" else f"{'−' if value < 0 else '+'}{text}"


def interval(low: float | None, high: float | None, unit: str = "share") -> str:
    """An interval: ``[−9.0, −3.1]`` points, or amounts of the unit. An end that is None is open."""
    if low is None and high is None:
        return ""
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    if unit == "share":
        return f"[{points(low)}, {points(high)}]"
    if unit == "ratio":
        return f"[{change(low)}, {change(high)}]"
    return f"[{amount(low, unit)}, {amount(high, unit)}]"


def change(ratio: float | None) -> str:
    """A ratio as a change: 1.029 is ``+2.9%``."""
    if ratio is None:
        return "–"
    if math.isinf(ratio):
        return "∞" if ratio > 0 else "−∞"
    text = f"{abs(ratio - 1) * 100:.1f}%"
    return f"±{text}" if text == "0.0%" else f"{'−' if ratio < 1 else '+'}{text}"


def amount(value: float | None, unit: str) -> str:
    """A measurement in its unit: ``94.2%``, ``3.79 s``, ``$0.0104``, ``3``."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if unit == "share":
        return share(value)
    if unit == "seconds":
        return f"{value * 1000:.0f} ms" if abs(value) < 1 else f"{value:.2f} s"
    if unit == "dollars":
        return f"${value:.6f}" if 0 < abs(value) < 0.01 else f"${value:.4f}" if abs(value) < 1 else f"${value:,.2f}"
    if unit == "ratio":
        return change(value)
    return f"{value:g}"


def grader_in_slice(grader: str, slice_name: str) -> str:
    """``refusal``, or ``refusal in locale=de-DE``."""
    return f"{grader} in {slice_name}" if slice_name else grader


def rule_name(rule_id: str, slice_name: str) -> str:
    """A rule with its slice, where its id does not say it already: ``refusal · locale=de-DE``."""
    return f"{rule_id} · {slice_name}" if slice_name and slice_name not in rule_id else rule_id


def commit_of(commit: str) -> str:
    """A commit for people."""
    return short(commit, 7) if commit else "working copy"


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """``1 case``, ``3 cases``, ``1,200 cases``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
