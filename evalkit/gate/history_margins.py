"""A margin judged against the recorded history of each case: the sequential decision, in the gate's words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.gate.deciding import Decision, Design, decide
from evalkit.gate.draws import Evidence as DrawnEvidence
from evalkit.gate.evidence import Evidence, Mask
from evalkit.gate.history import Drawn
from evalkit.gate.history_sql import history_sql
from evalkit.gate.pairs import GraderPairs
from evalkit.gate.verdict import RuleResult, RuleStatus, finite
from evalkit.gate.words import count_of, grader_in_slice, points
from evalkit.stats.anchor import History
from evalkit.workflow.gates import GateRule, GateSpec

__all__ = ["judge_by_history"]

Cases = NDArray[np.intp]


@dataclass(frozen=True)
class _Question:
    """What of a grader is compared: cases of the axis, their history and what was drawn of the candidate."""

    places: Cases
    history: History
    affected: Mask
    critical: Mask
    drawn: Drawn
    rate: NDArray[np.float64]
    """Of each case in the candidate's run: what an untouched one has on both sides."""
    sql: str

    def rates(self) -> tuple[float, float]:
        """Mean rate of the cases in their history, and in all trials of the candidate; untouched ones are equal."""
        drawn = self.evidence()
        count = np.bincount(drawn.cases, minlength=len(self.places))
        now = np.bincount(drawn.cases, drawn.outcomes, len(self.places)) / np.maximum(count, 1)
        sides = (np.where(self.affected, mean, self.rate) for mean in (self.history.mean, now))
        before, after = (float(side.mean()) for side in sides)
        return before, after

    def evidence(self, *, clean: bool = False) -> DrawnEvidence:
        """The trials of the candidate, or those of them that have no error."""
        at = np.searchsorted(self.places, self.drawn.cases)
        inside = self.places[np.minimum(at, len(self.places) - 1)] == self.drawn.cases
        if clean:
            inside &= ~self.drawn.errors
        return DrawnEvidence(cases=at[inside], outcomes=self.drawn.scores[inside])


def judge_by_history(
    rule: GateRule, paired: RuleResult, evidence: Evidence, spec: GateSpec, rules: int
) -> RuleResult | None:
    """Judge a margin by history; None where there is too little of it, so that the runs are compared with each other.

    Args:
        rule: A margin on the share passed.
        paired: The comparison of the two runs, whose counts and cases stay.
        evidence: The two runs, with what is recorded of their cases.
        spec: The gate.
        rules: Margins that share the false alarms.
    """
    question = _question(rule, evidence)
    if question is None or rule.max_drop is None or not question.affected.any():
        return None
    design = _design(rule.max_drop, spec, rules)

    def nobody(_cases: Cases) -> ArrayLike:
        return np.empty(0)

    seed = int(evidence.configuration[:12] or "0", 16)
    decision = decide(
        question.history,
        nobody,
        design=design,
        affected=question.affected,
        critical=question.critical,
        earlier=question.evidence(),
        seed=seed,
    )
    if decision.method == "none":
        return None
    if decision.verdict == "fail" and question.drawn.errors.any():
        clean = decide(
            question.history, nobody, design=design, affected=question.affected,
            critical=question.critical, earlier=question.evidence(clean=True), seed=seed,
        )  # fmt: skip
        if clean.verdict != "fail":
            return _result(rule, paired, question, decision, spec, errors_alone=True)
    result = _result(rule, paired, question, decision, spec)
    if result.status != "inconclusive":
        return result
    next_cases = question.places[decision.next_cases]
    return replace(result, next_trials=dict(Counter(evidence.axis.names(next_cases))))


def _design(margin: float, spec: GateSpec, rules: int) -> Design:
    return Design(
        margin=margin,
        alpha=spec.alpha / max(1, rules),
        beta=spec.beta,
        cap=max(spec.max_trials, spec.wanted_of_critical),
        critical_trials=spec.wanted_of_critical,
        min_history=spec.history.min_trials,
        mode="strict" if spec.history.test == "strict" else "rounds",
    )


