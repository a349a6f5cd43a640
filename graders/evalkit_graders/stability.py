"""Whether the trials of a case agree with each other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from evalkit.grading import Grade, RunGrader
from evalkit.grading.textual import canonical, contains, numbers
from evalkit.records import Case, Trace

__all__ = ["Stability"]

_SHOWN, _CHARACTERS = 5, 160
"""Answers that are evidence at most, and how much of each."""


@dataclass(frozen=True)
class Stability(RunGrader):
    """Share of the pairs of a case's trials that agree: an estimate of the chance that two answers do.

    Two trials agree where all that is compared is equal in them: which of the case's facts the answer states, the
    numbers in it, the tool calls with their arguments in any order, or the words of the answer. It says nothing about
    whether they are right.

    Args:
        compare: What is compared.
        min_agreement: The trials of a case that agree less fail; without it the grader only measures.
    """

    name: ClassVar[str] = "stability"
    version: ClassVar[str] = "1"
    quality: ClassVar[bool] = False
    blind: ClassVar[tuple[str, ...]] = (
        "Other words with the same facts, numbers and tool calls agree; with `compare: [text]` no other words do.",
        "Trials that did not finish are left out: what differs in them shows as errors.",
    )

    compare: tuple[Literal["facts", "numbers", "text", "tool_calls"], ...] = ("facts", "numbers", "tool_calls")
    min_agreement: float | None = None

    def __post_init__(self) -> None:
        if not self.compare:
            raise ValueError("compare: name at least one of facts, numbers, text, tool_calls")
        if self.min_agreement is not None and not 0 <= self.min_agreement <= 1:
            raise ValueError("min_agreement: a share between 0 and 1")

    def grade_case(self, case: Case, traces: Sequence[Trace]) -> Grade | None:
        """The value is the share of pairs; not applicable to a case with a single finished trial."""
        if len(traces) < 2:
            return None
        kinds = [self._kind(case, trace) for trace in traces]
        counts = Counter(kinds)
        alike = sum(count * (count - 1) for count in counts.values())
        share = alike / (len(traces) * (len(traces) - 1))
        passed = None if self.min_agreement is None else share >= self.min_agreement
        evidence = {
            "trials": len(traces),
            "distinct": len(counts),
            "answers": [
                {"trials": count, "answer": _shown(traces[kinds.index(kind)])}
                for kind, count in counts.most_common(_SHOWN)
            ],
        }
        severity: Literal["none", "minor"] = "minor" if passed is False else "none"
        return Grade(share, passed, "unstable" if len(counts) > 1 else "", severity, evidence)

    def _kind(self, case: Case, trace: Trace) -> Hashable:
        """Equal for trials that agree."""
        found: list[Hashable] = []
        for what in self.compare:
            match what:
                case "facts":
                    facts = case.expect.facts
                    found.append(tuple(any(contains(trace.answer, wording) for wording in each) for each in facts))
                case "numbers":
                    found.append(frozenset(numbers(trace.answer)))
                case "text":
                    found.append(canonical(trace.answer))
                case "tool_calls":
                    found.append(_calls(trace))
        return tuple(found)


def _calls(trace: Trace) -> tuple[str, ...]:
    return tuple(sorted(json.dumps([event.name, event.arguments], sort_keys=True) for event in trace.tool_events))


def _shown(trace: Trace) -> str:
    calls = ", ".join(event.name for event in trace.tool_events)
    return (f"[{calls}] " if calls else "")[:_CHARACTERS] + trace.answer[:_CHARACTERS]
