"""Blaming a change: counterfactual configurations on the broken cases, until the component is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from evalkit.engine.counterfactual import Counterfactuals, Made
from evalkit.engine.loop import run_loop
from evalkit.errors import EvalkitError, UsageError
from evalkit.gate.attribution import Attribution, attribute
from evalkit.gate.compare import find_baseline, judge_stored_run, load_verdict, newest_grading
from evalkit.gate.verdict import CaseResult, Verdict
from evalkit.gate.words import count_of, share
from evalkit.quantities import format_money
from evalkit.store import RunFolder, Runs
from evalkit.workflow import Project

__all__ = ["Asked", "Blame", "blame"]

MOST_CASES = 30
"""Broken cases that are looked at where nothing else is said, the worst ones."""


@dataclass(frozen=True)
class Asked:
    """One counterfactual configuration: the baseline with some changes applied."""

    changes: tuple[str, ...]
    share: float
    """Share of the broken cases that fails with it."""
    trials: int
    reused: int
    calls: int
    cost_microusd: int
    run_id: str


@dataclass(frozen=True)
class Blame:
    """Which change breaks what broke."""

    workflow: str
    run_id: str
    baseline_run: str
    sentence: str
    cases: tuple[str, ...]
    """Broken cases that were looked at and broke again."""
    broken: int
    """Cases that got worse in all."""
    unstable: tuple[str, ...]
    """Cases that were looked at and did not break again: chance, and nobody's fault."""
    changes: tuple[str, ...]
    """Changes that can be applied each by itself."""
    attribution: Attribution
    asked: tuple[Asked, ...] = ()
    calls: int = 0
    cost_microusd: int = 0
    simulated: bool = False


def blame(
    project: Project,
    run_id: str = "latest",
    *,
    cases: Sequence[str] = (),
    most: int = MOST_CASES,
    trials: int | None = None,
    confirm: bool = True,
    exact_up_to: int = 5,
    seed: int = 0,
    listener: Callable[[Asked], None] | None = None,
) -> Blame:
    """Find out which of several changed components breaks the cases that a run broke.

    Baseline and candidate are first run anew on the broken cases: a case that does not break again is left out, as it
    was chosen for having failed and may have done so by chance.

    Args:
        project: The project.
        run_id: The run, or its beginning.
        cases: Only these of the broken cases.
        most: At most so many broken cases, the worst ones.
        trials: Trials of each case and configuration; default as many as the run has.
        confirm: Whether to run baseline and candidate anew.
        exact_up_to: Up to so many interacting changes Shapley shares are exact.
        seed: For permutations beyond.
        listener: Told of each configuration that was run.

    Raises:
        UsageError: when nothing got worse in the run.
        NotComparableError: when graders or golden set have changed since.
        StoreError: when a component of the past is not to be had any more.
        BudgetError: when the budget of a run is spent; asked again, what finished is not paid twice.
    """
    candidate = Runs(project.store).get(run_id)
    verdict = load_verdict(project, candidate.run.run_id) or judge_stored_run(project, candidate)
    baseline = find_baseline(project, verdict.workflow, verdict.baseline_run) if verdict.baseline_run else None
    if baseline is None or verdict.verdict == "NOT COMPARABLE":
        raise UsageError("the run was not compared with a baseline", fix=f"judge it: evalkit gate {run_id}")
    broken = _broken(verdict, cases)
    chosen = broken[:most]
    grading = newest_grading(project, candidate).run.grading
    with Counterfactuals(project, candidate, baseline, grading) as made:
        names = tuple(made.units)
        trial = _Trial(made, {case.case_id: _levels(case) for case in chosen}, candidate, trials, listener)
        if len(names) < 2:
            attribution = Attribution("single" if names else "none", names, (names,) if names else (), 1.0, 1.0)
            unstable: tuple[str, ...] = ()
        else:
            unstable = trial.confirm() if confirm else ()
            attribution = (
                attribute(names, trial.share, exact_up_to=exact_up_to, seed=seed)
                if trial.levels
                else Attribution("none", ())
            )
    calls, cost = sum(item.calls for item in trial.asked), sum(item.cost_microusd for item in trial.asked)
    found = Blame(
        workflow=verdict.workflow,
        run_id=candidate.run.run_id,
        baseline_run=baseline.run.run_id,
        sentence="",
        cases=tuple(trial.levels),
        broken=len(broken),
        unstable=unstable,
        changes=names,
        attribution=attribution,
        asked=tuple(trial.asked),
        calls=calls,
        cost_microusd=cost,
        simulated=candidate.run.simulated,
    )
    return replace(found, sentence=_sentence(found))


def _broken(verdict: Verdict, wanted: Sequence[str]) -> list[CaseResult]:
    """The cases that got worse, those first that fail in every trial now."""
    found = [case for case in verdict.cases if _levels(case)]
    if not found:
        raise UsageError(f"no case got worse in run {verdict.candidate_run}: nobody is to blame")
    known = {case.case_id for case in found}
    for name in wanted:
        if name not in known:
            raise UsageError(f"case `{name}` did not get worse in run {verdict.candidate_run}")
    return [case for case in found if not wanted or case.case_id in wanted]


