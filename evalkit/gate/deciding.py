"""May this candidate merge? The sequential decision on one score, from history and a source of outcomes.

The candidate is run trial by trial and compared with what is recorded of each case, until a drop by the margin is
either found or ruled out. Nothing here reads or writes anything: a simulator can stand in for the candidate.

>>> import numpy as np
>>> from evalkit.gate import History, decide
>>> rates = np.random.default_rng(1).beta(20, 2, 300)       # how often each of 300 cases passes
>>> passes = np.random.default_rng(2).binomial(20, rates)   # 20 recorded runs of the baseline
>>> history = History.of(np.full(300, 20), passes)
>>> draws = np.random.default_rng(3)
>>> def unchanged(cases):                                   # one trial of each case asked for
...     return draws.random(len(cases)) < rates[cases]
>>> def broken(cases):
...     return draws.random(len(cases)) < rates[cases] - 0.15
>>> decide(history, unchanged, seed=7).verdict
'pass'
>>> decide(history, broken, baseline=unchanged, seed=8).verdict
'fail'
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.gate.anchored import Finding, Limits, Seed, anchored_fixed, anchored_sequential, anchored_strict
from evalkit.gate.anchored_rounds import anchored_rounds
from evalkit.gate.draws import Bank, Evidence, Outcomes, turns
from evalkit.gate.pair_test import PairDesign, group_sequential_pairs, pairs_wanted, sequential_pairs, strict_pairs
from evalkit.stats.anchor import Anchor, History, make_anchor, schedule
from evalkit.stats.sprt import AnchoredSprt

__all__ = ["Decision", "Design", "Evidence", "Mode", "Outcomes", "decide"]

Cases = NDArray[np.intp]
Mode = Literal["sequential", "rounds", "strict", "paired", "fixed"]
Floor = Literal["all", "critical", "none"]
_ORDER, _CONFIRMATION = 0, 1
_PAIR_VARIANCE = 0.1
"""Of a difference of two trials, where no history says: a tenth of the pairs flips."""


@dataclass(frozen=True)
class Design:
    """How a decision is made. Chances and the margin are fractions: 0.05 is five points."""

    margin: float = 0.05
    """Drop of the whole set's mean score that must not pass."""
    alpha: float = 0.05
    """Chance to block an unchanged candidate."""
    beta: float = 0.10
    """Chance to pass a drop by the margin."""
    look: int = 10
    """Calls between looks."""
    cap: int = 20
    """Most trials of a case."""
    mode: Mode = "sequential"
    """``sequential`` on history, trial by trial; ``rounds`` on history, every needed trial first and all of them judged
    together, which is how a stored run is judged; ``strict`` without normal approximations; ``paired`` with a baseline
    run at the same time; ``fixed`` with one look. Where history is too short, the others are paired too."""
    floor: Floor = "all"
    """What must have been run before a pass: every affected case once and critical ones ``critical_trials`` times, the
    critical ones alone, or nothing."""
    critical_trials: int = 5
    min_history: int = 5
    """Trials of history that the middle case must have; below, candidate and baseline are run side by side."""
    looks: int = 8
    """Planned looks of a paired test."""
    confirm_alpha: float = 0.015
    """Chance that an unchanged candidate is confirmed as worse than a fresh baseline."""
    confirm_beta: float = 0.01
    """Chance that a drop by the margin, or by all that is certain of a larger one, is not confirmed."""
    confirm_cap: int = 20
    """Most pairs of trials of a case to confirm a block."""

    def __post_init__(self) -> None:
        for name in ("margin", "alpha", "beta", "confirm_alpha", "confirm_beta"):
            if not 0 < getattr(self, name) < (1 if name == "margin" else 0.5):
                raise ValueError(f"{name} = {getattr(self, name)}: not between 0 and {1 if name == 'margin' else 0.5}")
        for name in ("look", "cap", "critical_trials", "looks", "confirm_cap"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: at least 1")
        if self.critical_trials > self.cap:
            raise ValueError(f"critical_trials = {self.critical_trials} is more than cap = {self.cap}")

    @property
    def limits(self) -> Limits:
        """Errors and sizes for the tests."""
        return Limits(self.margin, self.alpha, self.beta, self.look, self.cap)


@dataclass(frozen=True)
class Decision:
    """What was decided and on what. The estimate and its ends are changes of the whole set's mean score."""

    verdict: Literal["pass", "fail", "inconclusive", "drift"]
    """``drift``: lower than the history, and so is a fresh run of the baseline; the candidate is not the cause."""
    reason: str
    method: str
    calls: int = 0
    """Candidate trials made now, those of a confirmation left out."""
    baseline_calls: int = 0
    """Baseline trials made now to compare with, those of a confirmation left out."""
    confirmation_calls: int = 0
    """Trials made now, of both sides, to confirm a block."""
    trials: int = 0
    """Candidate trials that the test rests on, earlier ones included."""
    estimate: float | None = None
    """Not biased by early stopping: median-unbiased (sequential, paired), plain mean otherwise."""
    low: float | None = None
    """The truth is below with a chance of at most ``beta``."""
    high: float | None = None
    """The truth is above with a chance of at most ``alpha``."""
    llr: float | None = None
    """Log likelihood ratio of a drop by the margin over no change; of a strict test, the log e-value of a drop."""
    tau: float | None = None
    """Standard error that the history brings in."""
    history_share: float = 0.0
    """Share of the affected cases that have history."""
    affected_share: float = 1.0
    more_calls: int | None = None
    """Further candidate trials expected to settle it; None where it is settled, or trials alone will not."""
    next_cases: Cases = field(default_factory=lambda: np.empty(0, np.intp))
    """Those trials, all of the candidate, in the order in which they would be made: numbers of their cases."""
    confirmed: bool | None = None
    """Whether a fresh baseline confirmed the block; None where none was asked, or it has not settled it."""
    pairs: int = 0
    """Pairs of trials that the confirmation rests on, earlier ones included."""
    fresh: float | None = None
    """Change against the fresh baseline: the mean of those pairs, stopped early."""
    next_pairs: Cases = field(default_factory=lambda: np.empty(0, np.intp))
    """Where a confirmation is open: the pairs that would be made next, numbers of their cases in order."""
    evidence: Evidence = field(default_factory=Evidence)
    """All that has been drawn: give it to the next decision on the same candidate."""


def decide(
    history: History,
    candidate: Outcomes,
    *,
    design: Design = Design(),
    affected: ArrayLike | None = None,
    critical: ArrayLike | None = None,
    baseline: Outcomes | None = None,
    earlier: Evidence | None = None,
    seed: int = 0,
) -> Decision:
    """Decide whether a candidate may merge.

    Evidence of earlier decisions is continued: with the same seed, trials come in the same order, and those that are
    there are not made again. Deciding anew without new trials gives the same answer.

    Args:
        history: Of every case of the golden set, shape (n,).
        candidate: Runs trials of the candidate.
        design: Margin, errors, mode.
        affected: Which cases could differ, shape (n,); default all. The others count as unchanged.
        critical: Which cases are critical, shape (n,); default none.
        baseline: Runs trials of the baseline now: to confirm a block, and to compare with where history is too short.
        earlier: What earlier decisions on the same candidate have drawn.
        seed: From the candidate's fingerprint, so that the order is fixed before anything is seen.

    Raises:
        ValueError: Where shapes differ or a source returns what are no scores.
    """
    count = len(history)
    touched = np.flatnonzero(_mask(affected, count, default=True))
    if len(touched) == 0:
        unchanged = "no affected case: proven unchanged" if count else "no cases"
        verdict: Literal["pass", "inconclusive"] = "pass" if count else "inconclusive"
        return Decision(verdict, unchanged, "none", estimate=0.0 if count else None, affected_share=0.0)
    need = np.zeros(count, np.intp)
    if design.floor == "all":
        need[touched] = 1
    if design.floor != "none":
        need[touched[_mask(critical, count, default=False)[touched]]] = design.critical_trials
    return _Session(history, candidate, design, touched, need, baseline, earlier or Evidence(), seed).run()


def _mask(values: ArrayLike | None, count: int, *, default: bool) -> NDArray[np.bool_]:
    found = np.full(count, default) if values is None else np.asarray(values, np.bool_)
    if found.shape != (count,):
        raise ValueError(f"a mask of shape {found.shape} for {count} cases")
    return found


class _Session:
    """One decision: what it was given, and what it has drawn."""

    def __init__(
        self,
        history: History,
        candidate: Outcomes,
        design: Design,
        touched: Cases,
        need: Cases,
        baseline: Outcomes | None,
        earlier: Evidence,
        seed: int,
    ):
        self.history, self.design, self.touched, self.need, self.seed = history, design, touched, need, seed
        self.bank = Bank([candidate], earlier.cases, [earlier.outcomes])
        self.pairs: Bank | None = None
        if baseline is not None:
            drawn = [earlier.pair_candidate, earlier.pair_baseline]
            self.pairs = Bank([candidate, baseline], earlier.pair_cases, drawn)
        self.earlier = earlier
        self.compared = touched[history.trials[touched] > 0]
        self.tau: float | None = None

    def run(self) -> Decision:
        anchor = self._anchor() if self.design.mode != "paired" else None
        if anchor is not None:
            return self._against_history(anchor)
        if self.pairs is None:
            return self._result("inconclusive", self._too_little_history(), "none", Finding("open", 0))
        return self._side_by_side(self.pairs)

    def _anchor(self) -> Anchor | None:
        """The history made ready; None where it is too short for the margin."""
        known = self.history.trials[self.touched]
        if len(self.compared) == 0 or float(np.median(known)) < self.design.min_history:
            return None
        need = self.need[self.compared] if self.design.mode in {"sequential", "fixed"} else None
        anchor = make_anchor(self.history.take(self.compared), self.design.margin, len(self.history), need=need)
        self.tau = anchor.tau
        return anchor if AnchoredSprt(anchor, self.design.margin).sufficient else None

    def _too_little_history(self) -> str:
        if self.tau is None:
            return (
                f"fewer than {self.design.min_history} trials of history for half of the affected cases, "
                "and no baseline to run"
            )
        times = (3 * self.tau / self.design.margin) ** 2
        return (
            f"the history's own error of {100 * self.tau:.2f} points is more than a third of the margin: "
            f"it takes {times:.1f} times as much history, or a baseline to run"
        )

    def _against_history(self, anchor: Anchor) -> Decision:
        design, order = self.design, (self.seed, _ORDER)
        need = self.need[self.compared]
        if design.mode == "strict":
            method = "betting on history"
            finding = anchored_strict(anchor, self.compared, self.bank, design.limits, order)
        elif design.mode == "fixed":
            method = "fixed sample on history"
            finding = anchored_fixed(anchor, self.compared, need, self.bank, design.limits, order)
        elif design.mode == "rounds":
            return self._in_rounds(anchor, need, order)
        else:
            method = "sequential test on history"
            finding = anchored_sequential(anchor, self.compared, need, self.bank, design.limits, order)
        if finding.state == "fail":
            return self._confirm(finding, anchor, method)
        decision = self._unless_uncovered(finding, method)
        if decision.more_calls is None or len(decision.next_cases) or design.mode == "strict":
            return decision
        return replace(decision, next_cases=self._missing(anchor, finding.used + decision.more_calls, order, self.bank))

    def _in_rounds(self, anchor: Anchor, need: Cases, order: tuple[int, int]) -> Decision:
        method = "test on history, in rounds"
        finding, following = anchored_rounds(anchor, self.compared, need, self.bank, self.design.limits, order)
        if finding.state == "fail":
            return self._confirm(finding, anchor, method)
        decision = self._unless_uncovered(finding, method)
        return decision if finding.state == "pass" else replace(decision, next_cases=following)

    def _missing(self, anchor: Anchor, count: int, seed: Seed, bank: Bank) -> Cases:
        """Of the first trials of an order, those that have not been made."""
        cap = self.design.cap if bank is self.bank else self.design.confirm_cap
        order = schedule(anchor.share, min(count, cap * len(self.compared)), seed, cap)
        cases, ranks = self.compared[order], turns(order)
        return cases[ranks >= bank.counts(cases)]

    def _unless_uncovered(self, finding: Finding, method: str) -> Decision:
        """A pass once the floor is reached; what the test did not come by is run for the rules that look at cases."""
        if finding.state != "pass":
            return self._result("inconclusive", self._unsettled(finding), method, finding)
        every = np.arange(len(self.need))
        there = self.bank.counts(every) + (self.pairs.counts(every) if self.pairs else 0)
        missing = np.repeat(every, np.maximum(self.need - there, 0))
        if len(missing):
            self.bank.take(missing, self.bank.following(missing))
        if self.bank.exhausted:
            reason = "not every needed trial has been run"
            left = replace(finding, more=float(len(missing)))
            return replace(self._result("inconclusive", reason, method, left), next_cases=missing)
        margin = 100 * self.design.margin
        reason = f"a drop of {margin:g} points or more is ruled out at {1 - self.design.beta:.0%} confidence"
        return self._result("pass", reason, method, finding)

    def _confirm(self, finding: Finding, anchor: Anchor, method: str) -> Decision:
        """Run the same cases against a fresh baseline: a vendor that changed makes both lower than the history."""
        worse = f"worse than the history at {1 - self.design.alpha:.0%} confidence"
        if self.pairs is None:
            return self._result("fail", f"{worse}; no fresh baseline confirmed it", method, finding)
        design = self.design
        # what the history test found is the claim: the larger it is, the fewer pairs tell it from none
        claim = min(max(design.margin, -(finding.high or 0.0)), 1.0)
        limits = Limits(claim, design.confirm_alpha, design.confirm_beta, design.look, design.confirm_cap)
        plan = PairDesign(self.compared, anchor.share, anchor.n_all, 2 * anchor.step_variance)
        second = sequential_pairs(plan, self.pairs, limits, (self.seed, _CONFIRMATION))
        made = 2 * self.pairs.calls
        if second.state == "open":
            reason = f"{worse}, and a fresh baseline has not yet confirmed it"
            found = self._result("inconclusive", reason, method, finding, made, None, second.more)
            order = (self.seed, _CONFIRMATION)
            found = replace(found, next_pairs=self._missing(anchor, pairs_wanted(second, limits), order, self.pairs))
        elif second.state == "fail":
            found = self._result("fail", f"{worse}, confirmed by a fresh baseline", method, finding, made, True)
        else:
            reason = "lower than the history, but not than a fresh baseline: drift, not this change"
            found = self._result("drift", reason, method, finding, made, False)
        return replace(found, pairs=second.used, fresh=second.estimate if second.used else None)

    def _side_by_side(self, pairs: Bank) -> Decision:
        design, count = self.design, len(self.touched)
        share = np.full(count, 1 / count)
        guess = _PAIR_VARIANCE * (count / len(self.history)) ** 2
        looks = 1 if design.mode == "fixed" else design.looks
        plan = PairDesign(self.touched, share, len(self.history), guess, looks)
        if design.mode == "strict":
            method, finding = "betting on pairs", strict_pairs(plan, pairs, design.limits, (self.seed, _ORDER))
        else:
            method = "fixed sample of pairs" if looks == 1 else "group-sequential test of pairs"
            finding = group_sequential_pairs(plan, pairs, design.limits, (self.seed, _ORDER))
        if finding.state == "fail":
            reason = f"worse than a fresh baseline at {1 - design.alpha:.0%} confidence"
            return self._result("fail", reason, method, finding, 0, True)
        return self._unless_uncovered(finding, method)

    def _unsettled(self, finding: Finding) -> str:
        unscored = self.bank.unscored + (self.pairs.unscored if self.pairs else 0)
        if unscored:
            return f"{unscored} trials came back without a score"
        if self.bank.exhausted or (self.pairs and self.pairs.exhausted):
            return "the budget ended before the question was settled"
        if math.isinf(finding.more):
            return "not settled within the most trials of a case; more history or more cases would"
        return "not settled"

    def _result(
        self,
        verdict: Literal["pass", "fail", "inconclusive", "drift"],
        reason: str,
        method: str,
        finding: Finding,
        confirmation_calls: int = 0,
        confirmed: bool | None = None,
        confirmation_more: float = 0.0,
    ) -> Decision:
        paired = self.pairs.calls if self.pairs and not confirmation_calls else 0
        more = confirmation_more or finding.more
        return Decision(
            verdict=verdict,
            reason=reason,
            method=method,
            calls=self.bank.calls + paired,
            baseline_calls=paired,
            confirmation_calls=confirmation_calls,
            trials=finding.used,
            estimate=finding.estimate,
            low=finding.low,
            high=finding.high,
            llr=finding.llr,
            tau=self.tau,
            history_share=len(self.compared) / len(self.touched),
            affected_share=len(self.touched) / len(self.history),
            more_calls=math.ceil(more) if verdict == "inconclusive" and 0 < more < math.inf else None,
            confirmed=confirmed,
            evidence=self._evidence(),
        )

    def _evidence(self) -> Evidence:
        alone = np.asarray(self.bank.outcomes, np.float64).reshape(-1, 1)
        cases = np.asarray(self.bank.cases, np.intp)
        if self.pairs is None:
            earlier = self.earlier
            return Evidence(cases, alone[:, 0], earlier.pair_cases, earlier.pair_candidate, earlier.pair_baseline)
        pairs = np.asarray(self.pairs.outcomes, np.float64).reshape(-1, 2)
        return Evidence(cases, alone[:, 0], np.asarray(self.pairs.cases, np.intp), pairs[:, 0], pairs[:, 1])
