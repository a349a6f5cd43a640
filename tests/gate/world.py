"""Stored runs made of hand-written outcomes: what the gate reads, without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from evalkit import codec
from evalkit.fingerprint import fingerprint
from evalkit.gate import Limits, Verdict, judge
from evalkit.gate.axis import CaseAxis
from evalkit.gate.history import RecordedTrials, history_runs, read_history
from evalkit.gate.verdict import RuleResult
from evalkit.goldens import from_cases
from evalkit.records import (
    Case,
    Component,
    Configuration,
    GraderRef,
    Message,
    ModelCall,
    RouteStep,
    Run,
    Score,
    Trace,
    TraceError,
    Usage,
)
from evalkit.store import Catalogue, RunFolder, Runs, Verdicts
from evalkit.store.cases import save_cases
from evalkit.store.schema import StoredTrial
from evalkit.workflow.gates import GateSpec

Outcome: TypeAlias = bool | float | Literal["error", "n/a"]
Outcomes: TypeAlias = Mapping[str, Mapping[str, Sequence[Outcome]]]
"""Grader, case, and the outcome of each trial: a bool is a quality grade, a float a measurement."""

MEASURES = ("cost", "latency", "tokens", "ttft")
VARYING = ("judge",)
"""Graders that may say something else the next time."""
REDACTION = "0" * 64


def make_cases(count: int, **changes: Any) -> list[Case]:
    """Cases ``case-000`` to ``case-<count - 1>``; a callable among the changes is asked with the index."""
    return [
        Case(
            id=f"case-{index:03d}",
            input=(Message("user", f"question {index}"),),
            **{key: value(index) if callable(value) else value for key, value in changes.items()},
        )
        for index in range(count)
    ]


def passing(cases: Iterable[Case], *failing: str, trials: int = 1) -> dict[str, list[Outcome]]:
    """Every case passes in every trial, but for the failing ones."""
    return {case.id: [case.id not in failing] * trials for case in cases}


def measured(cases: Iterable[Case], value: float) -> dict[str, list[Outcome]]:
    """Every case measures the same."""
    return {case.id: [value] for case in cases}


def configuration(version: str = "1") -> Configuration:
    """A configuration of one prompt; another version is another text."""
    text = f"Answer from the documents.\nVersion {version}."
    digest = fingerprint("component/prompt", text)
    prompt = Component("prompt", "answer", digest, text, "prompts/answer.md")
    return Configuration("support", fingerprint("configuration", [digest]), (prompt,))


def grader_refs(names: Iterable[str]) -> tuple[GraderRef, ...]:
    """References of graders, those that measure marked so."""
    return tuple(
        GraderRef(
            name,
            "1",
            fingerprint("grader", name),
            quality=name.partition(":")[0] not in MEASURES,
            deterministic=name not in VARYING,
        )
        for name in names
    )


@dataclass
class World:
    """A store and the golden set that its runs are on."""

    root: Path
    cases: list[Case]
    made: int = 0
    entered: set[tuple[str, int]] = field(default_factory=set)

    def run(
        self,
        outcomes: Outcomes,
        *,
        version: str = "1",
        touched: Iterable[str] | None = None,
        unfinished: Iterable[tuple[str, int]] = (),
        cases: Sequence[Case] | None = None,
        lost: Iterable[tuple[str, str]] = (),
        route: Callable[[str], str] | None = None,
        **changes: Any,
    ) -> RunFolder:
        """Store a run. A grader that says nothing about a trial does not apply to it.

        Args:
            outcomes: What each grader says of each case's trials.
            version: Of the configuration; it is in the keys of the touched cases.
            touched: Cases that the version concerns; default all.
            unfinished: Case and number of trials that failed.
            cases: The golden set where it is another one.
            lost: Grader and case whose scores are not in the segment.
            route: The route that a case's trials take; each is one call of 10 tokens, 5 micro-dollars and 2 ms then.
            changes: Fields of the run's record.
        """
        golden = from_cases("support", "1.0.0" if cases is None else "1.1.0", self.cases if cases is None else cases)
        concerned = {case.id for case in golden.cases} if touched is None else set(touched)
        self.made += 1
        run_id = f"{self.made:026d}"
        refs = grader_refs(outcomes)
        failed = set(unfinished)
        places = {
            (case_id, trial)
            for by_case in outcomes.values()
            for case_id, marks in by_case.items()
            for trial in range(len(marks))
        }
        trials = [
            StoredTrial(
                _routed(_trace(case_id, trial, version, (case_id, trial) in failed), route),
                golden.digests.get(case_id, ""),
                f"{version if case_id in concerned else 'any'}-{case_id}-{trial}",
                run_id if case_id in concerned else "an earlier run",
            )
            for case_id, trial in sorted(places)
        ]
        gone = set(lost)
        scores = [
            _score(ref, case_id, trial, marks[trial] if trial < len(marks) else "n/a")
            for ref in refs
            for case_id, trial in sorted(places)
            for marks in [outcomes[ref.name].get(case_id, ())]
            if (ref.name, case_id) not in gone
        ]
        record = Run(
            run_id=run_id,
            workflow="support",
            created_us=self.made,
            finished_us=self.made + 1,
            status="complete",
            configuration=configuration(version),
            golden_set=golden.ref,
            graders=refs,
            grading=fingerprint("grading", sorted(outcomes)),
            prices="p" * 64,
            evalkit="1.0.0",
            trials_per_case=max((trial + 1 for _, trial in places), default=1),
            trials=len(trials),
            errors=len(failed),
            redaction=REDACTION,
        )
        record = replace(record, **changes)
        save_cases(self.root, record.golden_set, REDACTION, golden.cases)
        return Runs(self.root).finish(record, trials, scores)

    def judge(
        self,
        candidate: RunFolder,
        baseline: RunFolder | None,
        *,
        cases: Sequence[Case] | None = None,
        limits: Limits | None = None,
        history: bool = False,
        **spec: Any,
    ) -> Verdict:
        """Judge by a gate with these keys, the defaults where none is given; with the store's history or without."""
        known = self.cases if cases is None else cases
        gate = GateSpec.model_validate(spec)

        def recorded(axis: CaseAxis) -> RecordedTrials | None:
            assert baseline is not None
            used = history_runs(Runs(self.root), candidate, baseline, axis, gate.history)
            return read_history(used, candidate, baseline, axis, gate.history.min_trials)

        return judge(
            candidate, baseline, known, gate, limits=limits, history=recorded if history and baseline else None
        )

    def sql(self, verdict: Verdict, text: str) -> list[dict[str, Any]]:
        """Rows of a query on the catalogue, after the verdict has been entered."""
        catalogue = Catalogue(self.root)
        if (verdict.id, verdict.created_us) not in self.entered:
            Verdicts(self.root).save(verdict.id, codec.encode(verdict))
            catalogue.sync()
            self.entered.add((verdict.id, verdict.created_us))
        with catalogue.connect(read_only=True) as connection:
            found = connection.execute(text)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _trace(case_id: str, trial: int, version: str, failed: bool) -> Trace:
    return Trace(
        workflow="support",
        case_id=case_id,
        trial=trial,
        status="error" if failed else "ok",
        answer="" if failed else f"answer {version} to {case_id}",
        error=TraceError("timeout", "no answer after 60 s") if failed else None,
    )


def _routed(trace: Trace, route: Callable[[str], str] | None) -> Trace:
    if route is None:
        return trace
    call = ModelCall("served-1", cost_microusd=5, latency_us=2_000, usage=Usage(9, 1))
    return replace(trace, route=(RouteStep(route(trace.case_id), "rule", "served-1"),), model_calls=(call,))


def _score(ref: GraderRef, case_id: str, trial: int, mark: Outcome) -> Score:
    row = Score(case_id, trial, ref.name, ref.version, ref.fingerprint, "ok")
    if mark == "error":
        return replace(row, status="error", evidence={"error": "ValueError: no"})
    if mark == "n/a":
        return replace(row, status="not_applicable")
    if isinstance(mark, bool):
        return replace(row, value=float(mark), passed=mark, label="" if mark else "wrong")
    return replace(row, value=float(mark))


def rule(verdict: Verdict, rule_id: str) -> RuleResult:
    """The rule of that id."""
    return next(found for found in verdict.rules if found.id == rule_id)
