"""What all renderers share: symbols, rows of the gate table, which cases to show, and what to do next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from evalkit.gate import CaseResult, RuleResult, Verdict
from evalkit.gate.verdict import ONLY_A_PART, AcceptedRegression
from evalkit.gate.words import amount, change, commit_of, count_of, interval, points, rule_name
from evalkit.quantities import format_money
from evalkit.text import excerpt

__all__ = [
    "NOTHING_JUDGED",
    "STATUS_WORDS",
    "SYMBOLS",
    "Row",
    "Step",
    "acceptance_text",
    "commit_of",
    "cut",
    "headline",
    "history_lines",
    "is_quiet",
    "leading_cases",
    "made",
    "next_steps",
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


NOTHING_JUDGED = "·"
"""Symbol of a rule that says neither good nor bad."""


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


@dataclass(frozen=True)
class Step:
    """Something to do next: what for, and the command line, empty where no command does it."""

    what: str
    command: str = ""


def row(rule: RuleResult, *, judged: bool = True) -> Row:
    """The cells of a rule; without a judgement, or with nothing to judge, there is no pass to show."""
    empty = rule.n == 0 and rule.baseline is None and rule.candidate is None
    unknown = rule.status == "pass" and (empty or not judged)
    rose = rule.status == "note" and rule.kind == "drop" and rule.delta is not None and rule.delta > 0
    better = rule.status == "pass" and rule.kind == "drop" and rule.touched > 0 and (rule.low or 0) > 0
    symbol = SYMBOLS["improved"] if better else SYMBOLS[rule.status]
    return Row(
        symbol="▴" if rose else NOTHING_JUDGED if unknown else symbol,
        name=rule_name(rule.id, rule.slice),
        baseline=amount(rule.baseline, rule.unit),
        candidate=amount(rule.candidate, rule.unit),
        change=_change(rule),
        limit=_limit(rule),
        status="nothing to judge" if unknown else STATUS_WORDS[rule.status],
    )


def _change(rule: RuleResult) -> str:
    if rule.unit == "share" and rule.delta is not None and rule.kind != "increase":
        if rule.touched == 0:
            return "unchanged"
        significant = rule.low is not None and rule.high is not None and (rule.low > 0 or rule.high < 0)
        mark = "" if significant else "~ "
        return f"{mark}{points(rule.delta)} {interval(rule.low, rule.high)}"
    if rule.delta is not None:
        includes_none = rule.low is not None and rule.high is not None and rule.low <= 1 <= rule.high
        return f"{'~ ' if includes_none else ''}{change(rule.delta)} {interval(rule.low, rule.high, 'ratio')}"
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
    """The notes that the sentence does not say already, and what of other runs the verdict stands on."""
    notes = [note for note in verdict.notes if note not in verdict.sentence]
    if verdict.history:
        notes.append(verdict.history)
    if pairs := max((rule.pairs for rule in verdict.rules), default=0):
        notes.append(
            f"Run side by side with a fresh baseline: {count_of(pairs, 'pair')} of trials, "
            f"{count_of(verdict.confirmation_calls, 'model call')} for {format_money(verdict.confirmation_microusd)}."
        )
    return notes


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
            where = f" ({item.evidence['where']})" if item.evidence.get("where") else ""
            faults.setdefault(f"{item.evidence['error']}{where}", []).append(item.grader)
        elif item.candidate is not None and item.candidate < 1:
            label = (item.label or "failed").replace("_", " ")
            rate = "" if item.candidate == 0 else f" ({item.candidate:.0%} of trials pass)"
            parts.append(f"{item.grader}: {label}{rate}")
    told = [f"{names[0]}: {fault}" if len(names) == 1 else fault for fault, names in faults.items()]
    accepted = [case.accepted] if case.accepted else []
    return excerpt(" · ".join([*accepted, *told, *parts]), 300) or "passes now"


def acceptance_text(item: AcceptedRegression) -> str:
    """An accepted regression in one line: what, by whom, until when, why, and what became of it."""
    state = {
        "used": f"accepted until {item.expires}",
        "expired": f"✖ accepted until {item.expires}, which is over",
        "void": f"not what was accepted: {item.why}",
        "refused": f"✖ nobody can accept it: {item.why}",
    }[item.state]
    size = f" ({count_of(len(item.cases), 'case')})" if item.subject.startswith("slice") else ""
    what = f"{item.subject}{size}, {', '.join(item.graders)}"
    return f"{what}: {state}; {item.owner}: {excerpt(item.reason, 200)} ({item.place})"


def history_lines(verdict: Verdict) -> list[str]:
    """What margins by history stand on: what the columns hold, and how many trials of either side."""
    found: dict[tuple[int, float], list[str]] = {}
    for rule in verdict.rules:
        if rule.history:
            found.setdefault((rule.trials, rule.history), []).append(row(rule).name)
    return [
        f"{', '.join(names)}: baseline is the recorded history, {recorded:g} trials of a case (median); "
        f"{count_of(trials, 'trial')} of the candidate were looked at"
        for (trials, recorded), names in found.items()
    ]


def cut(text: str, limit: int) -> str:
    """A text of at most so many characters, and a word on what was left out."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters; the rest is in the store)"


