"""May this merge? One candidate run against one baseline run, by the rules of the gate."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalkit import codec
from evalkit._version import __version__
from evalkit.fingerprint import fingerprint
from evalkit.gate.acceptance import Acceptances
from evalkit.gate.accepted import Applied, apply_acceptances
from evalkit.gate.agreement import agreement_results
from evalkit.gate.cases import case_results
from evalkit.gate.changes import component_changes
from evalkit.gate.comparable import comparable
from evalkit.gate.conclusion import name_verdict, sum_up
from evalkit.gate.critical import critical_results
from evalkit.gate.evidence import Evidence, Recorder, load_evidence
from evalkit.gate.explanation import explain
from evalkit.gate.fresh_pairs import FreshPairs
from evalkit.gate.golden import GoldenCases, ListedCases
from evalkit.gate.history import history_words
from evalkit.gate.integrity import integrity_results
from evalkit.gate.lag import is_latency
from evalkit.gate.margins import slice_results, slices_note
from evalkit.gate.routes import route_uses
from evalkit.gate.rules import expand_rules, judge_rules
from evalkit.gate.settling import settling
from evalkit.gate.slices import broken_cases_note, permuted_slices, slices_rule
from evalkit.gate.vendors import vendor_note
from evalkit.gate.verdict import CaseChange, CaseResult, RuleResult, SliceResult, Verdict
from evalkit.records import Case, Run
from evalkit.review import GraderAgreement
from evalkit.store.runs import RunFolder
from evalkit.workflow.gates import GateRule, GateSpec

__all__ = ["Limits", "judge"]


@dataclass(frozen=True)
class Limits:
    """Limits of the workflow that are rules of its gate too."""

    slo_p95_us: int | None = None
    per_trial_microusd: int | None = None


def judge(
    candidate: RunFolder,
    baseline: RunFolder | None,
    cases: Sequence[Case] | GoldenCases,
    spec: GateSpec,
    *,
    baseline_name: str = "main",
    limits: Limits | None = None,
    acceptances: Acceptances | None = None,
    history: Recorder | None = None,
    agreement: Mapping[str, GraderAgreement] | None = None,
) -> Verdict:
    """Judge a run.

    Both runs must have been graded with the candidate's graders; a baseline that was not is
    re-graded from its traces before (:func:`evalkit.engine.run.regrade`).

    Args:
        candidate: The run to judge.
        baseline: The run to compare with; None where there is none, which is never a PASS.
        cases: The candidate's cases: in memory, or where they are stored.
        spec: The rules.
        baseline_name: For the words.
        limits: Limits of the workflow that are rules too.
        acceptances: Accepted regressions of the workflow.
        history: Reads what earlier runs recorded of the cases; without it the two runs are compared with each other.
        agreement: How far the graders that must agree with people do.

    Raises:
        ConfigError: for an acceptance that names what is not there, or that nobody can accept.
    """
    run = candidate.run
    base = baseline.run if baseline else None
    obstacles, notes = comparable(run, base, spec)
    against = baseline if baseline is not None and not obstacles else candidate
    bounds = limits or Limits()
    wanted = expand_rules(spec, run.graders, slo_p95_us=bounds.slo_p95_us, per_trial_microusd=bounds.per_trial_microusd)
    evidence = load_evidence(
        candidate,
        against,
        ListedCases(cases) if isinstance(cases, Sequence) else cases,
        measured={rule.grader for rule in wanted if rule.metric != "pass_rate"},
        lags=any(is_latency(rule) for rule in wanted),
        per_success={rule.grader for rule in wanted if rule.metric == "per_success"},
        history=None if obstacles else history,
    )
    changes = component_changes(base.configuration, run.configuration) if base else ()
    applied = apply_acceptances(acceptances, candidate, evidence, changes)
    rules = _judged_rules(wanted, evidence, spec, applied)
    if obstacles:
        rules = [_not_compared(rule, obstacles[0]) for rule in rules]
    found = case_results(candidate, against, evidence)
    results = _of_candidate_alone(found.results) if obstacles else _marked(found.results, applied)
    reduced = applied.without_accepted(evidence)
    slices, of_slices = ([], []) if obstacles else _judged_slices(reduced, rules, spec)
    rules = [
        *integrity_results(candidate, None if obstacles else baseline, evidence, spec.margin),
        *critical_results(candidate, evidence, spec, compared=not obstacles),
        *applied.rules,
        *rules,
        *of_slices,
        *(() if base is None or obstacles else _trust(base, run, spec, agreement or {})),
    ]
    name = name_verdict(rules, obstacles, notes, run)
    settles = settling(candidate, rules, run.golden_set.cases) if name == "INCONCLUSIVE" else None
    verdict = replace(
        _of_runs(run, base, baseline_name),
        verdict=name,
        rules=tuple(rules),
        slices=tuple(slices),
        cases=results,
        counts=found.counts if not obstacles else CaseChange(error=found.counts.error),
        changes=changes,
        notes=(*obstacles, *notes),
        alpha=spec.alpha,
        beta=spec.beta,
        acceptances=applied.acceptances,
        groups=() if obstacles else explain(candidate, against, evidence),
        settling=settles,
        routes=() if obstacles or baseline is None else route_uses(baseline, candidate),
        **_recorded_evidence(evidence, rules),
    )
    gate: list[object] = [spec.model_dump(mode="json"), bounds.slo_p95_us, bounds.per_trial_microusd]
    gate += [codec.plain(item) for item in applied.acceptances]
    gate += [[rule.id, rule.pairs] for rule in rules if rule.pairs]
    gate += [[item.fingerprint, item.counts] for item in (agreement or {}).values()]
    identity = fingerprint("verdict", [run.run_id, verdict.baseline_run, run.grading, gate])
    cases_run = int((evidence.known if run.selection == "all" else evidence.trials > 0).sum())
    return replace(verdict, id=identity[:26], sentence=sum_up(verdict, cases_run, int(evidence.touched.sum())))


def _of_runs(run: Run, base: Run | None, baseline_name: str) -> Verdict:
    """A verdict that says nothing yet but what was run."""
    return Verdict(
        id="",
        workflow=run.workflow,
        verdict="ERROR",
        sentence="",
        candidate_run=run.run_id,
        baseline_run=base.run_id if base else "",
        baseline_name=baseline_name,
        created_us=time.time_ns() // 1000,
        evalkit=__version__,
        configuration=run.configuration,
        golden_set=run.golden_set,
        trials=run.trials,
        reused=run.reused,
        model_calls=run.model_calls,
        cost_microusd=run.cost_microusd,
        simulated=run.simulated,
        commit=run.commit,
        branch=run.branch,
        baseline_commit=base.commit if base else "",
    )


def _recorded_evidence(evidence: Evidence, rules: Sequence[RuleResult]) -> dict[str, Any]:
    """What a verdict says of the runs beside the two that it compares."""
    recorded = evidence.recorded
    if recorded is None or not any(rule.history for rule in rules):
        return {}
    fresh = recorded.fresh or FreshPairs()
    said = history_words(recorded, evidence.touched)
    return {"history": said, "confirmation_calls": fresh.calls, "confirmation_microusd": fresh.cost_microusd}


def _judged_rules(wanted: Sequence[GateRule], evidence: Evidence, spec: GateSpec, applied: Applied) -> list[RuleResult]:
    """All rules in their order: margins without the cases that are accepted, everything else on all cases."""
    margins = iter(
        judge_rules([rule for rule in wanted if rule.max_drop is not None], applied.without_accepted(evidence), spec)
    )
    others = iter(judge_rules([rule for rule in wanted if rule.max_drop is None], evidence, spec))
    return [applied.with_sql(next(margins), evidence) if rule.max_drop is not None else next(others) for rule in wanted]


def _judged_slices(
    evidence: Evidence, rules: Sequence[RuleResult], spec: GateSpec
) -> tuple[Sequence[SliceResult], list[RuleResult]]:
    """The slices, and what they and the cases that always passed add to the rules."""
    paired = slice_results(evidence, spec)
    permuted = permuted_slices(paired, evidence, spec)
    if permuted is None:
        return paired, slices_note(paired, rules, spec)
    return permuted, [*slices_rule(permuted, rules, spec), *broken_cases_note(evidence, spec)]


def _trust(base: Run, run: Run, spec: GateSpec, agreement: Mapping[str, GraderAgreement]) -> Iterator[RuleResult]:
    """Whether the graders can be believed where they compare."""
    yield from agreement_results(spec.agreement, agreement)
    yield from vendor_note(base.configuration, run.configuration, run.graders)


def _marked(results: Sequence[CaseResult], applied: Applied) -> tuple[CaseResult, ...]:
    """Cases, those whose regression is accepted marked as such."""
    if not applied.covered:
        return tuple(results)
    return tuple(replace(result, accepted=applied.note_of(result.case_id)) for result in results)


def _of_candidate_alone(results: Sequence[CaseResult]) -> tuple[CaseResult, ...]:
    """Cases worth showing where nothing is compared: those with errors, and critical ones that fail."""
    shown = []
    for result in results:
        failing = result.critical and any((item.candidate or 0) < 1 for item in result.graders)
        if result.status != "error" and not failing:
            continue
        graders = tuple(replace(item, baseline=None) for item in result.graders)
        alone = replace(result, graders=graders, baseline_answer="", baseline_calls=(), baseline_route="")
        shown.append(alone if result.status == "error" else replace(alone, status="new"))
    return tuple(shown)


def _not_compared(rule: RuleResult, why: str) -> RuleResult:
    """A rule where there is nothing to compare with: limits of the candidate alone still hold."""
    if rule.kind not in ("drop", "increase"):
        return replace(rule, baseline=None)
    return replace(
        rule, status="not_comparable", sentence=why, baseline=None, delta=None, low=None, high=None, p=None, cases=()
    )
