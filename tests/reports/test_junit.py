"""JUnit XML: it parses whatever is in it, and it is green exactly when the verdict is a pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.gate import Verdict

from .hostile import PAYLOADS, poisoned, rendered

KINDS = ["PASS", "BLOCKED", "INCONCLUSIVE", "NOT COMPARABLE", "ERROR"]
OUTCOMES = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}


def suites(*verdicts: Verdict) -> ET.Element:
    """The parsed report, by way of the bytes that are written."""
    return ET.fromstring(rendered("junit", *verdicts).encode("utf-8"))  # noqa: S314 - written by the code under test


def expected(verdict: Verdict) -> dict[str, int]:
    """The counts that follow from the verdict."""
    blocked = {case_id for rule in verdict.blocking for case_id in rule.cases}
    listed = [case for case in verdict.cases if case.status != "improved"]
    broken = [case for case in listed if case.status == "error"]
    status = [rule.status for rule in verdict.rules]
    unclear = sum(status.count(name) for name in ("error", "inconclusive", "not_comparable"))
    return {
        "tests": 1 + len(verdict.rules) + len(listed),
        "failures": (verdict.verdict == "BLOCKED")
        + status.count("block")
        + sum(case.case_id in blocked and case.status != "error" for case in listed),
        "errors": (verdict.verdict in ("ERROR", "INCONCLUSIVE", "NOT COMPARABLE")) + unclear + len(broken),
        "skipped": 0,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_counts_are_those_of_the_verdict_and_of_the_elements(stored: Mapping[str, Verdict], kind: str) -> None:
    root = suites(stored[kind])
    for name, count in expected(stored[kind]).items():
        assert root[0].get(name) == str(count), name
        assert name == "skipped" or root.get(name) == str(count), name
        assert len(root.findall(f".//{OUTCOMES[name]}")) == count, name


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_green_exactly_when_the_verdict_is_a_pass(stored: Mapping[str, Verdict], kind: str) -> None:
    bare = replace(stored[kind], rules=(), cases=())
    for verdict in (stored[kind], bare):
        root = suites(verdict)
        assert (root.find(".//failure") is None and root.find(".//error") is None) is (kind == "PASS")
        assert root.find(".//property[@name='verdict']").get("value") == kind  # type: ignore[union-attr]


def test_a_pass_with_notes_is_green(stored: Mapping[str, Verdict]) -> None:
    root = suites(replace(stored["PASS"], verdict="PASS with notes"))
    assert (root.get("failures"), root.get("errors")) == ("0", "0")


def test_nothing_judged_is_an_error() -> None:
    root = suites()
    assert (root.get("tests"), root.get("errors")) == ("1", "1")


def test_the_totals_are_those_of_all_workflows(stored: Mapping[str, Verdict]) -> None:
    root = suites(*stored.values())
    assert len(root) == len(stored)
    for name in ("tests", "failures", "errors"):
        assert root.get(name) == str(sum(expected(verdict)[name] for verdict in stored.values()))


@pytest.mark.parametrize("kind", ["BLOCKED", "ERROR"])
@pytest.mark.parametrize("name", PAYLOADS)
def test_hostile_text_keeps_the_shape_and_stays_text(stored: Mapping[str, Verdict], kind: str, name: str) -> None:
    clean, hostile = (suites(poisoned(stored[kind], text)) for text in ("plain", PAYLOADS[name]))
    assert [item.tag for item in hostile.iter()] == [item.tag for item in clean.iter()]
    for attribute in OUTCOMES:
        assert hostile.get(attribute) == clean.get(attribute)


@pytest.mark.parametrize("text", ["".join(map(chr, range(0x20))) + "\x7f\x85\ufffe\uffff", "\ud800\udfff", "]]>&<>"])
def test_characters_that_xml_cannot_hold_are_shown_as_labels(stored: Mapping[str, Verdict], text: str) -> None:
    root = suites(poisoned(stored["BLOCKED"], f"before{text}after"))
    names = [test.get("name") or "" for test in root.iter("testcase")]
    assert sum("before" in name and "after" in name for name in names) == len(names) - 1


def test_the_cases_behind_a_block_fail_by_name(stored: Mapping[str, Verdict]) -> None:
    failed = {
        test.get("name") for test in suites(stored["BLOCKED"]).iter("testcase") if test.find("failure") is not None
    }
    assert {"verdict", "critical cases", "address-005", "address-011"} <= failed


# What Jenkins takes (junit-10.xsd of its xUnit plugin): by element, its attributes and what may stand in it.
SCHEMA: dict[str, tuple[set[str], set[str]]] = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id", "package", "file"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name", "classname", "time"}, {"skipped", "error", "failure", "system-out", "system-err"}),
    "failure": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "system-out": (set(), set()),
}


@pytest.mark.parametrize("text", ["plain", *PAYLOADS.values()], ids=["plain", *PAYLOADS])
def test_it_keeps_to_the_schema_of_jenkins(stored: Mapping[str, Verdict], text: str) -> None:
    root = suites(*(poisoned(verdict, text) for verdict in stored.values()))
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = SCHEMA[element.tag]
        assert set(element.attrib) <= attributes, element.tag
        assert {child.tag for child in element} <= children, element.tag
        for required in {"testsuite": ("name", "tests", "failures", "errors"), "testcase": ("name",)}.get(
            element.tag, ()
        ):
            assert element.get(required), (element.tag, required)


def test_a_case_of_two_workflows_is_two_tests(stored: Mapping[str, Verdict]) -> None:
    """GitLab and Jenkins tell tests apart by class and name."""
    root = suites(stored["BLOCKED"], replace(stored["BLOCKED"], workflow="other"))
    keys = [(test.get("classname"), test.get("name")) for test in root.iter("testcase")]
    assert len(set(keys)) == len(keys)


@given(st.text(max_size=40))
def test_any_text_can_be_parsed_again(text: str) -> None:
    verdict = Verdict("id", text or "w", "BLOCKED", text, text, text, text, 0, "0")
    root = ET.fromstring(rendered("junit", verdict).encode("utf-8", "surrogatepass"))  # noqa: S314 - our own text
    assert root[0].find(".//failure") is not None
