"""What all renderers share: symbols, rows of the gate table, and which cases to show."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.fingerprint import short
from evalkit.gate import CaseResult, RuleResult, Verdict
from evalkit.gate.words import amount, change, interval, points

__all__ = [
    "STATUS_WORDS",
    "SYMBOLS",
    "Row",
    "blocking_cases",
    "commit_of",
    "headline",
    "reason",
    "row",
    "rule_order",
]

SYMBOLS = {
    "PASS": "✔",
    "PASS with notes": "✔",
    "INCONCLUSIVE": "?",
    "BLOCKED": "✖",
    "NOT COMPARABLE": "≠",
    "ERROR": "!",
    "pass": "✔",
    "note": "▾",
    "inconclusive": "?",
    "block": "✖",
    "not_comparable": "≠",
    "error": "!",
    "regressed": "▼",
    "improved": "▲",
    "unchanged": "=",
    "flaky": "~",
    "new": "+",
    "removed": "−",
}
STATUS_WORDS = {
    "pass": "pass",
    "note": "note",
    "inconclusive": "not enough evidence",
    "block": "blocks",
    "not_comparable": "not comparable",
    "error": "error",
}


@dataclass(frozen=True)
class Row:
    """A rule as a line of a table."""

    symbol: str
    name: str
    baseline: str
    candidate: str
    change: str
    limit: str
    status: str


def row(rule: RuleResult) -> Row:
    """The cells of a rule."""
    rose = rule.status == "note" and rule.kind == "drop" and rule.delta is not None and rule.delta > 0
    return Row(
        symbol="▴" if rose else SYMBOLS[rule.status],
        name=rule.id if not rule.slice or rule.slice in rule.id else f"{rule.id} · {rule.slice}",
        baseline=amount(rule.baseline, rule.unit),
        candidate=amount(rule.candidate, rule.unit),
        change=_change(rule),
        limit=_limit(rule),
        status=STATUS_WORDS[rule.status],
    )


def _change(rule: RuleResult) -> str:
    if rule.unit == "share" and rule.delta is not None:
        if rule.touched == 0:
            return "unchanged"
        significant = rule.low is not None and rule.high is not None and (rule.low > 0 or rule.high < 0)
        mark = "" if significant else "~ "
        return f"{mark}{points(rule.delta)} {interval(rule.low, rule.high)}"
    if rule.delta is not None:
        return f"{change(rule.delta)} {interval(rule.low, rule.high, 'ratio')}"
    if rule.low is not None:
        return interval(rule.low, rule.high, rule.unit)
    if rule.unit == "count" and rule.baseline is not None and rule.candidate is not None:
        difference = rule.candidate - rule.baseline
        return f"{difference:+g}" if difference else "="
    return ""


def _limit(rule: RuleResult) -> str:
    if rule.limit is None:
        return ""
    if rule.kind == "drop":
        return f"no worse than {points(rule.limit)}"
    if rule.kind == "increase":
        return f"at most {change(rule.limit)}"
    if rule.kind == "count":
        return f"at most {rule.limit:g}"
    return f"{'at least' if rule.kind == 'floor' else 'at most'} {amount(rule.limit, rule.unit)}"


def rule_order(rules: tuple[RuleResult, ...]) -> list[RuleResult]:
    """Rules, the ones that decide first."""
    order = ["block", "error", "not_comparable", "inconclusive", "note", "pass"]
    return sorted(rules, key=lambda rule: order.index(rule.status))


def blocking_cases(verdict: Verdict) -> list[CaseResult]:
    """Cases to show first: those of blocking rules, else those that regressed or failed, worst first."""
    named = {case_id for rule in verdict.rules if rule.status in ("block", "error") for case_id in rule.cases}
    chosen = [case for case in verdict.cases if case.case_id in named]
    return chosen or [case for case in verdict.cases if case.status in ("regressed", "error")]


def reason(case: CaseResult) -> str:
    """Why a case is listed, in one line: the graders that fail now and how."""
    parts = []
    for item in case.graders:
        if item.candidate is not None and item.candidate < 1:
            label = (item.label or "failed").replace("_", " ")
            rate = "" if item.candidate == 0 else f" ({item.candidate:.0%} of trials pass)"
            parts.append(f"{item.grader}: {label}{rate}")
    return " · ".join(parts) or "passes now"


def commit_of(commit: str) -> str:
    """A commit for people."""
    return short(commit, 7) if commit else "working copy"


def headline(verdict: Verdict) -> str:
    """What was compared with what."""
    golden = verdict.golden_set
    size = f"{golden.name}@{golden.version} · {golden.cases:,} cases" if golden else ""
    if not verdict.baseline_run:
        return f"{size} · {commit_of(verdict.commit)}, no baseline `{verdict.baseline_name}`"
    return f"{size} · {commit_of(verdict.commit)} vs {verdict.baseline_name}@{commit_of(verdict.baseline_commit)}"
