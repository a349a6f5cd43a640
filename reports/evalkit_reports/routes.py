"""The routes that trials took as a table: their share, cost, tokens and time, before and now."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.gate import Verdict
from evalkit.gate.verdict import RouteTotals
from evalkit.gate.words import amount

__all__ = ["ROUTE_HEADS", "route_rows"]

ROUTE_HEADS = ("route", "trials", "cost a trial", "tokens a trial", "time a trial")
_NOTHING = "–"
_MOST = 12


def route_rows(verdict: Verdict) -> list[Sequence[str]]:
    """A row for each of the most used routes, its cells as ``62.0% → 48.5%``; what does not change is said once."""
    before = sum(item.before.trials for item in verdict.routes)
    now = sum(item.now.trials for item in verdict.routes)
    rows: list[Sequence[str]] = []
    for item in verdict.routes[:_MOST]:
        told = zip(_cells(item.before, before), _cells(item.now, now), strict=True)
        rows.append((item.route or "(none)", *(old if old == new else f"{old} → {new}" for old, new in told)))
    return rows


def _cells(totals: RouteTotals, trials: int) -> tuple[str, ...]:
    if not totals.trials:
        return (_NOTHING,) * 4
    tokens = (totals.input_tokens + totals.output_tokens) / totals.trials
    return (
        amount(totals.trials / trials, "share"),
        amount(totals.cost_microusd / totals.trials / 1e6, "dollars"),
        f"{tokens:,.0f}",
        amount(totals.latency_us / totals.trials / 1e6, "seconds"),
    )
