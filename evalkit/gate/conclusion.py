"""From judged rules to one word and one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.gate.settling import settling_sentence
from evalkit.gate.verdict import RuleResult, Verdict, VerdictName
from evalkit.gate.words import count_of, points
from evalkit.records import Run

__all__ = ["name_verdict", "sum_up"]


def name_verdict(rules: Sequence[RuleResult], obstacles: Sequence[str], notes: Sequence[str], run: Run) -> VerdictName:
    """The worst of what the rules say; what could not be judged is never a PASS."""
    statuses = {rule.status for rule in rules}
    if "block" in statuses:
        return "BLOCKED"
    if "error" in statuses or not rules:
        return "ERROR"
    if obstacles or "not_comparable" in statuses:
        return "NOT COMPARABLE"
    if "inconclusive" in statuses or run.selection != "all":
        return "INCONCLUSIVE"
    return "PASS with notes" if "note" in statuses or notes else "PASS"


def sum_up(verdict: Verdict, cases: int, touched: int) -> str:
    """The last line of the terminal and the first of the comment.

    Args:
        verdict: All of it but the sentence.
        cases: Cases of the golden set.
        touched: Cases whose trials are not the baseline's.
    """
    picked = {
        "BLOCKED": ("block",),
        "ERROR": ("error",),
        "NOT COMPARABLE": ("not_comparable",),
        "INCONCLUSIVE": ("inconclusive",),
        "PASS with notes": ("note",),
        "PASS": (),
    }[verdict.verdict]
    parts = list(dict.fromkeys(rule.sentence for rule in verdict.rules if rule.status in picked))
    if verdict.verdict in ("NOT COMPARABLE", "INCONCLUSIVE", "PASS with notes"):
        parts = list(dict.fromkeys([*verdict.notes, *parts]))
    counts = verdict.counts
    if verdict.verdict == "PASS":
        parts = [_pass_sentence(verdict, cases, touched)]
    more = f" (and {len(parts) - 2} more)" if len(parts) > 2 else ""
    tail = f" {counts.regressed} regressed, {counts.improved} improved of {count_of(cases, 'case')}."
    shown = counts.regressed or counts.improved
    settles = settling_sentence(verdict.settling)
    return f"{' '.join(parts[:2])}{more}{f' {settles}' if settles else ''}{tail if shown else ''}"


def _pass_sentence(verdict: Verdict, cases: int, touched: int) -> str:
    """What a green rests on: how much was run, and what is ruled out."""
    if touched == 0:
        return "Proven unchanged: nothing that any case depends on differs from the baseline."
    ran = f"{touched:,} of {count_of(cases, 'case')} touched."
    if touched < cases:
        ran = f"{ran[:-1]}, {cases - touched:,} proven unchanged."
    drops = [rule for rule in verdict.rules if rule.kind == "drop" and rule.touched and rule.delta is not None]
    if not drops:
        return f"{ran} Every limit holds; no quality grader judged a touched case."
    lowest = min(drops, key=lambda rule: rule.low or 0.0)
    ruled_out, _, _ = lowest.sentence.partition(":")
    estimate = f"{points(lowest.delta or 0.0)} [{points(lowest.low or 0.0)}, {points(lowest.high or 0.0)}]"
    return f"{ran} {ruled_out} for every grader; nearest to it is {lowest.grader} with {estimate}."
