"""Which cases a change can affect at all."""

from __future__ import annotations

from evalkit.engine.plan import Plan
from evalkit.store.runs import RunFolder

__all__ = ["count_touched"]


def count_touched(plan: Plan, baseline: RunFolder) -> int:
    """Cases of a plan whose trials are not all the very ones of a baseline."""
    known = _executed(baseline)
    touched = plan.origin < 0
    for number, reuse in enumerate(plan.reuses):
        mine = (plan.origin == number).nonzero()[0]
        executed = _executed(reuse.folder) if reuse.folder is not None else {}
        for place in mine:
            key = plan.keys[place].decode()
            touched[place] = key not in known or known[key] != executed.get(key)
    return int(plan.cases_with(touched).sum())


def _executed(folder: RunFolder) -> dict[str, str]:
    """The run that executed each trial, by key."""
    table = folder.trials(["trial_key", "source_run"])
    return dict(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))