def made(verdict: Verdict) -> str:
    """How many trials stand behind the verdict, and how many of them are of an earlier run."""
    return f"{count_of(verdict.trials, 'trial')} ({verdict.reused:,} reused)"


def headline(verdict: Verdict) -> str:
    """What was compared with what."""
    golden = verdict.golden_set
    size = f"{golden.name}@{golden.version} · {count_of(golden.cases, 'case')}" if golden else ""
    if not verdict.baseline_run:
        return f"{size} · {commit_of(verdict.commit)}, no baseline `{verdict.baseline_name}`"
    return f"{size} · {commit_of(verdict.commit)} vs {verdict.baseline_name}@{commit_of(verdict.baseline_commit)}"


def next_steps(verdict: Verdict) -> list[Step]:
    """What to do about a verdict that is no pass, the first thing first; nothing where there is nothing to do."""
    if verdict.verdict in ("PASS", "PASS with notes") or verdict.became_baseline:
        return []
    whose = f" of commit {commit_of(verdict.commit)}" if verdict.commit else ""
    look = Step(f"look at the cases{whose}", _command("show", verdict.candidate_run))
    if verdict.verdict == "NOT COMPARABLE":
        new = "make a new baseline" if verdict.baseline_run else "make a baseline"
        first = Step(new, _command("run", verdict.workflow, "--set-baseline", verdict.baseline_name))
        return [first, look] if verdict.cases else [first]
    if verdict.verdict == "ERROR":
        again = "then run again: what finished is kept and not paid twice"
        return [look, Step(again, _command("run", verdict.workflow))]
    steps = [look] if verdict.verdict == "BLOCKED" else [*_more_evidence(verdict), look]
    if verdict.verdict == "BLOCKED" and len(verdict.changes) > 1 and verdict.counts.regressed:
        steps.append(Step("find out which change it is", _command("blame", verdict.candidate_run)))
    ids = ",".join(case.case_id for case in leading_cases(verdict)[1][:3])
    if ids:
        trials = str(max(5, _trials_per_case(verdict) + 2))
        steps.append(Step("run them again", _command("run", verdict.workflow, "--cases", ids, "--trials", trials)))
    return [*steps, *_accepting(verdict)]


def _accepting(verdict: Verdict) -> list[Step]:
    """How to accept what got worse on purpose; nothing where nobody can."""
    if verdict.verdict != "BLOCKED" or any(
        rule.status == "block" and rule.kind != "drop" and rule.id != "expired acceptances" for rule in verdict.rules
    ):
        return []
    worse = [case for case in verdict.cases if case.status == "regressed" and not case.critical and not case.accepted]
    ids = ",".join(case.case_id for case in worse[:3])
    if not ids:
        return []
    accept = _command("accept", verdict.candidate_run, "--case", ids)
    return [Step("if it is meant, accept it for a time", f'{accept} --reason "…" --owner "…"')]


def _more_evidence(verdict: Verdict) -> list[Step]:
    """Ways out of INCONCLUSIVE. More trials say more only where trials of a case can differ."""
    if any(note.startswith(ONLY_A_PART) for note in verdict.notes):
        return [Step("run the whole golden set", _command("run", verdict.workflow))]
    accept = _command("baseline", "set", verdict.baseline_name, verdict.candidate_run)
    otherwise = Step("or set a wider margin, or accept it", f'{accept} --reason "…"')
    further = sum(verdict.next_trials.values())
    if further:
        what = f"get more evidence: it goes on by itself with {count_of(further, 'more trial')} where answers vary"
        return [Step(what, _command("run", verdict.workflow)), otherwise]
    unsettled = [rule for rule in verdict.rules if rule.status == "inconclusive"]
    if unsettled and all(rule.history for rule in unsettled):
        return [Step("get more evidence: more cases in the golden set, or more runs of the baseline"), otherwise]
    trials = _trials_per_case(verdict)
    differ = any(item.candidate not in (None, 0, 1) for case in verdict.cases for item in case.graders)
    if trials == 1 or differ:
        more = _command("run", verdict.workflow, "--trials", str(max(3, trials + 2)))
        evidence = Step("get more evidence: more trials, or more cases in the golden set", more)
    else:
        evidence = Step("get more evidence: more cases in the golden set")
    return [evidence, otherwise]


def _trials_per_case(verdict: Verdict) -> int:
    """Trials made of each case of a whole golden set, rounded up."""
    cases = verdict.golden_set.cases if verdict.golden_set else 0
    return max(1, -(-verdict.trials // max(1, cases)))


def _command(*words: str) -> str:
    """A command line to copy: an id with blanks or signs of the shell in it stays one word."""
    return shlex.join(["evalkit", *words])
