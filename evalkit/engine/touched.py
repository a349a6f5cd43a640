"""Which cases a change can affect at all, and how often those must be tried of which no failure may go unseen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.engine.plan import Plan
from evalkit.store.runs import RunFolder

__all__ = ["count_touched", "further_trials"]

Mask = NDArray[np.bool_]


def count_touched(plan: Plan, baseline: RunFolder) -> int:
    """Cases of a plan whose trials are not all the very ones of a baseline."""
    return int(_touched(plan, baseline, np.ones(plan.cases, np.bool_)).sum())


def further_trials(plan: Plan, baseline: RunFolder, critical_trials: int) -> Mapping[str, int]:
    """Trials that a plan should have beyond its own, by case, before anything is judged.

    A critical case that is touched gets as many as the gate asks for. An untouched one, of any kind, gets as many as
    the baseline holds of it: those are its very trials, and cost nothing.

    Args:
        plan: Of a whole golden set.
        baseline: What the run will be compared with.
        critical_trials: Trials of each touched critical case.
    """
    held = _held(plan, baseline)
    critical = _critical(plan) & (plan.counts < critical_trials)
    looked_at = critical | (held > plan.counts)
    if not looked_at.any():
        return {}
    touched = _touched(plan, baseline, looked_at)
    goal = np.where(touched, np.where(critical, critical_trials, 0), held)
    more = np.where(looked_at, np.maximum(goal - plan.counts, 0), 0)
    places = np.flatnonzero(more)
    names = plan.case_ids.take(pa.array(places)).to_pylist()
    return dict(zip(names, more[places].tolist(), strict=True))


def _held(plan: Plan, baseline: RunFolder) -> NDArray[np.int64]:
    """Trials that the baseline holds of each case of a plan."""
    held = np.zeros(plan.cases, np.int64)
    counted = pc.value_counts(baseline.trials(["case_id"]).column(0).combine_chunks())
    places = pc.index_in(counted.field("values"), value_set=plan.case_ids)
    there = np.asarray(places.is_valid())
    held[places.drop_null().to_numpy()] = counted.field("counts").to_numpy()[there]
    return held


def _critical(plan: Plan) -> Mask:
    """The critical cases of a plan of a whole golden set."""
    rows = plan.golden.rows
    parts = [batch.column(0) for batch in rows.read(range(len(rows.groups)), ["critical"])]
    column = pa.chunked_array(parts, pa.bool_()).fill_null(False)
    return np.asarray(column.to_numpy())[plan.selection.places]


def _touched(plan: Plan, baseline: RunFolder, cases: Mask) -> Mask:
    """Which of some cases of a plan have trials that are not the very ones of a baseline."""
    mine = np.repeat(cases, plan.counts)
    keys = pa.array(plan.keys[mine].astype(str), pa.string())
    known = _executed(baseline, keys)
    touched = mine & (plan.origin < 0)
    for number, reuse in enumerate(plan.reuses):
        places = np.flatnonzero(mine & (plan.origin == number))
        executed = _executed(reuse.folder, keys) if reuse.folder is not None and len(places) else {}
        for place in places.tolist():
            key = plan.keys[place].decode()
            touched[place] = key not in known or known[key] != executed.get(key)
    return plan.cases_with(touched)


def _executed(folder: RunFolder, keys: pa.Array) -> dict[str, str]:
    """The run that executed each of some trials, by key."""
    table = folder.trials(["trial_key", "source_run"])
    table = table.filter(pc.is_in(table.column(0), value_set=keys))
    return dict(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))