def _levels(case: CaseResult) -> dict[str, float]:
    """By grader that sees a case worse now: the pass rate halfway between before and now."""
    return {
        item.grader: (item.baseline + item.candidate) / 2
        for item in case.graders
        if item.baseline is not None and item.candidate is not None and item.candidate < item.baseline
    }


@dataclass
class _Trial:
    """Runs configurations on the broken cases and says how many fail."""

    made: Counterfactuals
    levels: dict[str, dict[str, float]]
    """Of each case and grader the pass rate from which on downwards the case counts as failing."""
    candidate: RunFolder
    trials: int | None
    listener: Callable[[Asked], None] | None
    asked: list[Asked] = field(default_factory=list)
    known: dict[frozenset[str], float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Trials of each case."""
        return self.trials or max(1, self.candidate.run.trials_per_case)

    def share(self, changes: frozenset[str]) -> float:
        """Share of the cases that fails with some of the changes."""
        if changes in self.known:
            return self.known[changes]
        done = self._run(changes, self.count)
        failing = self._failing(done, range(self.count))
        if not failing:
            raise EvalkitError(
                f"no trial of {self._words(changes)} finished: nothing can be said",
                fix="see why: the run is in the store under counterfactual/, and `evalkit doctor` checks the targets",
            )
        share = sum(failing.values()) / len(failing)
        self._tell(changes, share, done)
        return share

    def confirm(self) -> tuple[str, ...]:
        """Run baseline and candidate anew; cases that do not break again are left out and returned."""
        everything = frozenset(self.made.units)
        start = max(1, self.candidate.run.trials_per_case)
        fresh = range(start, start + self.count)
        found = {}
        for changes in (frozenset[str](), everything):
            done = self._run(changes, start + self.count)
            found[changes] = self._failing(done, fresh)
            self._tell(changes, sum(found[changes].values()) / max(1, len(found[changes])), done)
        again = {name for name in self.levels if found[everything].get(name) and found[frozenset()].get(name) is False}
        unstable = tuple(name for name in self.levels if name not in again)
        self.levels = {name: levels for name, levels in self.levels.items() if name in again}
        self.known = {frozenset(): 0.0, everything: 1.0}
        return unstable

    def _run(self, changes: frozenset[str], trials: int) -> Made:
        return run_loop(self.made.run(changes, tuple(self.levels), trials))

    def _failing(self, done: Made, trials: range) -> dict[str, bool]:
        """Whether each case fails in these trials; a case of which none finished is left out."""
        passed: dict[tuple[str, str], list[bool]] = {}
        for score in done.folder.scores():
            if score.trial in trials and score.status == "ok" and score.passed is not None:
                passed.setdefault((score.case_id, score.grader), []).append(score.passed)
        found: dict[str, bool] = {}
        for name, levels in self.levels.items():
            told: list[bool] = [
                sum(marks) / len(marks) <= level
                for grader, level in levels.items()
                if (marks := passed.get((name, grader)))
            ]
            if told:
                found[name] = any(told)
        return found

    def _tell(self, changes: frozenset[str], share: float, done: Made) -> None:
        entry = Asked(
            tuple(name for name in self.made.units if name in changes), share, done.trials, done.reused, done.calls,
            done.microusd, done.folder.run.run_id,
        )  # fmt: skip
        self.asked.append(entry)
        if self.listener is not None:
            self.listener(entry)

    def _words(self, changes: frozenset[str]) -> str:
        return f"the baseline with {', '.join(sorted(changes))}" if changes else "the baseline"


def _sentence(found: Blame) -> str:
    """Who it was, in words."""
    causes, cases = found.attribution.causes, count_of(len(found.cases), "broken case")
    if not found.changes:
        return "No component has changed: the target itself answers otherwise, or it is chance."
    if len(found.changes) == 1:
        return f"Only {causes[0]} has changed: nothing else can have broken {cases}."
    paid = f" Found with {count_of(found.calls, 'model call')} for {format_money(found.cost_microusd)}."
    if not found.cases:
        looked = count_of(len(found.unstable), "broken case")
        return f"None of {looked} breaks again: chance, and no change is to blame.{paid}"
    if found.attribution.kind == "none":
        return f"The changes are not to blame: without them as many of {cases} fail.{paid}"
    explained = share(min(1.0, found.attribution.explained * found.attribution.effect))
    told = {
        "single": f"{causes[0]} breaks {explained} of {cases} by itself; the other changes do next to nothing",
        "together": f"Only together do {_and(causes)} break {cases}; none of them does alone",
        "either": f"Each by itself is enough to break {cases}: {_or(found.attribution.sets)}",
        "several": f"Several changes break {cases}: {_shares(found.attribution.shares)}",
    }[found.attribution.kind]
    return f"{told}.{paid}"


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _or(sets: Sequence[Sequence[str]]) -> str:
    return ", or ".join(" with ".join(names) for names in sets)


def _shares(shares: Mapping[str, float]) -> str:
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {value:.0%}" for name, value in ranked if abs(value) >= 0.005)
