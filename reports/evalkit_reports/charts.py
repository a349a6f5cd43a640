"""Inline SVG made here, with presentation attributes only: it shows without styles and without scripts."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from evalkit.gate import RuleResult
from evalkit.gate.words import points
from evalkit.text import excerpt, visible

__all__ = ["forest_plot"]

_COLORS = {
    "block": "#c0392b",
    "error": "#c0392b",
    "inconclusive": "#b7791f",
    "not_comparable": "#718096",
    "note": "#b7791f",
    "pass": "#2f855a",
}
_PLAIN = "#2b6cb0"
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 720, 170, 24, 30, 26


def forest_plot(rules: list[RuleResult], *, judged: bool = True) -> str:
    """One line a rule: the estimated change, its interval, and the margin that it must stay above.

    Its colour is the rule's result; a mere comparison has none. Rules without a difference of shares are left out;
    without any the result is empty.
    """
    shown = [rule for rule in rules if rule.unit == "share" and rule.touched and _finite(rule)]
    if not shown:
        return ""
    values = [value for rule in shown for value in (rule.low, rule.high, rule.limit, 0.0) if value is not None]
    low, high = min(values) - 0.01, max(values) + 0.01
    span = high - low

    def x(value: float) -> float:
        return round(_LEFT + (value - low) / span * (_WIDTH - _LEFT - _RIGHT), 1)

    height = _TOP + _ROW * len(shown) + 24
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    label = 'aria-label="Change of each quality grader with its interval"'
    parts = [
        f'<svg {size} role="img" {label} font-family="system-ui, sans-serif" font-size="13">',
        f'<line x1="{x(0)}" y1="{_TOP - 8}" x2="{x(0)}" y2="{height - 22}" stroke="#718096" stroke-width="1"/>',
        f'<text x="{x(0)}" y="14" text-anchor="middle" fill="currentColor">no change</text>',
    ]
    for index, rule in enumerate(shown):
        parts += _line(rule, _TOP + _ROW * index + _ROW // 2, x, _COLORS[rule.status] if judged else _PLAIN)
    parts += _axis(low, high, height, x)
    return "".join([*parts, "</svg>"])


def _finite(rule: RuleResult) -> bool:
    return all(value is not None and math.isfinite(value) for value in (rule.delta, rule.low, rule.high))


def _line(rule: RuleResult, y: int, x: Callable[[float], float], color: str) -> list[str]:
    label = escape(visible(excerpt(rule.id, 22)))
    parts = [f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end" fill="currentColor">{label}</text>']
    if rule.limit is not None:
        parts.append(
            f'<line x1="{x(rule.limit)}" y1="{y - 10}" x2="{x(rule.limit)}" y2="{y + 10}" stroke="#c0392b" '
            f'stroke-width="2" stroke-dasharray="3 2"><title>margin {points(rule.limit)} points</title></line>'
        )
    delta, low, high = rule.delta or 0.0, rule.low or 0.0, rule.high or 0.0
    title = f"{points(delta)} points, from {points(low)} to {points(high)}"
    parts.append(f'<line x1="{x(low)}" y1="{y}" x2="{x(high)}" y2="{y}" stroke="{color}" stroke-width="3"/>')
    parts.append(f'<circle cx="{x(delta)}" cy="{y}" r="5" fill="{color}"><title>{title}</title></circle>')
    return parts


def _axis(low: float, high: float, height: int, x: Callable[[float], float]) -> list[str]:
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / step <= 9 or step == 0.5)
    first = int(low / step) - 1
    parts = []
    for number in range(first, first + 40):
        value = number * step
        if low <= value <= high:
            parts.append(
                f'<text x="{x(value)}" y="{height - 6}" text-anchor="middle" fill="currentColor" font-size="11">'
                f"{points(value)}</text>"
            )
    return parts
