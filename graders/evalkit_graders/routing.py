"""Was the trial escalated where it should be, and nowhere else?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evalkit.grading import Grade, Grader
from evalkit.records import Case, RouteStep, Trace

__all__ = ["Routing"]

_YES, _NO = frozenset({"yes", "true", "1"}), frozenset({"no", "false", "0"})
_FALLBACK = "fallback "
"""How the rule of a step begins that was taken because a call had failed."""


@dataclass(frozen=True)
class Routing(Grader):
    """The route of a trial against what its case expects: escalated to a dearer model, or not.

    A case says so by a slice, ``slices: {escalate: yes}`` or ``no``; where it does not, its risk does, if `risks` names
    any. A step to another route because a call failed is no escalation.

    Args:
        key: The slice that says whether a case should be escalated.
        escalated: Routes or models that count as escalated, also where they are the first; empty means any step from
            one route to another.
        risks: Risks whose cases should be escalated and those of others not, where the slice does not say.
    """

    name: ClassVar[str] = "routing"
    version: ClassVar[str] = "1"
    quality: ClassVar[bool] = False
    blind: ClassVar[tuple[str, ...]] = (
        "It compares with what the case expects, and does not know whether the cheaper model would have been right.",
        "A router inside an application leaves no steps in the trace: what it does is not seen.",
    )

    key: str = "escalate"
    escalated: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """Not applicable where the case says nothing of it or the trace has no route."""
        wanted = self._wanted(case)
        if wanted is None or not trace.route:
            return None
        went = any(self._is_escalation(step) for step in trace.route)
        label = "" if went == wanted else "missed_escalation" if wanted else "needless_escalation"
        route = [f"{step.route} on {step.model} by {step.rule}"[:200] for step in trace.route[:10]]
        return Grade.check(not label, label, severity="major" if wanted else "minor", route=route, expected=wanted)

    def _wanted(self, case: Case) -> bool | None:
        stated = case.slices.get(self.key)
        if stated is None:
            return case.risk in self.risks if self.risks else None
        if stated.casefold() in _YES | _NO:
            return stated.casefold() in _YES
        raise ValueError(f"the slice `{self.key}` of the case is {stated!r}: write yes or no")

    def _is_escalation(self, step: RouteStep) -> bool:
        if step.rule.startswith(_FALLBACK):
            return False
        if self.escalated:
            return step.route in self.escalated or step.model in self.escalated
        return step.escalated_from is not None
