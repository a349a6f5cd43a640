"""A rule of the gate over the runs, oldest to the left: inline SVG with presentation attributes only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from evalkit.gate.words import amount, commit_of, interval
from evalkit.text import excerpt, visible
from evalkit.view.history import Judgement, RulePoint

__all__ = ["MOST_POINTS", "trend"]

MOST_POINTS = 60
"""Runs in a picture, the newest."""
_COLORS = {"block": "#c0392b", "error": "#c0392b", "inconclusive": "#b7791f", "note": "#b7791f", "pass": "#2f855a"}
_SIGNS = {"block": "✖", "error": "!", "inconclusive": "?", "not_comparable": "≠"}
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 150, 84, 16, 12, 30


def trend(rule_id: str, points: Sequence[tuple[Judgement, RulePoint]]) -> str:
    """The values of a rule with their intervals, one place a run; empty where no run has a value.

    Args:
        rule_id: The rule.
        points: Runs with what the rule saw, oldest first.
    """
    shown = [(judged, rule) for judged, rule in points[-MOST_POINTS:] if _finite(rule.candidate)]
    if not shown:
        return ""
    low, high = _range([rule for _, rule in shown])

    def y(value: float) -> float:
        return round(_TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(shown))
    places = [round(_LEFT + step * (number + 0.5), 1) for number in range(len(shown))]
    unit = shown[-1][1].unit
    label = escape(visible(excerpt(f"{rule_id} over {len(shown)} runs", 120)), quote=True)
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    parts = [f'<svg {size} role="img" aria-label="{label}" font-family="system-ui, sans-serif" font-size="11">']
    parts += _axis(low, high, unit, y)
    limit = shown[-1][1].limit
    if shown[-1][1].kind in ("floor", "ceiling", "count") and limit is not None and low <= limit <= high:
        parts.append(
            f'<line x1="{_LEFT}" y1="{y(limit)}" x2="{_WIDTH - _RIGHT}" y2="{y(limit)}" stroke="#c0392b" '
            f'stroke-dasharray="4 3"><title>limit {escape(amount(limit, unit))}</title></line>'
        )
    line = " ".join(f"{x},{y(rule.candidate or 0.0)}" for x, (_, rule) in zip(places, shown, strict=True))
    parts.append(f'<polyline points="{line}" fill="none" stroke="#718096" stroke-width="1.5"/>')
    every = max(1, math.ceil(len(shown) / 10))
    for number, (x, (judged, rule)) in enumerate(zip(places, shown, strict=True)):
        parts += _point(x, y, judged, rule)
        if number % every == 0 or len(shown) == number + 1:
            parts.append(
                f'<text x="{x}" y="{_HEIGHT - 10}" text-anchor="middle" fill="currentColor">'
                f"{escape(visible(commit_of(judged.commit) if judged.commit else '–'))}</text>"
            )
    return "".join([*parts, "</svg>"])


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _range(rules: Sequence[RulePoint]) -> tuple[float, float]:
    """What is shown: all values and the ends of their intervals, and some room."""
    ends = [end for rule in rules for end in (rule.candidate, rule.low, rule.high)]
    values = [end for end in ends if end is not None and math.isfinite(end)]
    limit = rules[-1].limit
    if rules[-1].kind in ("floor", "count") and limit is not None:
        values.append(limit)
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or abs(high) * 0.05 or 0.5
    return low - room, high + room


def _axis(low: float, high: float, unit: str, y: Callable[[float], float]) -> list[str]:
    values = [low + (high - low) * share for share in (0.08, 0.5, 0.92)]
    if unit == "count":
        values = sorted({float(round(value)) for value in values if low <= round(value) <= high})
    return [
        f'<line x1="{_LEFT}" y1="{y(value)}" x2="{_WIDTH - _RIGHT}" y2="{y(value)}" stroke="#a0aec0" '
        f'stroke-opacity="0.35"/><text x="{_LEFT - 8}" y="{y(value) + 4}" text-anchor="end" fill="currentColor">'
        f"{escape(amount(value, unit))}</text>"
        for value in values
    ]


def _point(x: float, y: Callable[[float], float], judged: Judgement, rule: RulePoint) -> list[str]:
    value, color = rule.candidate or 0.0, _COLORS.get(rule.status, "#718096")
    ends = interval(rule.low, rule.high, rule.unit) if rule.unit != "share" else _shares(rule)
    told = f"{commit_of(judged.commit)}: {amount(rule.candidate, rule.unit)} {ends} {rule.status}, {judged.run_id}"
    title = f"<title>{escape(visible(excerpt(told, 200)))}</title>"
    low, high = (end if _finite(end) else value for end in (rule.low, rule.high))
    parts = [f'<line x1="{x}" y1="{y(low or 0.0)}" x2="{x}" y2="{y(high or 0.0)}" stroke="{color}" stroke-width="2"/>']
    if rule.status in _SIGNS:
        sign = _SIGNS[rule.status]
        beside = x if sign == "✖" else x + 8  # the others are as thin as the bar
        parts.append(
            f'<text x="{beside}" y="{y(value) + 5}" text-anchor="middle" font-size="15" font-weight="bold" '
            f'fill="{color}">{sign}{title}</text>'
        )
    else:
        parts.append(f'<circle cx="{x}" cy="{y(value)}" r="4" fill="{color}">{title}</circle>')
    return parts


def _shares(rule: RulePoint) -> str:
    if rule.low is None or rule.high is None:
        return ""
    return f"[{amount(rule.low, 'share')}, {amount(rule.high, 'share')}]"
