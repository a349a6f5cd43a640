"""A margin judged against the recorded history of each case: the sequential decision, in the gate's words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.gate.deciding import Decision, Design, decide
from evalkit.gate.draws import Evidence as DrawnEvidence
from evalkit.gate.evidence import Evidence, Mask
from evalkit.gate.fresh_pairs import FreshPairs
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
        at, inside = self._among(self.drawn.cases)
        if clean:
            inside &= ~self.drawn.errors
        return DrawnEvidence(cases=at[inside], outcomes=self.drawn.scores[inside])

    def _among(self, cases: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where cases of the axis are among those that are judged, and which of them are."""
        at = np.searchsorted(self.places, cases)
        return at, self.places[np.minimum(at, len(self.places) - 1)] == cases

    def with_pairs(self, pairs: FreshPairs) -> DrawnEvidence:
        """These trials, and pairs of fresh trials."""
        at, inside = self._among(pairs.cases)
        return replace(
            self.evidence(),
            pair_cases=at[inside],
            pair_candidate=pairs.now[inside],
            pair_baseline=pairs.before[inside],
        )


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
    seed = int(evidence.configuration[:12] or "0", 16)

    def asked(earlier: DrawnEvidence, *, confirm: bool = False) -> Decision:
        return decide(
            question.history,
            _nobody,
            design=design,
            affected=question.affected,
            critical=question.critical,
            baseline=_nobody if confirm else None,
            earlier=earlier,
            seed=seed,
        )

    decision = asked(question.evidence())
    if decision.method == "none":
        return None
    if decision.verdict != "fail":
        result = _result(rule, paired, question, decision, spec)
        if result.status != "inconclusive":
            return result
        return replace(result, next_trials=_counted(decision.next_cases, question, evidence))
    if question.drawn.errors.any() and asked(question.evidence(clean=True)).verdict != "fail":
        return _result(rule, paired, question, decision, spec, errors_alone=True)
    fresh = evidence.recorded.fresh if evidence.recorded else None
    if fresh is None or len(question.places) < spec.min_cases:
        return _result(rule, paired, question, decision, spec)
    decision = asked(question.with_pairs(fresh.of(rule.grader)), confirm=True)
    result = _result(rule, paired, question, decision, spec, fresh=fresh)
    if result.status != "block" or not fresh.possible:
        return result
    return replace(result, next_pairs=_counted(decision.next_pairs, question, evidence))


def _nobody(_cases: Cases) -> ArrayLike:
    """Runs no trial: only what is stored is judged."""
    return np.empty(0)


def _counted(cases: Cases, question: _Question, evidence: Evidence) -> dict[str, int]:
    """How often each case is named."""
    return dict(Counter(evidence.axis.names(question.places[cases])))


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
    *, errors_alone: bool = False, fresh: FreshPairs | None = None,
) -> RuleResult:  # fmt: skip
    what = grader_in_slice(paired.grader, paired.slice)
    recorded = float(np.median(question.history.trials[question.affected]))
    baseline, candidate = question.rates()
    if fresh is None:
        status, sentence = _words(what, rule.max_drop or 0.0, decision, spec, recorded)
    else:
        status, sentence = _confirmation_words(what, rule.max_drop or 0.0, decision, spec, fresh)
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
        more_trials=decision.more_calls if fresh is None else None,
        sql=question.sql,
        confirmed=decision.confirmed,
        pairs=decision.pairs,
        fresh=decision.fresh,
    )


def _change(decision: Decision) -> str:
    if decision.estimate is None or decision.low is None or decision.high is None:
        return ""
    return f" {points(decision.estimate)} points [{points(decision.low)}, {points(decision.high)}]"


def _worse(what: str, margin: float, decision: Decision, spec: GateSpec) -> str:
    return (
        f"Worse than its history at {1 - spec.alpha:.0%} confidence: {what}{_change(decision)} after "
        f"{count_of(decision.trials, 'trial')}; the margin is {points(margin, sign=False)} points."
    )


def _confirmation_words(
    what: str, margin: float, decision: Decision, spec: GateSpec, fresh: FreshPairs
) -> tuple[RuleStatus, str]:
    """A margin that failed against history, and what a baseline that was run afresh says of it."""
    worse = _worse(what, margin, decision, spec)
    beside = f"{points(decision.fresh or 0.0)} points on {count_of(decision.pairs, 'pair')} of trials"
    if decision.verdict == "fail":
        return "block", f"{worse} Confirmed against a fresh baseline: {beside} run side by side."
    if decision.verdict == "drift":
        blamed = "not this change" if (decision.fresh or 0.0) > -margin / 2 else "and perhaps this change too"
        return "inconclusive", (
            f"Drift, {blamed}: {what}{_change(decision)} against "
            f"its history, but next to a baseline that was run afresh {beside}. Run the baseline's branch again, until "
            "its history is that of now (evalkit run --fresh), then this."
        )
    if not fresh.possible:
        return "block", f"{worse} Nothing differs from the baseline: the target itself answers otherwise."
    if fresh.why:
        return "block", f"{worse} No fresh baseline confirmed it: {fresh.why}."
    if len(decision.next_pairs):
        return "block", f"{worse} Not confirmed against a fresh baseline: `evalkit run` without --trials does that."
    return "inconclusive", (
        f"Lower than its history: {what}{_change(decision)}; a fresh baseline neither confirmed it nor cleared the "
        f"change ({beside}). It takes more cases."
    )


def _words(what: str, margin: float, decision: Decision, spec: GateSpec, recorded: float) -> tuple[RuleStatus, str]:
    interval = _change(decision)
    limit = f"{points(margin, sign=False)} points"
    trials = f"{count_of(decision.trials, 'trial')}, against {recorded:g} recorded ones of a case"
    if decision.verdict == "fail":
        return "block", _worse(what, margin, decision, spec)
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
