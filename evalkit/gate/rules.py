"""Judging the rules of a gate on paired scores. Each rule becomes a result with its numbers, words and SQL."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.pairs import GraderPairs, cluster_numbers
from evalkit.gate.sql import limit_sql, pair_sql
from evalkit.gate.verdict import RuleResult, RuleStatus, SliceResult
from evalkit.gate.words import amount, change, count_of, points
from evalkit.records import Case, GraderRef
from evalkit.stats import Paired, holm, paired_difference, percentile, percentile_interval, ratio_of_means
from evalkit.workflow.gates import GateRule, GateSpec

__all__ = ["Evidence", "expand_rules", "judge_rules", "slice_results"]

Mask = NDArray[np.bool_]
_UNITS: Mapping[str, Literal["share", "seconds", "dollars"]] = {"latency": "seconds", "cost": "dollars"}


@dataclass(frozen=True)
class Evidence:
    """What rules are judged on."""

    pairs: Mapping[str, GraderPairs]
    cases: Mapping[str, Case]
    touched: frozenset[str]
    graders: Sequence[GraderRef]
    candidate_run: str
    baseline_run: str
    grading: str
    same_prices: bool = True

    def mask(self, pairs: GraderPairs, slice_name: str | None) -> Mask:
        """Cases of a slice; all where none is named."""
        if slice_name is None:
            return np.ones(len(pairs.case_ids), bool)
        key, _, value = slice_name.partition("=")
        return np.asarray(
            [case_id in self.cases and self.cases[case_id].slice_keys.get(key) == value for case_id in pairs.case_ids]
        )

    def touched_mask(self, pairs: GraderPairs) -> Mask:
        """Cases that could differ at all."""
        return np.asarray([case_id in self.touched for case_id in pairs.case_ids], bool)


def expand_rules(
    spec: GateSpec,
    graders: Sequence[GraderRef],
    *,
    slo_p95_us: int | None = None,
    per_trial_microusd: int | None = None,
) -> list[GateRule]:
    """The short keys of a gate as rules, and the further ones as they are."""
    rules = [
        GateRule(id=ref.name, grader=ref.name, metric="pass_rate", max_drop=spec.margin)
        for ref in graders
        if ref.quality
    ]
    names = {ref.name for ref in graders}
    ceilings = [limit for limit in (spec.p95, slo_p95_us) if limit is not None]
    if ceilings and "latency" in names:
        rules.append(GateRule(id="p95 latency", grader="latency", metric="p95", max=min(ceilings) / 1e6))
    if spec.cost is not None and "cost" in names:
        rules.append(GateRule(id="cost", grader="cost", metric="mean", max_increase=spec.cost))
    if per_trial_microusd is not None and "cost" in names:
        rules.append(GateRule(id="cost of a trial", grader="cost", metric="p95", max=per_trial_microusd / 1e6))
    return [*rules, *spec.rules]


def judge_rules(rules: Iterable[GateRule], evidence: Evidence, spec: GateSpec) -> list[RuleResult]:
    """Judge all rules; margins of several graders share the false alarms (Holm)."""
    results: list[RuleResult] = []
    margins: list[tuple[int, Paired, Paired | None]] = []
    for rule in rules:
        pairs = evidence.pairs.get(rule.grader)
        if pairs is None:
            results.append(_unscored(rule, asked_for=rule in spec.rules, evidence=evidence))
        elif rule.max_drop is not None:
            found, clean = _paired(rule, pairs, evidence, spec)
            margins.append((len(results), found, clean))
            results.append(_numbers(rule, found, pairs, evidence))
        elif rule.max_increase is not None:
            results.append(_increase(rule, pairs, evidence, spec))
        else:
            results.append(_limit(rule, pairs, evidence))
    adjusted = holm([found.p_worse for _, found, _ in margins])
    for (index, found, clean), p in zip(margins, adjusted, strict=True):
        results[index] = _margin_verdict(results[index], found, clean, p, spec)
    return results


def _unscored(rule: GateRule, *, asked_for: bool, evidence: Evidence) -> RuleResult:
    """A rule whose grader has no score on either side: fine where it applies to no case, else nothing is known."""
    ran = any(ref.name == rule.grader for ref in evidence.graders)
    status: RuleStatus = "error" if not ran else "inconclusive" if asked_for else "pass"
    sentence = (
        f"Grader `{rule.grader}` applies to no case, before or now."
        if ran
        else f"Grader `{rule.grader}` is not among the graders of the run: the rule cannot be judged."
    )
    return RuleResult(
        id=rule.name,
        status=status,
        sentence=sentence,
        kind="drop" if rule.max_drop is not None else "increase" if rule.max_increase is not None else "ceiling",
        grader=rule.grader,
        metric=rule.metric,
        slice=rule.slice or "",
        unit=_UNITS.get(rule.grader, "share"),
    )


# ── no worse than the baseline by more than a margin ────────────────────────────────────


def _paired(rule: GateRule, pairs: GraderPairs, evidence: Evidence, spec: GateSpec) -> tuple[Paired, Paired | None]:
    """The comparison, and the same without error rows where there are any."""
    errors = (pairs.errors > 0) | (pairs.baseline_errors > 0)
    mask = evidence.mask(pairs, rule.slice)
    found = _compare(rule, pairs, mask, evidence, spec)
    return found, _compare(rule, pairs, mask & ~errors, evidence, spec) if bool((errors & mask).any()) else None


def _compare(rule: GateRule, pairs: GraderPairs, mask: Mask, evidence: Evidence, spec: GateSpec) -> Paired:
    before = pairs.baseline_rate if rule.metric == "pass_rate" else pairs.baseline_value
    now = pairs.candidate_rate if rule.metric == "pass_rate" else pairs.candidate_value
    keep = mask & ~np.isnan(before) & ~np.isnan(now)
    clusters = cluster_numbers(pairs.case_ids, evidence.cases)
    return paired_difference(
        before[keep],
        now[keep],
        clusters[keep],
        touched=evidence.touched_mask(pairs)[keep],
        tail_low=spec.beta,
        tail_high=spec.alpha,
        seed=zlib.crc32(evidence.candidate_run.encode()),
    )


def _numbers(rule: GateRule, found: Paired, pairs: GraderPairs, evidence: Evidence) -> RuleResult:
    before = pairs.baseline_rate if rule.metric == "pass_rate" else pairs.baseline_value
    now = pairs.candidate_rate if rule.metric == "pass_rate" else pairs.candidate_value
    drops = np.where(evidence.mask(pairs, rule.slice), now - before, np.nan)
    order = [int(index) for index in np.argsort(drops, kind="stable") if drops[index] < 0]
    order.sort(key=lambda index: (drops[index], not _is_critical(pairs.case_ids[index], evidence)))
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
        baseline=_or_none(found.baseline),
        candidate=_or_none(found.candidate),
        delta=found.delta,
        low=found.low,
        high=found.high,
        p=found.p_worse,
        limit=-(rule.max_drop or 0.0),
        broke=found.broke,
        fixed=found.fixed,
        method=found.method,
        cases=tuple(pairs.case_ids[index] for index in order),
        sql=pair_sql(rule, evidence.baseline_run, evidence.candidate_run, evidence.grading),
    )


def _margin_verdict(result: RuleResult, found: Paired, clean: Paired | None, p: float, spec: GateSpec) -> RuleResult:
    margin = -(result.limit or 0.0)
    status, sentence = _margin_status(result, found, margin, p, spec)
    if status == "block" and clean is not None and not (clean.p_worse <= spec.alpha and clean.low <= -margin):
        status = "error"
        sentence = f"Errors alone make the difference for {_of(result)}: without them there is no evidence of a drop."
    return replace(result, status=status, sentence=sentence, p=p)


def _margin_status(
    result: RuleResult, found: Paired, margin: float, p: float, spec: GateSpec
) -> tuple[RuleStatus, str]:
    what = _of(result)
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
        f"about {count_of(_more_cases(found, margin), 'more touched case')} or trials would settle it."
    )


def _flips(result: RuleResult, found: Paired) -> str:
    """How many cases broke and were fixed, where a case is right or wrong and nothing between."""
    if result.metric != "pass_rate":
        return ""
    return f", {found.broke:.3g} broke and {found.fixed:.3g} were fixed"


def _of(result: RuleResult) -> str:
    return f"{result.grader} in {result.slice}" if result.slice else result.grader


def _more_cases(found: Paired, margin: float) -> int:
    """Touched cases needed in all for an interval within the margin, less those there are (n grows with 1/width²)."""
    width = found.delta - found.low
    room = margin + found.delta
    if width <= 0 or room <= 0:
        return max(found.touched, 20)
    return max(10, math.ceil(found.touched * (width / room) ** 2) - found.touched)


# ── ratios and limits ───────────────────────────────────────────────────────────────────


def _increase(rule: GateRule, pairs: GraderPairs, evidence: Evidence, spec: GateSpec) -> RuleResult:
    allowed = rule.max_increase or 0.0
    keep = evidence.mask(pairs, rule.slice) & ~np.isnan(pairs.baseline_value) & ~np.isnan(pairs.candidate_value)
    before, now = pairs.baseline_value[keep], pairs.candidate_value[keep]
    unit = _UNITS.get(rule.grader, "share")
    result = RuleResult(
        id=rule.name,
        status="inconclusive",
        sentence=f"No case has a {rule.grader} on both sides.",
        kind="increase",
        grader=rule.grader,
        metric=rule.metric,
        slice=rule.slice or "",
        unit=unit,
        n=int(keep.sum()),
        limit=1 + allowed,
        sql=pair_sql(rule, evidence.baseline_run, evidence.candidate_run, evidence.grading),
    )
    if len(before) == 0:
        return result
    if rule.grader == "cost" and not evidence.same_prices:
        return replace(
            result,
            status="not_comparable",
            sentence="The price table differs from the baseline's: costs cannot be compared.",
        )
    clusters = cluster_numbers(pairs.case_ids, evidence.cases)[keep]
    ratio, low, high = ratio_of_means(before, now, clusters, tail_low=spec.alpha, tail_high=spec.beta)
    status: RuleStatus
    text = f"mean {rule.grader} {change(ratio)} [{change(low)}, {change(high)}], limit {change(1 + allowed)}"
    if not bool((before != now).any()):
        ratio = low = high = 1.0
        status, sentence = "pass", f"Mean {rule.grader} is the same."
    elif low > 1 + allowed:
        status, sentence = "block", f"Dearer than allowed at {1 - spec.alpha:.0%} confidence: {text}."
    elif high <= 1 + allowed:
        status, sentence = "pass", f"Within the limit at {1 - spec.beta:.0%} confidence: {text}."
    elif ratio > 1 + allowed:
        status, sentence = "inconclusive", f"Over the limit, but that could be chance: {text}."
    else:
        status, sentence = "inconclusive", f"Not proven to be within the limit: {text}."
    return replace(
        result,
        status=status,
        sentence=sentence,
        baseline=float(before.mean()),
        candidate=float(now.mean()),
        delta=ratio,
        low=low,
        high=high,
        method="ratio of means; delta method on the log scale, by cluster",
    )


def _limit(rule: GateRule, pairs: GraderPairs, evidence: Evidence) -> RuleResult:
    """A floor or a ceiling: the measured value decides, the interval is shown."""
    mask = evidence.mask(pairs, rule.slice)
    series = pairs.candidate_rate if rule.metric == "pass_rate" else pairs.candidate_value
    base_series = pairs.baseline_rate if rule.metric == "pass_rate" else pairs.baseline_value
    values, before = series[mask & ~np.isnan(series)], base_series[mask & ~np.isnan(base_series)]
    unit = "share" if rule.metric == "pass_rate" else _UNITS.get(rule.grader, "share")
    bound = rule.min if rule.min is not None else rule.max
    assert bound is not None, "GateRule has checked that one of the limits is given"  # noqa: S101
    result = RuleResult(
        id=rule.name,
        status="inconclusive",
        sentence=f"No case has a score of {rule.grader}: the limit cannot be checked.",
        kind="floor" if rule.min is not None else "ceiling",
        grader=rule.grader,
        metric=rule.metric,
        slice=rule.slice or "",
        unit=unit,
        n=len(values),
        limit=bound,
        sql=limit_sql(rule, evidence.candidate_run, evidence.grading),
    )
    if len(values) == 0:
        return result
    value = _measure(rule.metric, values)
    low, high = percentile_interval(values, _quantile(rule.metric)) if rule.metric in ("p50", "p95") else (None, None)
    broken = value < bound if rule.min is not None else value > bound
    side = "floor" if rule.min is not None else "ceiling"
    text = f"{rule.metric.replace('_', ' ')} of {_of(result)} is {amount(value, unit)}, {side} {amount(bound, unit)}"
    return replace(
        result,
        status="block" if broken else "pass",
        sentence=f"{'Beyond the limit' if broken else 'Within the limit'}: {text}.",
        baseline=_measure(rule.metric, before) if len(before) else None,
        candidate=value,
        low=low,
        high=high,
        method="order statistics" if low is not None else "",
    )


def _quantile(metric: str) -> float:
    return 0.5 if metric == "p50" else 0.95


def _measure(metric: str, values: NDArray[np.float64]) -> float:
    return percentile(values, _quantile(metric)) if metric in ("p50", "p95") else float(values.mean())


# ── slices ──────────────────────────────────────────────────────────────────────────────


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
                        key,
                        value,
                        ref.name,
                        result.n,
                        result.baseline,
                        result.candidate,
                        result.delta,
                        result.low,
                        result.high,
                        result.p_worse,
                        result.n < spec.min_slice,
                    )
                )
    return sorted(found, key=lambda item: (item.small, item.delta, item.grader, item.key, item.value))


def _slice_names(pairs: GraderPairs, evidence: Evidence) -> list[tuple[str, str]]:
    names = {
        (key, value)
        for case_id in pairs.case_ids
        if case_id in evidence.cases
        for key, value in evidence.cases[case_id].slice_keys.items()
    }
    return sorted(names)


def _is_critical(case_id: str, evidence: Evidence) -> bool:
    return case_id in evidence.cases and evidence.cases[case_id].critical


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
