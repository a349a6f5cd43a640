"""The rules of a gate: from its short keys to rules, and each rule to a result with its numbers, words and SQL."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.gate.evidence import Evidence
from evalkit.gate.increases import judge_increase
from evalkit.gate.lag import doubt_latency
from evalkit.gate.limits import judge_limit
from evalkit.gate.margins import judge_margins
from evalkit.gate.verdict import RuleResult, RuleStatus
from evalkit.gate.words import UNITS
from evalkit.records import GraderRef
from evalkit.workflow.gates import GateRule, GateSpec

__all__ = ["expand_rules", "judge_rules"]


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
    ceilings = [limit for limit in (spec.p95, slo_p95_us) if limit is not None]
    if ceilings:
        rules.append(GateRule(id="p95 latency", grader="latency", metric="p95", max=min(ceilings) / 1e6))
    if spec.cost is not None:
        rules.append(GateRule(id="cost", grader="cost", metric="mean", max_increase=spec.cost))
    if spec.cost_per_success is not None:
        rules.append(
            GateRule(id="cost per success", grader="cost", metric="per_success", max_increase=spec.cost_per_success)
        )
    if per_trial_microusd is not None:
        rules.append(GateRule(id="cost of a trial", grader="cost", metric="max", max=per_trial_microusd / 1e6))
    return [*rules, *spec.rules]


def judge_rules(rules: Sequence[GateRule], evidence: Evidence, spec: GateSpec) -> list[RuleResult]:
    """Judge all rules, in their order."""
    scored = [rule for rule in rules if rule.grader in evidence.pairs]
    margins = iter(judge_margins([rule for rule in scored if rule.max_drop is not None], evidence, spec))
    results = []
    for rule in rules:
        if rule.grader not in evidence.pairs:
            results.append(_unscored(rule, asked_for=rule in spec.rules or rule.max_drop is None, evidence=evidence))
        elif rule.max_drop is not None:
            results.append(doubt_latency(next(margins), rule, evidence))
        elif rule.max_increase is not None:
            results.append(doubt_latency(judge_increase(rule, evidence, spec), rule, evidence))
        else:
            results.append(doubt_latency(judge_limit(rule, evidence), rule, evidence))
    return results


def _unscored(rule: GateRule, *, asked_for: bool, evidence: Evidence) -> RuleResult:
    """A rule whose grader has no score on either side: fine where it applies to no case, else nothing is known."""
    ran = any(ref.name == rule.grader for ref in evidence.graders)
    status: RuleStatus = "error" if not ran else "inconclusive" if asked_for else "pass"
    sentence = (
        f"Grader `{rule.grader}` applies to no case, before or now."
        if ran
        else f"Grader `{rule.grader}` is not among the graders of the run: add it to `graders:` or drop the rule."
    )
    return RuleResult(
        id=rule.name,
        status=status,
        sentence=sentence,
        kind="drop" if rule.max_drop is not None else "increase" if rule.max_increase is not None else "ceiling",
        grader=rule.grader,
        metric=rule.metric,
        slice=rule.slice or "",
        unit=UNITS.get(rule.grader, "share"),
    )
