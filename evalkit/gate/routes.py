"""What the routes of a workflow came to: how many trials each took, their cost, tokens and time. It decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.verdict import RouteTotals, RouteUse
from evalkit.store.arrays import codes_of, whole_numbers
from evalkit.store.runs import RunFolder
from evalkit.store.segments import scan_segment

__all__ = ["route_uses"]

_MEASURED = ("cost_microusd", "input_tokens", "output_tokens", "latency_us")


def route_uses(baseline: RunFolder, candidate: RunFolder) -> tuple[RouteUse, ...]:
    """Each route that finished trials of either run took, the most used one of the candidate first; none for one route.

    Raises:
        StoreError: when a segment cannot be read.
    """
    before, now = _totals(baseline), _totals(candidate)
    names = sorted({*before, *now}, key=lambda name: (-now.get(name, RouteTotals()).trials, name))
    if len(names) < 2:
        return ()
    return tuple(RouteUse(name, before.get(name, RouteTotals()), now.get(name, RouteTotals())) for name in names)


def _totals(folder: RunFolder) -> dict[str, RouteTotals]:
    sums: dict[str, NDArray[np.int64]] = {}
    columns = ("route", "status", *_MEASURED)
    for rows in scan_segment(folder.trials_path, columns, encoded=["route", "status"]):
        routes, names = codes_of(rows.column("route"))
        statuses, words = codes_of(rows.column("status"))
        done = statuses == words.index("ok") if "ok" in words else np.zeros(len(statuses), bool)
        values = [done.astype(np.int64), *(np.where(done, whole_numbers(rows.column(name)), 0) for name in _MEASURED)]
        for code, name in enumerate(names):
            mine = routes == code
            sums[name or ""] = sums.get(name or "", 0) + np.array([value[mine].sum() for value in values])
    return {name: _total(found.tolist()) for name, found in sums.items() if found[0]}


def _total(found: Sequence[int]) -> RouteTotals:
    trials, cost, read, written, time = found
    return RouteTotals(trials, cost, read, written, time)
