"""What a trial cost, in US dollars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.grading import Grade, Grader
from evalkit.records import Case, Trace

__all__ = ["Cost"]


@dataclass(frozen=True)
class Cost(Grader):
    """Cost of all model calls of a trial, failed attempts at a route included.

    Args:
        max_usd: A trial that costs more fails; without it the grader only measures.
    """

    name: ClassVar[str] = "cost"
    version: ClassVar[str] = "1"
    quality: ClassVar[bool] = False
    blind: ClassVar[tuple[str, ...]] = (
        "It knows the price table and what the provider says: a rebate that nobody entered is not in it.",
    )

    max_usd: float | None = None

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """The value is US dollars; not applicable where no price or recorded cost is known."""
        if not trace.model_calls or not all(call.priced for call in trace.model_calls):
            return None
        usd = trace.cost_microusd / 1_000_000
        passed = None if self.max_usd is None else usd <= self.max_usd
        evidence = {
            "calls": len(trace.model_calls),
            "input_tokens": trace.input_tokens,
            "output_tokens": trace.output_tokens,
        }
        return Grade(usd, passed, "over_budget" if passed is False else "", evidence=evidence)
