"""Pictures of many cases and many runs: distributions before and now, and trends. SVG as in :mod:`charts`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.details import CaseIndex, GraderColumn
from evalkit.gate.words import amount
from evalkit.text import visible

__all__ = ["Trend", "distribution", "trends"]

_BEFORE, _NOW = "#718096", "#2b6cb0"
_WIDTH, _HEIGHT, _TOP, _FOOT, _BINS = 520, 150, 30, 24, 40

Floats = NDArray[np.float64]
Trend = tuple[str, str, str, str]
"""Grader, picture, what earlier runs ranged over, and what this one says."""


def distribution(column: GraderColumn) -> str:
    """How a measurement is spread over the cases, before as an area and now as a line, on a logarithmic scale.

    Empty where nothing was measured, or all of it reads the same.
    """
    before, now = (values[np.isfinite(values) & (values > 0)] for values in (column.before, column.now))
    both = np.concatenate([before, now])
    if len(now) < 2 or amount(float(both.min()), column.unit) == amount(float(both.max()), column.unit):
        return ""
    edges = np.geomspace(both.min(), both.max(), _BINS + 1)
    heights = [np.histogram(values, edges)[0] / max(1, len(values)) for values in (before, now)]
    top = max(float(height.max()) for height in heights)
    foot = _HEIGHT - _FOOT
    scale = (foot - _TOP) / top

    def x(value: float) -> float:
        share = (math.log(value) - math.log(edges[0])) / (math.log(edges[-1]) - math.log(edges[0]))
        return round(8 + share * (_WIDTH - 16), 1)

    def outline(height: Floats, close: bool) -> str:
        points = [f"M{x(edges[0])} {foot}"] if close else []
        for place, share in enumerate(height.tolist()):
            y = round(foot - share * scale, 1)
            points.append(f"{'L' if points else 'M'}{x(edges[place])} {y}L{x(edges[place + 1])} {y}")
        return "".join([*points, f"L{x(edges[-1])} {foot}Z" if close else ""])

    name = escape(visible(column.grader), quote=True)
    label = f"{name}: {_middle(before, column.unit)} before, {_middle(now, column.unit)} now"
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    summary = f"median and 95th percentile: {_middle(before, column.unit)} → {_middle(now, column.unit)}"
    parts = [
        f'<svg {size} role="img" aria-label="{label}" font-family="system-ui, sans-serif" font-size="12">',
        f'<text x="8" y="13" fill="currentColor" font-weight="600">{name}</text>',
        f'<text x="{_WIDTH - 8}" y="13" text-anchor="end" fill="currentColor">{summary}</text>',
    ]
    if len(before):
        parts.append(f'<path d="{outline(heights[0], True)}" fill="{_BEFORE}" fill-opacity="0.45"/>')
        parts += _marks(before, x, foot, _BEFORE)
    parts.append(f'<path d="{outline(heights[1], False)}" fill="none" stroke="{_NOW}" stroke-width="2"/>')
    parts += _marks(now, x, foot, _NOW)
    parts.append(f'<line x1="8" y1="{foot}" x2="{_WIDTH - 8}" y2="{foot}" stroke="{_BEFORE}"/>')
    told = set()
    for share, anchor in ((0.0, "start"), (1.0, "end"), (0.5, "middle"), (0.25, "middle"), (0.75, "middle")):
        value = float(edges[0] * (edges[-1] / edges[0]) ** share)
        text = amount(value, column.unit)
        if text in told:  # a narrow range has few amounts that can be told apart
            continue
        told.add(text)
        parts.append(
            f'<text x="{x(value)}" y="{_HEIGHT - 7}" text-anchor="{anchor}" fill="currentColor" font-size="11">'
            f"{text}</text>"
        )
    return "".join([*parts, "</svg>"])


def _middle(values: Floats, unit: str) -> str:
    if not len(values):
        return "nothing"
    return f"{amount(float(np.median(values)), unit)}, {amount(float(np.percentile(values, 95)), unit)}"


def _marks(values: Floats, x: Callable[[float], float], foot: int, color: str) -> list[str]:
    """Median and 95th percentile as lines."""
    found = []
    for percent, dash in ((50, ""), (95, ' stroke-dasharray="3 3"')):
        at = x(float(np.percentile(values, percent)))
        place = f'x1="{at}" y1="{_TOP - 8}" x2="{at}" y2="{foot}"'
        found.append(f'<line {place} stroke="{color}" stroke-width="1.5"{dash}/>')
    return found


def trends(index: CaseIndex) -> list[Trend]:
    """How each grader came out in earlier runs, and now; none where there is no earlier run."""
    found = []
    for column in index.graders:
        past = [run for run in index.past if math.isfinite(run.values.get(column.grader, math.nan))]
        known = column.now[np.isfinite(column.now)]
        if not past or not len(known):
            continue
        values = [*(run.values[column.grader] for run in past), float(known.mean())]
        ends = [amount(end(values[:-1]), column.unit) for end in (min, max)]
        ranged = " to ".join(dict.fromkeys(ends))
        titles = [f"{run.commit[:7] or run.run_id}: {amount(run.values[column.grader], column.unit)}" for run in past]
        picture = _sparkline(values, [*(run.accepted for run in past), True], titles, column.grader)
        found.append((column.grader, picture, ranged, amount(values[-1], column.unit)))
    return found


def _sparkline(values: Sequence[float], filled: Sequence[bool], titles: Sequence[str], name: str) -> str:
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def point(place: int) -> tuple[float, float]:
        return round(6 + place * 15, 1), round(26 - (values[place] - low) / span * 20, 1) if high > low else 16.0

    places = [point(place) for place in range(len(values))]
    width = 12 + 15 * (len(values) - 1)
    label = escape(visible(f"{name} in {len(values) - 1} earlier runs and in this one"), quote=True)
    path = " ".join(f"{x},{y}" for x, y in places)
    parts = [
        f'<svg viewBox="0 0 {width} 32" width="{width}" height="32" role="img" aria-label="{label}">',
        f'<polyline points="{path}" fill="none" stroke="{_BEFORE}" stroke-width="1.5"/>',
    ]
    for (x, y), solid, title in zip(places[:-1], filled, titles, strict=False):
        inside = _BEFORE if solid else "none"
        parts.append(
            f'<circle cx="{x}" cy="{y}" r="3" fill="{inside}" stroke="{_BEFORE}" stroke-width="1.5">'
            f"<title>{escape(visible(title))}</title></circle>"
        )
    parts.append(f'<circle cx="{places[-1][0]}" cy="{places[-1][1]}" r="4.5" fill="{_NOW}"/>')
    return "".join([*parts, "</svg>"])
