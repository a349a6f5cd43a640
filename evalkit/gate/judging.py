"""May this merge? One candidate run against one baseline run, by the rules of the gate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evalkit._version import __version__
from evalkit.fingerprint import fingerprint
from evalkit.gate.cases import case_results
from evalkit.gate.changes import component_changes
from evalkit.gate.pairs import GraderPairs, load_pairs, touched_cases
from evalkit.gate.rules import Evidence, expand_rules, judge_rules, slice_results
from evalkit.gate.sql import critical_sql
from evalkit.gate.verdict import CaseChange, RuleResult, Verdict, VerdictName
from evalkit.gate.words import count_of, points
from evalkit.records import Case, Run
from evalkit.stats import zero_failures_bound
from evalkit.store.runs import RunFolder
from evalkit.workflow.gates import GateSpec

__all__ = ["Limits", "judge"]


@dataclass(frozen=True)
class Limits:
    """Limits of the workflow that are rules of its gate too."""

    slo_p95_us: int | None = None
    per_trial_microusd: int | None = None


def judge(
    candidate: RunFolder,
    baseline: RunFolder | None,
    cases: Sequence[Case],
    spec: GateSpec,
    *,
    baseline_name: str = "main",
    limits: Limits | None = None,
) -> Verdict:
    """Judge a run.

    Both runs must have been graded with the candidate's graders; a baseline that was not is
    re-graded from its traces before (:func:`evalkit.engine.run.regrade`).

    Args:
        candidate: The run to judge.
        baseline: The run to compare with; None where there is none, which is never a PASS.
        cases: The candidate's cases.
        spec: The rules.
        baseline_name: For the words.
        limits: Limits of the workflow that are rules too.
    """
    run = candidate.run
    base = baseline.run if baseline else None
    obstacles, notes = _comparable(run, base, spec)
    against = baseline if baseline is not None and not obstacles else candidate
    by_id = {case.id: case for case in cases}
    pairs = load_pairs(against, candidate, run.grading)
    touched = touched_cases(against, candidate)
    common = _common_cases(against, candidate) if base and run.golden_set.digest != base.golden_set.digest else None
    evidence = Evidence(
        pairs={name: _restrict(item, common) for name, item in pairs.items()},
        cases=by_id,
        touched=frozenset(touched),
        graders=run.graders,
        candidate_run=run.run_id,
        baseline_run=against.run.run_id,
        grading=run.grading,
        same_prices=base is None or base.prices == run.prices,
    )
    bounds = limits or Limits()
    wanted = expand_rules(spec, run.graders, slo_p95_us=bounds.slo_p95_us, per_trial_microusd=bounds.per_trial_microusd)
    rules = judge_rules(wanted, evidence, spec)
    if obstacles:
        rules = [_not_compared(rule, obstacles[0]) for rule in rules]
    found = case_results(candidate, against, evidence)
    critical = _critical(run, by_id, pairs, spec, compared=not obstacles)
    rules = [*_integrity(run, pairs), *critical, *rules]
    name = _name(rules, obstacles, notes, run)
    verdict = Verdict(
        id="",
        workflow=run.workflow,
        verdict=name,
        sentence="",
        candidate_run=run.run_id,
        baseline_run=base.run_id if base else "",
        baseline_name=baseline_name,
        created_us=time.time_ns() // 1000,
        evalkit=__version__,
        configuration=run.configuration,
        golden_set=run.golden_set,
        rules=tuple(rules),
        slices=() if obstacles else tuple(slice_results(evidence, spec)),
        cases=tuple(found.results) if not obstacles else tuple(c for c in found.results if c.status == "error"),
        counts=found.counts if not obstacles else CaseChange(error=found.counts.error),
        changes=component_changes(base.configuration, run.configuration) if base else (),
        notes=(*obstacles, *notes),
        alpha=spec.alpha,
        beta=spec.beta,
        trials=run.trials,
        reused=run.reused,
        model_calls=run.model_calls,
        cost_microusd=run.cost_microusd,
        simulated=run.simulated,
        commit=run.commit,
        branch=run.branch,
        baseline_commit=base.commit if base else "",
    )
    spec_digest = fingerprint("gate", spec.model_dump(mode="json"))
    identity = fingerprint("verdict", [run.run_id, verdict.baseline_run, run.grading, spec_digest])
    return replace(verdict, id=identity[:26], sentence=_sentence(verdict, len(by_id)))


def _comparable(run: Run, base: Run | None, spec: GateSpec) -> tuple[list[str], list[str]]:
    """Why the runs cannot be compared, and what a reviewer should know."""
    obstacles, notes = [], []
    if base is None:
        obstacles.append("There is no baseline to compare with.")
    elif base.workflow != run.workflow:
        obstacles.append(f"The baseline is of another workflow, {base.workflow}.")
    elif base.golden_set.digest != run.golden_set.digest:
        text = (
            f"The golden set differs: {base.golden_set.name}@{base.golden_set.version} before, "
            f"{run.golden_set.name}@{run.golden_set.version} now"
        )
        if spec.on_golden_change == "common_cases":
            notes.append(f"{text}; only the cases that are equal in both are compared.")
        else:
            obstacles.append(f"{text}.")
    if run.selection != "all":
        notes.append(f"Only a part of the golden set was run: {run.selection}.")
    if base is not None and base.evalkit != run.evalkit:
        notes.append(f"The baseline was made with evalkit {base.evalkit}, this run with {run.evalkit}.")
    return obstacles, notes


def _common_cases(baseline: RunFolder, candidate: RunFolder) -> frozenset[str]:
    """Cases whose content is equal in both runs."""

    def digests(folder: RunFolder) -> set[tuple[str, str]]:
        table = folder.trials()
        return set(zip(table["case_id"].to_pylist(), table["case_digest"].to_pylist(), strict=True))

    return frozenset(case_id for case_id, _ in digests(baseline) & digests(candidate))


def _restrict(pairs: GraderPairs, common: frozenset[str] | None) -> GraderPairs:
    """Blank the baseline of cases that are not equal in both runs."""
    if common is None:
        return pairs
    equal = np.asarray([case_id in common for case_id in pairs.case_ids])
    return replace(
        pairs,
        baseline_rate=np.where(equal, pairs.baseline_rate, np.nan),
        baseline_value=np.where(equal, pairs.baseline_value, np.nan),
    )


def _not_compared(rule: RuleResult, why: str) -> RuleResult:
    """A rule where there is nothing to compare with: limits of the candidate alone still hold."""
    if rule.kind not in ("drop", "increase"):
        return replace(rule, baseline=None)
    return replace(
        rule, status="not_comparable", sentence=why, baseline=None, delta=None, low=None, high=None, p=None, cases=()
    )


def _integrity(run: Run, pairs: Mapping[str, GraderPairs]) -> list[RuleResult]:
    """Nothing may be missing: every trial finished, every grader answered, and there was something to test."""
    results = []
    broken = sorted({case for item in pairs.values() for case in np.asarray(item.case_ids)[item.errors > 0].tolist()})
    if run.errors:
        text = f"{count_of(run.errors, 'trial')} of {run.trials:,} did not finish. This says nothing about quality."
        results.append(_integrity_rule("trials", text, run.errors, broken))
    grader_errors = {name: int((item.errors > 0).sum()) for name, item in pairs.items() if (item.errors > 0).any()}
    if grader_errors and not run.errors:
        named = ", ".join(f"{name} on {count_of(count, 'case')}" for name, count in sorted(grader_errors.items()))
        text = f"Graders failed: {named}. This says nothing about quality."
        results.append(_integrity_rule("graders", text, sum(grader_errors.values()), broken))
    if run.trials == 0 or not pairs:
        results.append(_integrity_rule("something to test", "No case was run or graded: nothing was tested.", 0, []))
    return results


def _integrity_rule(what: str, sentence: str, count: int, cases: Sequence[str]) -> RuleResult:
    return RuleResult(
        id=what, status="error", sentence=sentence, unit="count", candidate=float(count), limit=0.0, cases=tuple(cases)
    )


def _critical(
    run: Run, cases: Mapping[str, Case], pairs: Mapping[str, GraderPairs], spec: GateSpec, *, compared: bool
) -> list[RuleResult]:
    """Critical cases: every failure counts, whatever the statistics."""
    if spec.critical is None:
        return []
    quality = {ref.name for ref in run.graders if ref.quality}
    graded: set[str] = set()
    failed: set[str] = set()
    before: set[str] = set()
    for name, item in pairs.items():
        if name not in quality:
            continue
        for index, case_id in enumerate(item.case_ids):
            if case_id not in cases or not cases[case_id].critical or np.isnan(item.candidate_rate[index]):
                continue
            graded.add(case_id)
            if item.candidate_rate[index] < 1.0 and not item.errors[index]:
                failed.add(case_id)
            if item.baseline_rate[index] < 1.0:
                before.add(case_id)
    if not graded:
        return []
    status = "block" if len(failed) > spec.critical else "pass"
    fresh = len(failed - before)
    if status == "block":
        new = f", {fresh} of them new" if compared and fresh != len(failed) else ""
        sentence = f"{count_of(len(failed), 'critical case')} failed{new}; {spec.critical} allowed."
    else:
        trials = len(graded) * run.trials_per_case
        bound = zero_failures_bound(trials)
        sentence = (
            f"None of {count_of(len(graded), 'critical case')} failed: at 95% confidence fewer than "
            f"{bound:.1%} of such requests would."
            if not failed
            else f"{count_of(len(failed), 'critical case')} failed, {spec.critical} allowed."
        )
    return [
        RuleResult(
            id="critical cases",
            status=status,  # type: ignore[arg-type]
            sentence=sentence,
            metric="failures",
            unit="count",
            n=len(graded),
            baseline=float(len(before)) if compared else None,
            candidate=float(len(failed)),
            delta=None,
            limit=float(spec.critical),
            cases=tuple(sorted(failed, key=lambda case_id: (case_id in before, case_id))),
            sql=critical_sql(run.run_id, run.grading),
        )
    ]


def _name(rules: Sequence[RuleResult], obstacles: Sequence[str], notes: Sequence[str], run: Run) -> VerdictName:
    statuses = {rule.status for rule in rules}
    if "block" in statuses:
        return "BLOCKED"
    if "error" in statuses or not rules:
        return "ERROR"
    if obstacles or "not_comparable" in statuses:
        return "NOT COMPARABLE"
    if "inconclusive" in statuses or run.selection != "all":
        return "INCONCLUSIVE"
    return "PASS with notes" if "note" in statuses or notes else "PASS"


def _sentence(verdict: Verdict, cases: int) -> str:
    """The last line of the terminal and the first of the comment."""
    picked = {
        "BLOCKED": ("block",),
        "ERROR": ("error",),
        "NOT COMPARABLE": ("not_comparable",),
        "INCONCLUSIVE": ("inconclusive",),
        "PASS with notes": ("note",),
        "PASS": (),
    }[verdict.verdict]
    parts = list(dict.fromkeys(rule.sentence for rule in verdict.rules if rule.status in picked))
    if verdict.verdict in ("NOT COMPARABLE", "INCONCLUSIVE", "PASS with notes"):
        parts = list(dict.fromkeys([*verdict.notes, *parts]))
    counts = verdict.counts
    if verdict.verdict == "PASS":
        parts = [_pass_sentence(verdict, cases)]
    more = f" (and {len(parts) - 2} more)" if len(parts) > 2 else ""
    tail = f" {counts.regressed} regressed, {counts.improved} improved of {count_of(cases, 'case')}."
    shown = counts.regressed or counts.improved
    return f"{' '.join(parts[:2])}{more}{tail if shown else ''}"


def _pass_sentence(verdict: Verdict, cases: int) -> str:
    """What a green rests on: how much was run, and what is ruled out."""
    drops = [rule for rule in verdict.rules if rule.kind == "drop" and rule.touched and rule.delta is not None]
    touched = max((rule.touched for rule in drops), default=0)
    if touched == 0:
        return "Proven unchanged: nothing that any case depends on differs from the baseline."
    ran = f"{touched:,} of {count_of(cases, 'case')} touched, {cases - touched:,} proven unchanged."
    lowest = min(drops, key=lambda rule: rule.low or 0.0)
    ruled_out, _, _ = lowest.sentence.partition(":")
    estimate = f"{points(lowest.delta or 0.0)} [{points(lowest.low or 0.0)}, {points(lowest.high or 0.0)}]"
    return f"{ran} {ruled_out} for every grader; nearest to it is {lowest.grader} with {estimate}."
