"""What all renderers share: symbols, rows of the gate table, and which cases to show."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.fingerprint import short
from evalkit.gate import CaseResult, RuleResult, Verdict
from evalkit.gate.words import amount, change, interval, points
from evalkit.text import excerpt

__all__ = [
    "STATUS_WORDS",
    "SYMBOLS",
    "Row",
    "commit_of",
    "headline",
    "is_quiet",
    "leading_cases",
    "open_notes",
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
    if (rule.low, rule.high) != (None, None):
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


def is_quiet(verdict: Verdict) -> bool:
    """A workflow that nothing happened to gets one line."""
    return verdict.verdict == "PASS" and all(rule.touched == 0 for rule in verdict.rules)


def open_notes(verdict: Verdict) -> list[str]:
    """The notes that the sentence does not say already."""
    return [note for note in verdict.notes if note not in verdict.sentence]


def leading_cases(verdict: Verdict) -> tuple[str, list[CaseResult]]:
    """A heading and the cases to show first, worst first: behind a block, else behind an error, else worse ones."""
    for status, heading in (("block", "Cases behind the block"), ("error", "Cases with errors")):
        named = {case_id for rule in verdict.rules if rule.status == status for case_id in rule.cases}
        chosen = [case for case in verdict.cases if case.case_id in named]
        if chosen:
            return heading, chosen
    return "Cases that got worse", [case for case in verdict.cases if case.status in ("regressed", "error")]


def reason(case: CaseResult) -> str:
    """Why a case is listed, in one line: what could not be graded, or the graders that fail now and how."""
    faults: dict[str, list[str]] = {}
    parts = []
    for item in case.graders:
        if case.status == "error" and "error" in item.evidence:
            faults.setdefault(str(item.evidence["error"]), []).append(item.grader)
        elif item.candidate is not None and item.candidate < 1:
            label = (item.label or "failed").replace("_", " ")
            rate = "" if item.candidate == 0 else f" ({item.candidate:.0%} of trials pass)"
            parts.append(f"{item.grader}: {label}{rate}")
    told = [f"{names[0]}: {fault}" if len(names) == 1 else fault for fault, names in faults.items()]
    return excerpt(" · ".join([*told, *parts]), 300) or "passes now"


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
