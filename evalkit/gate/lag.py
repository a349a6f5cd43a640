"""Can the recorded latencies be trusted? A client that is held up reads its answers late."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evalkit.gate.evidence import Evidence
from evalkit.gate.verdict import RuleResult
from evalkit.gate.words import UNITS, amount
from evalkit.stats import percentile
from evalkit.workflow.gates import GateRule

__all__ = ["MOST_LAG", "doubt_latency", "is_latency"]

MOST_LAG = 0.10
"""Share of a measured latency that the client's own hold-ups may come to."""
_QUANTILE = 0.95
_ADVICE = "run it again with a lower concurrency or on a machine with less to do"


def is_latency(rule: GateRule) -> bool:
    """Whether a rule judges times that were measured."""
    return UNITS.get(rule.grader) == "seconds" and rule.metric != "pass_rate"


def doubt_latency(result: RuleResult, rule: GateRule, evidence: Evidence) -> RuleResult:
    """Leave a rule on latency open where the client itself was held up for long.

    Each trial carries the longest time that the client's event loop was held up while it ran. That only lengthens
    recorded times. A baseline that lagged therefore hides a slowdown, and a candidate that lagged looks slow without
    being so. A ceiling that holds for times that are too long does hold for these requests; but a client that cannot
    keep up also sends less than was asked for, so that the target was measured under less load (Tene, "How not to
    measure latency", calls it coordinated omission), and the pass would not be one under the load that was meant.

    So: where the 95th percentile of the hold-ups, over the trials of the rule, is more than a tenth of the measured
    statistic, a rule does not pass; and it blocks only where it would with the longest hold-up taken off. A single
    hold-up can make the largest latency: for a rule on that the longest stands in the place of the percentile. For a
    limit the candidate's trials count, for a comparison those of both runs, each against its own statistic. Simulated
    latencies are stated and not measured: they are left out. Trials that were carried over carry their own hold-ups.
    Where a run was stored before hold-ups were recorded, a comparison that passes is a note.
    """
    if evidence.lags is None or not is_latency(rule) or result.status not in ("pass", "note", "block"):
        return result
    before, now = evidence.lags
    sides = [("this run", now, result.candidate)]
    if result.kind in ("drop", "increase"):
        sides.append(("the baseline", before, result.baseline))
    inside = evidence.in_slice(rule.slice)
    quantile, which = (1.0, "longest") if rule.metric == "max" else (_QUANTILE, "95th percentile")
    doubts, longest, unknown = [], 0.0, []
    for name, lags, measured in sides:
        seconds = lags.seconds[inside[lags.places]]
        if lags.unknown:
            unknown.append(name)
        if not len(seconds) or measured is None:
            continue
        held = percentile(seconds, quantile)
        if held > MOST_LAG * measured:
            doubts.append(f"in {name} by {amount(held, 'seconds')}, of {amount(measured, 'seconds')} measured")
            longest = max(longest, float(np.max(seconds)))
    if doubts and not (result.status == "block" and _blocks_without(result, longest)):
        said = result.sentence.rstrip(".")
        sentence = (
            f"The measured {rule.grader} cannot be trusted: the client itself was held up ({which}) "
            f"{' and '.join(doubts)}; {_ADVICE}. ({said}.)"
        )
        return replace(result, status="inconclusive", sentence=sentence)
    if unknown and result.status == "pass":
        sentence = f"{result.sentence} How far the client was held up in {' and '.join(unknown)} was not recorded."
        return replace(result, status="note", sentence=sentence)
    return result


def _blocks_without(result: RuleResult, longest: float) -> bool:
    """Whether a rule blocks even where every measured time is too long by this much."""
    if result.limit is None or result.candidate is None:
        return False
    if result.kind == "ceiling":
        return result.candidate - longest > result.limit
    low = result.low if result.mean_low is None else result.mean_low  # what was taken off is in the unit of the means
    if result.kind == "increase" and result.baseline and low is not None:
        return low - longest / result.baseline > result.limit
    return result.kind == "floor"  # times that are too long are below it
