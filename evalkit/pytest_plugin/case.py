"""What a test of one case is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.records import Case, Score, Trace
from evalkit.text import excerpt

__all__ = ["EvaluatedCase"]


@dataclass(frozen=True, repr=False)
class EvaluatedCase:
    """A case, as it was stored, with every trial of it.

    Args:
        case: The case, masked.
        traces: One a trial.
        scores: All scores of all trials.
        quality: Graders whose ``passed`` says that an answer is good.
        run_id: The run.
        status: Against the baseline: ``regressed``, ``improved``, ``unchanged``, ``new``, ``error``, ``flaky``.
    """

    case: Case
    traces: tuple[Trace, ...]
    scores: tuple[Score, ...]
    quality: frozenset[str] = field(default=frozenset())
    run_id: str = ""
    status: str = "unchanged"

    @property
    def id(self) -> str:
        """The case's id."""
        return self.case.id

    @property
    def trace(self) -> Trace:
        """The first trial."""
        return self.traces[0]

    @property
    def answer(self) -> str:
        """The answer of the first trial. It is a model's text: whoever prints it prints what a stranger wrote."""
        return self.trace.answer

    @property
    def answers(self) -> tuple[str, ...]:
        """The answers of all trials."""
        return tuple(trace.answer for trace in self.traces)

    @property
    def passed(self) -> bool:
        """Whether every trial finished and no grader of quality failed, or could not grade, any of them."""
        return not self.failures

    @property
    def failures(self) -> list[str]:
        """What is wrong: ``trial 0: refusal: under refusal``."""
        told = [
            f"trial {trace.trial}: {trace.error.kind}: {excerpt(trace.error.message)}"
            for trace in self.traces
            if trace.error is not None
        ]
        for score in self.scores:
            if score.status == "error":
                told.append(
                    f"trial {score.trial}: {score.grader}: {excerpt(str(score.evidence.get('error', 'error')))}"
                )
            elif score.passed is False and score.grader in self.quality:
                told.append(f"trial {score.trial}: {score.grader}: {(score.label or 'failed').replace('_', ' ')}")
        return told

    def values(self, grader: str) -> Mapping[int, float]:
        """A grader's values, by trial.

        Raises:
            KeyError: when no such grader graded the case.
        """
        found = {score.trial: score for score in self.scores if score.grader == grader}
        if not found:
            raise KeyError(f"no grader `{grader}`: there are {', '.join(sorted({s.grader for s in self.scores}))}")
        return {trial: score.value for trial, score in found.items() if score.value is not None}

    def __repr__(self) -> str:
        told = dict.fromkeys(failure.partition(": ")[2] for failure in self.failures)
        return f"<case {self.id}: {self.status}, {'; '.join(told) or 'passed'}>"
