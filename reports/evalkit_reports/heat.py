"""Slices against graders, as a table whose colours say what its signs say too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from evalkit.gate import SliceResult
from evalkit.gate.words import interval, points

__all__ = ["HeatCell", "HeatTable", "heat_table"]

_ROWS = 24
_STRONG, _FAINT = 0.05, 0.02


@dataclass(frozen=True)
class HeatCell:
    """A grader on a slice: words, the strength of its colour, and where its cases are."""

    text: str
    level: str
    interval: str
    link: str


@dataclass(frozen=True)
class HeatTable:
    """Slices that moved most, with the number of their cases, and a cell a grader; None where it says nothing."""

    graders: Sequence[str]
    rows: Sequence[tuple[str, int, Sequence[HeatCell | None]]]
    more: int


def heat_table(slices: Sequence[SliceResult], workflow: str) -> HeatTable:
    """The slices that are large enough to judge, the ones that fell most first.

    Args:
        slices: Of all keys, values and graders.
        workflow: Named in the links where a file has several; else empty.
    """
    graders = sorted({item.grader for item in slices})
    found: dict[tuple[str, str], dict[str, SliceResult]] = {}
    for item in slices:
        if not item.small:
            found.setdefault((item.key, item.value), {})[item.grader] = item
    moved = {place: cells for place, cells in found.items() if any(cell.delta for cell in cells.values())}
    ordered = sorted(moved.items(), key=lambda row: (min(cell.delta for cell in row[1].values()), row[0]))
    rows = [
        (
            f"{key} = {value}",
            max(cell.n for cell in cells.values()),
            [_cell(cells[name], workflow) if name in cells else None for name in graders],
        )
        for (key, value), cells in ordered[:_ROWS]
    ]
    return HeatTable(graders, rows, max(0, len(ordered) - _ROWS))


def _cell(item: SliceResult, workflow: str) -> HeatCell:
    clear = item.high < 0 or item.low > 0
    sign = "=" if item.delta == 0 else "~" if not clear else "▼" if item.delta < 0 else "▲"
    size = 3 if clear and abs(item.delta) >= _STRONG else 2 if clear else 1 if abs(item.delta) >= _FAINT else 0
    level = f"{'worse' if item.delta < 0 else 'better'}-{size}" if size else ""
    where = {"slice": f"{item.key}={item.value}", "g": item.grader, **({"w": workflow} if workflow else {})}
    text = "=" if item.delta == 0 else f"{sign} {points(item.delta)}"
    return HeatCell(text, level, interval(item.low, item.high), f"#{urlencode(where, errors='replace')}")
