"""What it takes to settle an open verdict: trials, model calls, money."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc

from evalkit.gate.verdict import RuleResult, Settling, most_of_each
from evalkit.gate.words import count_of
from evalkit.quantities import format_money
from evalkit.store.runs import RunFolder

__all__ = ["settling", "settling_sentence"]


def settling(folder: RunFolder, rules: Sequence[RuleResult], cases: int) -> Settling | None:
    """About what would settle it; None where a rule is open that trials would not settle.

    A trial serves all graders, so that rules share their trials: what the greediest rule asks for counts, or what the
    next trials of all come to. A trial costs what the trials cost that this run has made; where it made none, what
    those cost that it holds.

    Args:
        folder: The run that is judged.
        rules: Its rules.
        cases: Cases of the golden set; those that were not run must be.

    Raises:
        StoreError: when the segment of the trials cannot be read.
    """
    run = folder.run
    pending = [rule for rule in rules if rule.status == "inconclusive"]
    trials = _trials(pending)
    if run.selection != "all" and trials is not None:
        made = run.trials // max(1, run.trials_per_case)
        trials = max(trials, (cases - made) * run.trials_per_case)
    if not trials:
        return None
    calls, microusd = _of_a_trial(folder)
    return Settling(trials, math.ceil(trials * calls), math.ceil(trials * microusd))


def _trials(pending: Sequence[RuleResult]) -> int | None:
    """Further trials; None where a rule does not know how many."""
    if any(rule.more_trials is None and not rule.next_trials for rule in pending):
        return None
    most = most_of_each(rule.next_trials for rule in pending)
    return max([sum(most.values()), *(rule.more_trials or 0 for rule in pending)])


def _of_a_trial(folder: RunFolder) -> tuple[float, float]:
    """Model calls and micro-dollars of a trial."""
    run = folder.run
    made = run.trials - run.reused
    if made > 0 and run.model_calls:
        return run.model_calls / made, run.cost_microusd / made
    table = folder.trials(["model_calls", "cost_microusd"])
    return _mean(table.column(0)), _mean(table.column(1))


def _mean(column: Any) -> float:
    return float(pc.mean(column).as_py() or 0)


def settling_sentence(found: Settling | None) -> str:
    """``To settle it takes about 96 more trials: 120 model calls, about $0.0123.``; empty where nothing is known."""
    if found is None:
        return ""
    return (
        f"To settle it takes about {count_of(found.trials, 'more trial')}: {count_of(found.calls, 'model call')}, "
        f"about {format_money(found.cost_microusd)}."
    )
