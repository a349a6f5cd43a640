"""JUnit XML: one suite a workflow; one test for its verdict, one a gate rule and one a case that changed."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from evalkit.gate import CaseResult, RuleResult, Verdict
from evalkit.gate.report import Report
from evalkit.text import excerpt, visible
from evalkit_reports.common import reason

__all__ = ["render"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> str:
    """The report for CI servers that show test results."""
    root = ET.Element("testsuites", name="evalkit")
    suites = [_suite(verdict) for verdict in report.ordered] or [_nothing_judged()]
    for name in ("tests", "failures", "errors"):  # the schema of Jenkins knows no `skipped` here
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    root.extend(suites)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _nothing_judged() -> ET.Element:
    test = ET.Element("testcase", classname="evalkit.gate", name="verdict")
    _outcome(test, "error", "No workflow was judged.", "No workflow was judged.")
    return _counted("evalkit", [test])


def _suite(verdict: Verdict) -> ET.Element:
    blocking = {case_id for rule in verdict.blocking for case_id in rule.cases}
    tests = [_verdict(verdict), *(_rule(rule, verdict) for rule in verdict.rules)]
    listed = (case for case in verdict.cases if case.status != "improved")
    tests += [_case(case, case.case_id in blocking, _clean(verdict.workflow)) for case in listed]
    suite = _counted(f"evalkit.{_clean(verdict.workflow)}", tests)
    properties = ET.Element("properties")
    for name, value in (
        ("verdict", verdict.verdict),
        ("sentence", verdict.sentence),
        ("candidate_run", verdict.candidate_run),
        ("baseline_run", verdict.baseline_run),
        ("simulated", str(verdict.simulated).lower()),
    ):
        ET.SubElement(properties, "property", name=name, value=_clean(value))
    suite.insert(0, properties)
    return suite


def _counted(name: str, tests: list[ET.Element]) -> ET.Element:
    suite = ET.Element("testsuite", name=name, tests=str(len(tests)))
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(test.find(kind) is not None for test in tests)))
    suite.extend(tests)
    return suite


def _verdict(verdict: Verdict) -> ET.Element:
    """Some verdicts have no rule that fails: a part of the golden set, nothing to compare with."""
    test = ET.Element("testcase", classname=f"{_clean(verdict.workflow)}.gate", name="verdict")
    told = f"{verdict.verdict}: {verdict.sentence}"
    if verdict.verdict == "BLOCKED":
        _outcome(test, "failure", told, told)
    elif verdict.verdict in ("PASS", "PASS with notes"):
        ET.SubElement(test, "system-out").text = _clean(told)
    else:
        _outcome(test, "error", told, told)
    return test


def _rule(rule: RuleResult, verdict: Verdict) -> ET.Element:
    test = ET.Element("testcase", classname=f"{_clean(verdict.workflow)}.gate", name=_clean(rule.id))
    if rule.status == "block":
        _outcome(test, "failure", rule.sentence, "\n".join([rule.sentence, *rule.cases]))
    elif rule.status in ("error", "not_comparable", "inconclusive"):
        _outcome(test, "error", rule.sentence, rule.sentence)
    else:
        ET.SubElement(test, "system-out").text = _clean(rule.sentence)
    return test


def _case(case: CaseResult, blocking: bool, workflow: str) -> ET.Element:
    """A case by its workflow: GitLab and Jenkins take tests with the same class and name for the same one."""
    test = ET.Element("testcase", classname=f"{workflow}.cases", name=_clean(case.case_id))
    detail = "\n".join(
        [
            f"{case.status}: {reason(case)}",
            f"asked: {excerpt(case.question, 500)}",
            f"before: {excerpt(' '.join([*case.baseline_calls, case.baseline_answer]), 1000)}",
            f"now: {excerpt(' '.join([*case.candidate_calls, case.candidate_answer]), 1000)}",
        ]
    )
    if case.status == "error":
        _outcome(test, "error", reason(case), detail)
    elif blocking:
        _outcome(test, "failure", reason(case), detail)
    else:
        ET.SubElement(test, "system-out").text = _clean(detail)
    return test


def _outcome(test: ET.Element, kind: str, message: str, detail: str) -> None:
    element = ET.SubElement(test, kind, message=_clean(excerpt(message, 300)))
    element.text = _clean(detail)


def _clean(text: str) -> str:
    """Visible text without the characters that XML 1.0 cannot hold."""
    return _NOT_XML.sub("�", visible(text))