def _question(rule: GateRule, evidence: Evidence) -> _Question | None:
    recorded = evidence.recorded
    if recorded is None or rule.metric != "pass_rate" or rule.grader not in recorded.graders:
        return None
    history = recorded.history(rule.grader)
    pairs: GraderPairs = evidence.pairs[rule.grader]
    drawn = recorded.drawn(rule.grader)
    drawn_of = np.bincount(drawn.cases, minlength=len(evidence.axis)) > 0
    known = np.where(evidence.touched, drawn_of & (history.trials > 0), True)
    applicable = evidence.in_slice(rule.slice) & known & pairs.now.where(pairs.now.table.decided)
    if evidence.common is not None:
        applicable &= evidence.common
    places = np.flatnonzero(applicable)
    if not len(places):
        return None
    return _Question(
        places=places,
        history=history.take(places),
        affected=evidence.touched[places],
        critical=evidence.columns.critical[places],
        drawn=drawn,
        rate=pairs.now.rate[places],
        sql=history_sql(rule, evidence.subject, recorded.run_ids),
    )


def _result(
    rule: GateRule, paired: RuleResult, question: _Question, decision: Decision, spec: GateSpec,
    *, errors_alone: bool = False,
) -> RuleResult:  # fmt: skip
    what = grader_in_slice(paired.grader, paired.slice)
    recorded = float(np.median(question.history.trials[question.affected]))
    status, sentence = _words(what, rule.max_drop or 0.0, decision, spec, recorded)
    baseline, candidate = question.rates()
    if errors_alone:
        status = "error"
        sentence = f"Errors alone make the difference for {what}: without them there is no evidence of a drop."
    elif len(question.places) < spec.min_cases:
        status = "inconclusive"
        sentence = f"Only {count_of(len(question.places), 'case')} for {what}; at least {spec.min_cases} are needed."
    return replace(
        paired,
        status=status,
        sentence=sentence,
        n=len(question.places),
        touched=int(question.affected.sum()),
        baseline=baseline,
        candidate=candidate,
        delta=decision.estimate,
        low=None if decision.low is None else finite(decision.low),
        high=None if decision.high is None else finite(decision.high),
        p=None,
        method=decision.method,
        trials=decision.trials,
        history=recorded,
        more_trials=decision.more_calls,
        sql=question.sql,
    )


def _words(what: str, margin: float, decision: Decision, spec: GateSpec, recorded: float) -> tuple[RuleStatus, str]:
    interval = ""
    if decision.estimate is not None and decision.low is not None and decision.high is not None:
        interval = f" {points(decision.estimate)} points [{points(decision.low)}, {points(decision.high)}]"
    limit = f"{points(margin, sign=False)} points"
    trials = f"{count_of(decision.trials, 'trial')}, against {recorded:g} recorded ones of a case"
    if decision.verdict == "fail":
        return "block", (
            f"Worse than its history at {1 - spec.alpha:.0%} confidence: {what}{interval} after {trials}; "
            f"the margin is {limit}."
        )
    if decision.verdict == "pass":
        ruled_out = f"A drop of {limit} or more is ruled out at {1 - spec.beta:.0%} confidence"
        if decision.high is not None and decision.high < 0:
            return "note", f"{ruled_out}, but {what} is lower than its history:{interval} after {trials}."
        return "pass", f"{ruled_out}: {what}{interval} after {trials}."
    more = "it takes more cases, or more runs of the baseline"
    if decision.more_calls:
        more = f"about {count_of(decision.more_calls, 'more trial')} would settle it"
    if decision.low is None or decision.high is None:
        return "inconclusive", f"Not enough evidence of {what}: {more}."
    return "inconclusive", (
        f"Not enough evidence: {what} could be anything from {points(decision.low)} to {points(decision.high)} points "
        f"after {trials}; {more}."
    )
