"""The rules of a workflow over prompts, documents, tool calls and answers; and whether run-time decisions were kept.

Rules are parameters, in the form of :class:`Rule`. They judge what happened, after the fact and on stored traces too;
policies of the workflow (``docs/configuration.md``) guard documents and tool calls while a trial runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from evalkit.grading import Grade, Grader
from evalkit.patterns import match_start
from evalkit.records import Case, Json, Severity, Trace
from evalkit.text import excerpt
from evalkit_graders.policy.breaches import breaches
from evalkit_graders.policy.facts import Subject, subjects
from evalkit_graders.policy.rules import Point, Rule, parse_rules

__all__ = ["Policy"]

_SEVERITIES: tuple[Severity, ...] = ("none", "minor", "major", "critical")
_STRENGTH = {"require": 0, "needs_approval": 1, "deny": 2, "breach": 3}
_POINTS: tuple[Point, ...] = ("prompt", "document", "tool_call", "answer")
_MOST_SHOWN = 6
_MOST_TEXT = 120


@dataclass(frozen=True)
class _Violation:
    rule: str
    effect: str
    severity: Severity
    message: str
    where: str
    text: str = ""

    @property
    def rank(self) -> tuple[int, int]:
        return _STRENGTH[self.effect], _SEVERITIES.index(self.severity)

    def shown(self) -> dict[str, Json]:
        """For the evidence: short enough that six of them keep its limit, whatever their signs."""
        return {"rule": self.rule, "effect": self.effect, "severity": self.severity,
                "message": excerpt(self.message, 150), "where": excerpt(self.where, 60), "text": self.text}  # fmt: skip


@dataclass(frozen=True)
class Policy(Grader):
    """Rules of the workflow that the trial must not violate. Deny wins over approval, approval over requirement.

    The label is the id of the strongest rule that is violated, the severity that of the worst. A decision of the
    policies at run time that was not kept counts as well, and is stronger than any rule.

    Args:
        rules: Each with ``id``, ``point`` (``prompt``, ``document``, ``tool_call``, ``answer``), ``tools``, ``when``,
            ``effect`` (``deny``, ``needs_approval``, ``require``), ``require``, ``stopped``, ``severity``, ``message``
            and ``tests``, at least one that violates it and one that does not.
        kept: Whether to check that decisions of the policies at run time were kept.
    """

    name: ClassVar[str] = "policy"
    version: ClassVar[str] = "1"
    blind: ClassVar[tuple[str, ...]] = (
        "It knows the rules that it is given, and wording, not meaning: list the wordings that count.",
        "Tenant and roles of a document are known where it stands in the case; one from a corpus has neither.",
        "What a program does behind its own answer, without reporting a tool call, is not seen.",
    )

    rules: tuple[Mapping[str, Json], ...] = ()
    kept: bool = True

    def __post_init__(self) -> None:
        """Refuse rules that are wrong or fail their own tests when the project is loaded."""
        if not self.parsed and not self.kept:
            raise ValueError("nothing to check: give `rules`, or leave `kept` on")

    @cached_property
    def parsed(self) -> tuple[Rule, ...]:
        """The rules.

        Raises:
            ValueError: when one is wrong or fails its tests.
        """
        return parse_rules(self.rules)

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """Passed when no rule is violated; not applicable where no rule concerns anything of the trial."""
        checked = 0
        found: list[_Violation] = []
        for point in _POINTS:
            rules = [rule for rule in self.parsed if rule.point == point]
            if not rules:
                continue
            for subject in subjects(point, case, trace):
                asked = [rule for rule in rules if not subject.stopped or rule.stopped]
                checked += len(asked)
                found += [_violation(rule, subject) for rule in asked if rule.violated(subject.facts)]
        if self.kept:
            checked += len(trace.tool_events) + len(trace.policy_decisions)
            found += [_Violation(item.kind, "breach", item.severity, item.message, item.where)
                      for item in breaches(trace)]  # fmt: skip
        if not checked:
            return None
        return _grade(found, checked)


def _grade(found: list[_Violation], checked: int) -> Grade:
    if not found:
        return Grade.check(True, checked=checked)
    ordered = sorted(found, key=lambda violation: violation.rank, reverse=True)
    worst = max((violation.severity for violation in found), key=_SEVERITIES.index)
    shown: Json = [violation.shown() for violation in ordered[:_MOST_SHOWN]]
    return Grade.check(False, ordered[0].rule, severity=worst, checked=checked, violations=len(found), violated=shown)


def _violation(rule: Rule, subject: Subject) -> _Violation:
    return _Violation(rule.id, rule.effect, rule.severity, rule.message, subject.where, _excerpt(rule, subject))


def _excerpt(rule: Rule, subject: Subject) -> str:
    """The place that a condition found, or the beginning of the text."""
    whole = str(subject.facts.get("text") or "")
    for text, place in _places(rule, subject):
        return excerpt(("…" if place > 40 else "") + text[max(0, place - 40) : place + _MOST_TEXT], _MOST_TEXT)
    return excerpt(whole[: 4 * _MOST_TEXT], _MOST_TEXT)


def _places(rule: Rule, subject: Subject) -> Iterator[tuple[str, int]]:
    for condition in rule.when:
        text = subject.facts.get(condition.field)
        if not isinstance(text, str):
            continue
        if condition.op == "matches":
            start = match_start(condition.value, text)
            if start is not None:
                yield text, start
        elif condition.op in ("says", "contains"):
            values = (condition.value,) if isinstance(condition.value, str) else condition.value
            lower = text.casefold()
            place = min((at for value in values if (at := lower.find(str(value).casefold())) >= 0), default=-1)
            if place >= 0:
                yield text, place
