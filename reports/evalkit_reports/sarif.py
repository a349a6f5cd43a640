"""SARIF 2.1.0 for code scanning: gate rules are rules, the cases behind them results on the changed lines.

Format: OASIS, Static Analysis Results Interchange Format 2.1.0. GitHub takes at most 25,000 results of a run and shows
5,000. It tells results apart by ``partialFingerprints``, which here depend on workflow, rule and case only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from evalkit._version import __version__
from evalkit.gate import RuleResult, Verdict
from evalkit.gate.locations import LEVELS, locations
from evalkit.gate.report import Report
from evalkit.gate.verdict import worst
from evalkit.text import excerpt, log_safe, scrub
from evalkit_reports.common import reason, row

__all__ = ["render"]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_MOST = 5_000
_VERDICT = "verdict"
"""Id of the rule that stands for the verdict itself, where no rule of the gate tells why it is no pass."""


def render(report: Report) -> str:
    """The report for code scanning. A verdict that is no pass has at least one result; a pass has none."""
    runs = [_run(report, verdict) for verdict in report.ordered] or [_nothing_judged()]
    text = json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": runs}, ensure_ascii=True, indent=1)
    return text.replace("##[", "\\u0023#[") + "\n"


def _nothing_judged() -> dict[str, Any]:
    return {
        "tool": _tool([_verdict_rule()]),
        "invocations": [{"executionSuccessful": False, "exitCodeDescription": worst([])}],
        "results": [{"ruleId": _VERDICT, "ruleIndex": 0, "level": "error", "message": {"text": "Nothing was judged."}}],
    }


def _run(report: Report, verdict: Verdict) -> dict[str, Any]:
    deciding = [rule for rule in verdict.rules if rule.status in LEVELS]
    rules = {rule.id: _rule(rule) for rule in verdict.rules}
    if not deciding and verdict.verdict not in ("PASS", "PASS with notes"):
        rules[_VERDICT] = _verdict_rule()
    order = {rule_id: number for number, rule_id in enumerate(rules)}
    found = list(_results(report, verdict, deciding, order))
    run: dict[str, Any] = {
        "tool": _tool(list(rules.values())),
        "automationDetails": {"id": f"evalkit/{_text(verdict.workflow, 200)}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(verdict, len(found))],
        "results": found[:_MOST],
        "properties": {"verdict": verdict.verdict, "run": _text(verdict.candidate_run, 100)},
    }
    return run


def _tool(rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {"driver": {"name": "evalkit", "semanticVersion": __version__, "rules": rules}}


def _invocation(verdict: Verdict, results: int) -> dict[str, Any]:
    """Whether judging worked: ERROR and NOT COMPARABLE say nothing about the change."""
    notes = [{"level": "note", "message": {"text": _text(note, 1_000)}} for note in verdict.notes[:20]]
    if results > _MOST:
        left_out = f"{results - _MOST:,} more results are not listed; the report has them"
        notes.append({"level": "warning", "message": {"text": left_out}})
    invocation: dict[str, Any] = {
        "executionSuccessful": verdict.verdict not in ("ERROR", "NOT COMPARABLE"),
        "exitCode": int(verdict.exit_code),
        "exitCodeDescription": verdict.verdict,
    }
    return invocation | ({"toolExecutionNotifications": notes} if notes else {})


def _rule(rule: RuleResult) -> dict[str, Any]:
    name = _text(rule.id, 200)
    limit = _text(row(rule).limit, 200)
    asked = f"What the gate asks of {name}: {limit}." if limit else f"The gate looks at {name}."
    return _described(name, f"Gate rule {name}", asked) | {"defaultConfiguration": {"level": "error"}}


def _verdict_rule() -> dict[str, Any]:
    return _described(_VERDICT, "The verdict", "The verdict on the whole change, where no single rule tells of it.")


def _described(name: str, short: str, full: str) -> dict[str, Any]:
    """A rule with all the texts that GitHub's code scanning asks for."""
    return {
        "id": name,
        "shortDescription": {"text": short},
        "fullDescription": {"text": full},
        "help": {"text": f"{full} The report shows the cases; so does evalkit show RUN --blocking."},
    }


def _results(
    report: Report, verdict: Verdict, deciding: list[RuleResult], order: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """A result for each case behind a rule that is broken, and for each other rule that decides; blocks first."""
    places = _places(report, verdict)
    cases = {case.case_id: case for case in verdict.cases}
    if _VERDICT in order and not deciding:
        yield _result(verdict, _VERDICT, order[_VERDICT], "", "error", verdict.sentence, places)
    for rule in sorted(deciding, key=lambda rule: rule.status != "block"):
        level = LEVELS[rule.status]
        named = rule.cases if rule.status in ("block", "error") else ()
        if not named:
            yield _result(verdict, rule.id, order[rule.id], "", level, rule.sentence, places)
        for case_id in named:
            case = cases.get(case_id)
            told = f"case {excerpt(case_id, 200)}: {reason(case) if case else 'see the report'}. {rule.sentence}"
            yield _result(verdict, rule.id, order[rule.id], case_id, level, told, places)


def _result(
    verdict: Verdict, rule_id: str, index: int, case_id: str, level: str, told: str, places: list[dict[str, Any]]
) -> dict[str, Any]:
    identity = json.dumps([verdict.workflow, rule_id, case_id])
    return {
        "ruleId": _text(rule_id, 200),
        "ruleIndex": index,
        "level": level,
        "message": {"text": _text(told, 1_000) or "(no text)"},
        "locations": places[:1],
        "relatedLocations": places[1:4],
        "partialFingerprints": {"evalkitCase/v1": hashlib.sha256(identity.encode()).hexdigest()},
    }


def _places(report: Report, verdict: Verdict) -> list[dict[str, Any]]:
    """The changed lines; where no file changed, the project's own file, since code scanning shows nothing without."""
    found = locations(verdict.changes, source_root=report.source_root, folder=report.folder)
    root = f"{report.source_root}/" if report.source_root else ""
    lines = [(place.path, place.line) for place in found] or [(f"{root}evalkit.yaml", 1)]
    return [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": quote(scrub(path)[0]), "uriBaseId": "%SRCROOT%"},
                "region": {"startLine": line},
            }
        }
        for path, line in lines
    ]


def _text(text: str, limit: int) -> str:
    return log_safe(excerpt(text, limit))
