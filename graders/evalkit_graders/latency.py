"""How long the models of a trial took, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.grading import Grade, Grader
from evalkit.records import Case, Trace

__all__ = ["Latency"]


@dataclass(frozen=True)
class Latency(Grader):
    """Wire time of the attempts that answered; queueing, pauses and retries are beside it, not in it.

    Args:
        max_seconds: A slower trial fails; without it the grader only measures.
    """

    name: ClassVar[str] = "latency"
    version: ClassVar[str] = "1"
    quality: ClassVar[bool] = False
    blind: ClassVar[tuple[str, ...]] = (
        "It is the wire time of one machine at one time: compare runs that were made in the same place.",
    )

    max_seconds: float | None = None

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """The value is seconds; not applicable where a recording holds no times."""
        if not trace.model_calls or not all(call.timed for call in trace.model_calls):
            return None
        seconds = trace.latency_us / 1_000_000
        passed = None if self.max_seconds is None else seconds <= self.max_seconds
        waited = sum(call.waited_us for call in trace.model_calls) / 1_000_000
        evidence = {"calls": len(trace.model_calls), "waited_s": waited, "simulated": trace.simulated}
        return Grade(seconds, passed, "slow" if passed is False else "", evidence=evidence)
