"""Margins: a grader must not be worse than the baseline by more than so much, with evidence."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.evidence import Evidence, Mask
from evalkit.gate.history_margins import judge_by_history
from evalkit.gate.pairs import GraderPairs
from evalkit.gate.rates import RateComparison
from evalkit.gate.sql import pair_sql
from evalkit.gate.verdict import MOST_CASES, RuleResult, RuleStatus, SliceResult, finite
from evalkit.gate.words import count_of, grader_in_slice, points
from evalkit.stats import Paired, compare_sums, holm, paired_difference
from evalkit.workflow.gates import GateRule, GateSpec

__all__ = ["judge_margins", "slice_results", "slices_note"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Comparison:
    """A margin compared, before the false alarms of all margins are shared out."""

    numbers: RuleResult
    found: Paired
    without_errors: Paired | None
    """The same without the cases that have error rows, where there are any."""


def judge_margins(rules: Sequence[GateRule], evidence: Evidence, spec: GateSpec) -> list[RuleResult]:
    """Judge the margins of a gate; they share the false alarms between them (Holm)."""
    compared = [_compare_rule(rule, evidence.pairs[rule.grader], evidence, spec) for rule in rules]
    adjusted = holm([item.found.p_worse for item in compared])
    return [
        judge_by_history(rule, item.numbers, evidence, spec, len(rules)) or _judged(item, p, spec)
        for rule, item, p in zip(rules, compared, adjusted, strict=True)
    ]


def _compare_rule(rule: GateRule, pairs: GraderPairs, evidence: Evidence, spec: GateSpec) -> _Comparison:
    mask = evidence.in_slice(rule.slice)
    compare = _compare_rates if rule.metric == "pass_rate" else _compare_values
    found = compare(pairs, mask, evidence, spec, False)
    errors = bool((pairs.now.where(pairs.now.table.errors) & mask).any())
    clean = compare(pairs, mask, evidence, spec, True) if errors else None
    return _Comparison(_numbers(rule, found, pairs, mask, evidence), found, clean)


def _compare_rates(pairs: GraderPairs, mask: Mask, evidence: Evidence, spec: GateSpec, clean: bool) -> Paired:
    """Compare shares passed: of all cases, or without those that have error rows now."""
    sums = RateComparison(pairs, evidence, clean=clean).within(None if mask is evidence.axis.everything else mask)
    return compare_sums(sums, tail_low=spec.beta, tail_high=spec.alpha, seed=_seed(evidence))


def _compare_values(pairs: GraderPairs, mask: Mask, evidence: Evidence, spec: GateSpec, clean: bool) -> Paired:
    """Compare mean values in the same way."""
    before, now = _values(pairs)
    keep = mask & ~np.isnan(before) & ~np.isnan(now)
    if clean:
        keep &= ~pairs.now.where(pairs.now.table.errors)
    return paired_difference(
        before[keep],
        now[keep],
        evidence.clusters_of(keep),
        touched=evidence.touched[keep],
        tail_low=spec.beta,
        tail_high=spec.alpha,
        seed=_seed(evidence),
    )


def _seed(evidence: Evidence) -> int:
    return zlib.crc32(evidence.subject.candidate_run.encode())


def _values(pairs: GraderPairs) -> tuple[Floats, Floats]:
    """Mean values of the cases; blank where the baseline knows nothing of the case."""
    return np.where(pairs.baseline_usable, pairs.before.value, np.nan), pairs.now.value


def _worse(rule: GateRule, pairs: GraderPairs, mask: Mask, evidence: Evidence) -> NDArray[np.intp]:
    """Cases that are worse now: by the size of the drop, and critical ones first where it is the same."""
    if rule.metric == "pass_rate":
        places, changes = RateComparison(pairs, evidence).worse()
    else:
        before, now = _values(pairs)
        places = np.flatnonzero(now < before)
        changes = now[places] - before[places]
    inside = mask[places]
    places, changes = places[inside], changes[inside]
    return places[np.lexsort((~evidence.columns.critical[places], changes))]


def _numbers(rule: GateRule, found: Paired, pairs: GraderPairs, mask: Mask, evidence: Evidence) -> RuleResult:
    return RuleResult(
        id=rule.name,
        status="inconclusive",
        sentence="",
        kind="drop",
        grader=rule.grader,
        metric=rule.metric,
        slice=rule.slice or "",
        unit="share",
        n=found.n,
        touched=found.touched,
        baseline=found.baseline if found.n else None,
        candidate=found.candidate if found.n else None,
        delta=found.delta if found.n else None,
        low=finite(found.low) if found.n else None,
        high=finite(found.high) if found.n else None,
        p=found.p_worse if found.n else None,
        limit=-(rule.max_drop or 0.0),
        broke=found.broke,
        fixed=found.fixed,
        method=found.method,
        cases=evidence.axis.names(_worse(rule, pairs, mask, evidence), MOST_CASES),
        sql=pair_sql(rule, evidence.subject),
    )


def _judged(item: _Comparison, p: float, spec: GateSpec) -> RuleResult:
    result, clean = item.numbers, item.without_errors
    margin = -(result.limit or 0.0)
    status, sentence = _status(result, item.found, margin, p, spec)
    settles = status == "inconclusive" and item.found.touched > 0 and item.found.n >= spec.min_cases
    if status == "block" and clean is not None and not (clean.p_worse <= spec.alpha and clean.low <= -margin):
        status = "error"
        sentence = (
            f"Errors alone make the difference for {grader_in_slice(result.grader, result.slice)}: "
            "without them there is no evidence of a drop."
        )
    more = _more_cases(item.found, margin) if settles else None
    return replace(result, status=status, sentence=sentence, p=p if item.found.n else None, more_trials=more)


def _status(result: RuleResult, found: Paired, margin: float, p: float, spec: GateSpec) -> tuple[RuleStatus, str]:
    what = grader_in_slice(result.grader, result.slice)
    if found.n == 0:
        return "inconclusive", f"No case has a score of {what} on both sides."
    if found.touched == 0:
        return (
            "pass",
            f"Proven unchanged: nothing that {what} depends on differs in any of {count_of(found.n, 'case')}.",
        )
    change_text = f"{points(found.delta)} points [{points(found.low)}, {points(found.high)}]"
    if found.n < spec.min_cases:
        return "inconclusive", f"Only {count_of(found.n, 'case')} for {what}; at least {spec.min_cases} are needed."
    if p <= spec.alpha and found.low <= -margin:
        return "block", (
            f"Worse than the baseline at {1 - spec.alpha:.0%} confidence: {what} {change_text}{_flips(result, found)}; "
            f"the margin is {points(margin, sign=False)} points."
        )
    if found.low > -margin:
        ruled_out = (
            f"A drop of {points(margin, sign=False)} points or more is ruled out at {1 - spec.beta:.0%} confidence"
        )
        if p <= spec.alpha:
            return "note", f"{ruled_out}, but {what} is lower: {change_text}."
        return "pass", f"{ruled_out}: {what} {change_text}."
    return "inconclusive", (
        f"Not enough evidence: {what} could be anything from {points(found.low)} to {points(found.high)} points; "
        f"about {count_of(_more_cases(found, margin), 'more case')} (or trials, where answers vary) would settle it."
    )


def _flips(result: RuleResult, found: Paired) -> str:
    """How many cases broke and were fixed, where a case is right or wrong and nothing between."""
    if result.metric != "pass_rate":
        return ""
    return f", {found.broke:.3g} broke and {found.fixed:.3g} were fixed"


def _more_cases(found: Paired, margin: float) -> int:
    """Touched cases needed in all for an interval within the margin, less those there are (n grows with 1/width²)."""
    width = found.delta - found.low
    room = margin + found.delta
    if width <= 0 or room <= 0:
        return max(found.touched, 20)
    return max(10, math.ceil(found.touched * (width / room) ** 2) - found.touched)


def slice_results(evidence: Evidence, spec: GateSpec) -> list[SliceResult]:
    """Every quality grader on every slice, those with the largest drop first; a key that names cases makes none."""
    comparisons = {
        ref.name: RateComparison(evidence.pairs[ref.name], evidence)
        for ref in evidence.graders
        if ref.quality and ref.name in evidence.pairs
    }
    found = []
    for key, slicing in evidence.columns.slices.items():
        if slicing.names_cases:
            continue
        for grader, comparison in comparisons.items():
            for value, sums in comparison.by_slice(slicing):
                if sums.n:
                    result = compare_sums(sums, tail_low=spec.beta, tail_high=spec.alpha, seed=_seed(evidence))
                    found.append(_slice_result(key, value, grader, result, spec))
    return sorted(found, key=lambda item: (item.small, round(item.delta, 12), item.grader, item.key, item.value))


def _slice_result(key: str, value: str, grader: str, result: Paired, spec: GateSpec) -> SliceResult:
    return SliceResult(
        key=key,
        value=value,
        grader=grader,
        n=result.n,
        baseline=result.baseline,
        candidate=result.candidate,
        delta=result.delta,
        low=result.low,
        high=result.high,
        p=result.p_worse,
        small=result.n < spec.min_slice,
    )


def slices_note(slices: Sequence[SliceResult], rules: Sequence[RuleResult], spec: GateSpec) -> list[RuleResult]:
    """A note where slices are lower than chance explains, all of them looked at together (Holm); else nothing.

    Slices that hold every case, and graders that block as a whole, say nothing new.
    """
    whole = {rule.grader: rule.n for rule in rules if rule.kind == "drop" and not rule.slice}
    blocked = {rule.grader for rule in rules if rule.kind == "drop" and rule.status == "block"}
    judged = [
        item
        for item in slices
        if not item.small and item.grader not in blocked and item.n < whole.get(item.grader, math.inf)
    ]
    adjusted = holm([item.p for item in judged])
    worse = [item for item, p in zip(judged, adjusted, strict=True) if p <= spec.alpha and item.delta < 0]
    if not worse:
        return []
    named = ", ".join(
        f"{grader_in_slice(item.grader, f'{item.key}={item.value}')} {points(item.delta)}" for item in worse[:3]
    )
    more = f" and {len(worse) - 3} more" if len(worse) > 3 else ""
    sentence = f"Lower in parts of the golden set than chance explains: {named}{more}."
    return [
        RuleResult(id="slices", status="note", sentence=sentence, unit="count", candidate=float(len(worse)), limit=0.0)
    ]
