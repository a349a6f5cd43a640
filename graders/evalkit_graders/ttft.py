"""How long until the answer began, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.grading import Grade, Grader
from evalkit.records import Case, Trace

__all__ = ["TimeToFirstToken"]


@dataclass(frozen=True)
class TimeToFirstToken(Grader):
    """Wire time until the first token of the call that gave the answer, with that of the calls before it.

    Queueing, pauses and retries are beside it, not in it, and so is the time of tools.

    Args:
        max_seconds: A trial that begins to answer later fails; without it the grader only measures.
    """

    name: ClassVar[str] = "ttft"
    version: ClassVar[str] = "1"
    quality: ClassVar[bool] = False
    blind: ClassVar[tuple[str, ...]] = (
        "A call that was not streamed has no first token, and a proxy that buffers makes it late.",
    )

    max_seconds: float | None = None

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """The value is seconds; not applicable where the answer was not streamed or a call before it not timed."""
        if not trace.model_calls:
            return None
        *before, last = trace.model_calls
        if last.status != "ok" or last.ttft_us is None or not all(call.timed for call in before):
            return None
        seconds = (sum(call.latency_us for call in before) + last.ttft_us) / 1_000_000
        passed = None if self.max_seconds is None else seconds <= self.max_seconds
        evidence = {
            "calls": len(trace.model_calls),
            "last_call_s": last.ttft_us / 1_000_000,
            "simulated": trace.simulated,
        }
        return Grade(seconds, passed, "slow_start" if passed is False else "", evidence=evidence)
