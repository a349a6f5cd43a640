"""How many tokens a trial took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.grading import Grade, Grader
from evalkit.records import Case, Trace

__all__ = ["Tokens"]


@dataclass(frozen=True)
class Tokens(Grader):
    """Input and output tokens of all model calls of a trial, read from a cache or not, reasoning included.

    Args:
        max_tokens: A trial that takes more fails; without it the grader only measures.
    """

    name: ClassVar[str] = "tokens"
    version: ClassVar[str] = "1"
    quality: ClassVar[bool] = False
    blind: ClassVar[tuple[str, ...]] = (
        "It counts what the provider reports; another tokenizer makes other numbers of the same text.",
    )

    max_tokens: int | None = None

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """The value is a number of tokens; not applicable where a call that answered states none."""
        answered = [call.usage for call in trace.model_calls if call.status == "ok"]
        if not answered or not all(usage.input_tokens or usage.output_tokens for usage in answered):
            return None
        tokens = trace.input_tokens + trace.output_tokens
        passed = None if self.max_tokens is None else tokens <= self.max_tokens
        evidence = {
            "calls": len(trace.model_calls),
            "input_tokens": trace.input_tokens,
            "output_tokens": trace.output_tokens,
            "cached_tokens": sum(call.usage.cached_tokens for call in trace.model_calls),
            "reasoning_tokens": sum(call.usage.reasoning_tokens for call in trace.model_calls),
        }
        return Grade(float(tokens), passed, "too_many_tokens" if passed is False else "", evidence=evidence)
