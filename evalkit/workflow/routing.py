"""Routing: classify a request, choose the cheap default, escalate by rule. Pure functions of the table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from evalkit.language import numbers
from evalkit.records import Case
from evalkit.workflow.spec import Classifier, EscalationRule, EscalationWhen, LabelRule, RoutesSpec, RouteWhen

__all__ = ["Attempt", "Choice", "choose", "classify", "escalation", "reachable"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A route and the rule that chose it; ``default`` when none did."""

    route: str
    rule: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """What escalation rules look at."""

    answer: str
    finish_reason: str
    invalid_tool_call: bool
    tool_calls: int


def classify(classifier: Classifier, case: Case) -> tuple[str, str]:
    """Intent and risk of a request, from the user's own words."""
    if classifier.trust_request:
        return case.intent, case.risk
    text = "\n".join(turn.content for turn in case.input if turn.role == "user")
    intent = _label(classifier.intent, text, case.role, "") or classifier.default_intent
    risk = _label(classifier.risk, text, case.role, intent) or classifier.default_risk
    return intent, risk


def _label(rules: tuple[LabelRule, ...], text: str, role: str, intent: str) -> str | None:
    for rule in rules:
        if rule.intent and intent not in rule.intent:
            continue
        if rule.role and role not in rule.role:
            continue
        if rule.any and not _words(rule.any).search(text):
            continue
        if rule.amount_over is not None and not any(amount > rule.amount_over for amount in numbers(text)):
            continue
        return rule.label
    return None


@lru_cache(maxsize=512)
def _words(beginnings: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the words, matched from their beginning, whatever the case."""
    alternatives = "|".join(re.escape(word) for word in beginnings)
    return re.compile(rf"(?<!\w)(?:{alternatives})", re.IGNORECASE)


def choose(routes: RoutesSpec, case: Case, *, intent: str, risk: str) -> Choice:
    """The first route whose rule fits, else the default."""
    for rule in routes.rules:
        if _holds(rule.when, case, intent, risk):
            return Choice(rule.route, rule.id)
    return Choice(routes.default, "default")


def _holds(when: RouteWhen, case: Case, intent: str, risk: str) -> bool:
    size = sum(len(document.text) for document in case.context)
    return (
        (not when.intent or intent in when.intent)
        and (not when.risk or risk in when.risk)
        and (not when.locale or case.locale.startswith(when.locale))
        and (not when.role or case.role in when.role)
        and (not when.tenant or case.tenant in when.tenant)
        and (when.turns_over is None or len(case.input) > when.turns_over)
        and (when.context_over is None or size > when.context_over)
    )


def escalation(routes: RoutesSpec, route: str, attempt: Attempt) -> EscalationRule | None:
    """The first escalation rule that fits an attempt on ``route``, if any."""
    for rule in routes.escalate:
        if rule.to != route and (not rule.from_ or route in rule.from_) and _calls_for(rule.when, attempt):
            return rule
    return None


def _calls_for(when: EscalationWhen, attempt: Attempt) -> bool:
    return (
        attempt.finish_reason in when.finish_reason
        or (when.answer_matches is not None and re.search(when.answer_matches, attempt.answer) is not None)
        or (when.invalid_tool_call and attempt.invalid_tool_call)
        or (when.empty_answer and not attempt.answer.strip() and not attempt.tool_calls)
    )


def reachable(routes: RoutesSpec, start: str) -> tuple[str, ...]:
    """All routes that a request starting on ``start`` can end on, the start first."""
    found = [start]
    for route in found:
        for rule in routes.escalate:
            if rule.to not in found and (not rule.from_ or route in rule.from_):
                found.append(rule.to)
    return tuple(found)
