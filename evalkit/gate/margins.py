"""Margins: a grader must not be worse than the baseline by more than so much, with evidence."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.evidence import Evidence, Mask
from evalkit.gate.pairs import GraderPairs
from evalkit.gate.sql import pair_sql
from evalkit.gate.verdict import RuleResult, RuleStatus, SliceResult, finite
from evalkit.gate.words import count_of, grader_in_slice, points
from evalkit.stats import Paired, holm, paired_difference
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
    return [_judged(item, p, spec) for item, p in zip(compared, adjusted, strict=True)]


def _compare_rule(rule: GateRule, pairs: GraderPairs, evidence: Evidence, spec: GateSpec) -> _Comparison:
    mask = evidence.mask(pairs, rule.slice)
    found = _compare(rule, pairs, mask, evidence, spec)
    errors = pairs.errors > 0
    clean = _compare(rule, pairs, mask & ~errors, evidence, spec) if bool((errors & mask).any()) else None
    return _Comparison(_numbers(rule, found, pairs, mask, evidence), found, clean)


def _series(rule: GateRule, pairs: GraderPairs) -> tuple[Floats, Floats]:
    """What is compared: shares passed, or mean values. Blank where the baseline knows nothing of the case."""
    rates = rule.metric == "pass_rate"
    before = pairs.baseline_rate if rates else pairs.baseline_value
    now = pairs.candidate_rate if rates else pairs.candidate_value
    return np.where(pairs.baseline_usable, before, np.nan), now


def _compare(rule: GateRule, pairs: GraderPairs, mask: Mask, evidence: Evidence, spec: GateSpec) -> Paired:
    before, now = _series(rule, pairs)
    keep = mask & ~np.isnan(before) & ~np.isnan(now)
    return paired_difference(
        before[keep],
        now[keep],
        evidence.clusters(pairs)[keep],
        touched=evidence.touched_mask(pairs)[keep],
        tail_low=spec.beta,
        tail_high=spec.alpha,
        seed=zlib.crc32(evidence.candidate_run.encode()),
    )


def _numbers(rule: GateRule, found: Paired, pairs: GraderPairs, mask: Mask, evidence: Evidence) -> RuleResult:
    before, now = _series(rule, pairs)
    changes = np.where(mask, now - before, np.nan)
    worse = [int(index) for index in np.flatnonzero(changes < 0)]
    worse.sort(key=lambda index: (changes[index], not evidence.is_critical(pairs.case_ids[index])))
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
        cases=tuple(pairs.case_ids[index] for index in worse),
        sql=pair_sql(rule, evidence),
    )


def _judged(item: _Comparison, p: float, spec: GateSpec) -> RuleResult:
    result, clean = item.numbers, item.without_errors
    margin = -(result.limit or 0.0)
    status, sentence = _status(result, item.found, margin, p, spec)
    if status == "block" and clean is not None and not (clean.p_worse <= spec.alpha and clean.low <= -margin):
        status = "error"
        sentence = (
            f"Errors alone make the difference for {grader_in_slice(result.grader, result.slice)}: "
            "without them there is no evidence of a drop."
        )
    return replace(result, status=status, sentence=sentence, p=p if item.found.n else None)


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
    """Every quality grader on every slice, those with the largest drop first."""
    found = []
    for ref in evidence.graders:
        pairs = evidence.pairs.get(ref.name)
        if pairs is None or not ref.quality:
            continue
        for key, value in _slice_names(pairs, evidence):
            rule = GateRule(grader=ref.name, slice=f"{key}={value}", max_drop=spec.margin)
            result = _compare(rule, pairs, evidence.mask(pairs, rule.slice), evidence, spec)
            if result.n:
                found.append(
                    SliceResult(
                        key=key,
                        value=value,
                        grader=ref.name,
                        n=result.n,
                        baseline=result.baseline,
                        candidate=result.candidate,
                        delta=result.delta,
                        low=result.low,
                        high=result.high,
                        p=result.p_worse,
                        small=result.n < spec.min_slice,
                    )
                )
    return sorted(found, key=lambda item: (item.small, item.delta, item.grader, item.key, item.value))


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


def _slice_names(pairs: GraderPairs, evidence: Evidence) -> list[tuple[str, str]]:
    names = {
        (key, value)
        for case_id in pairs.case_ids
        if case_id in evidence.cases
        for key, value in evidence.cases[case_id].slice_keys.items()
    }
    return sorted(names)
