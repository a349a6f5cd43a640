"""SARIF for code scanning: its shape is that of the standard, and a verdict that is no pass is never empty."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from jsonschema import Draft202012Validator

from evalkit.gate.report import Report
from evalkit_reports.sarif import render

from .comment_shapes import SHAPES, regressions
from .hostile import PAYLOADS, poisoned

MESSAGE = {"type": "object", "properties": {"text": {"type": "string", "minLength": 1}}, "required": ["text"],
           "additionalProperties": False}  # fmt: skip
LEVEL = {"enum": ["none", "note", "warning", "error"]}


def closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    """An object with these keys and no other."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def each(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


REGION = closed(("startLine",), startLine={"type": "integer", "minimum": 1})
ARTIFACT = closed(uri={"type": "string", "pattern": r"^[A-Za-z0-9._~!$&'()*+,;=@%/-]+$"}, uriBaseId={"type": "string"})
LOCATION = closed(physicalLocation=closed(("artifactLocation",), artifactLocation=ARTIFACT, region=REGION))
RULE = closed(
    (
        "id",
        "shortDescription",
        "fullDescription",
        "help",
    ),  # the last three are asked for by GitHub, not by the standard
    id={"type": "string"},
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    defaultConfiguration=closed(level=LEVEL),
)
DRIVER = closed(
    ("name",), name={"type": "string"}, semanticVersion={"type": "string"}, rules=each(RULE, uniqueItems=True)
)
INVOCATION = closed(
    ("executionSuccessful",),
    executionSuccessful={"type": "boolean"},
    exitCode={"type": "integer"},
    exitCodeDescription={"type": "string"},
    toolExecutionNotifications=each(closed(("message",), level=LEVEL, message=MESSAGE)),
)
RESULT = closed(
    ("message",),
    ruleId={"type": "string"},
    ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL,
    message=MESSAGE,
    locations=each(LOCATION),
    relatedLocations=each(LOCATION, uniqueItems=True),
    partialFingerprints={"type": "object", "additionalProperties": {"type": "string"}},
)
RUN = closed(
    ("tool",),
    tool=closed(("driver",), driver=DRIVER),
    automationDetails=closed(id={"type": "string"}),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    invocations=each(INVOCATION),
    results=each(RESULT),
    properties={"type": "object"},
)
SCHEMA = closed(
    ("version", "runs"), **{"$schema": {"type": "string", "format": "uri"}}, version={"const": "2.1.0"}, runs=each(RUN)
)
"""The part of the standard's schema (OASIS, sarif-schema-2.1.0.json) that is used, closed against anything else."""


def parsed(report: Report) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(render(report))
    Draft202012Validator(SCHEMA).validate(data)
    for run in data["runs"]:
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        for result in run["results"]:
            assert rules[result["ruleIndex"]] == result["ruleId"]
    return data


@pytest.mark.parametrize("name", SHAPES)
def test_the_shape_is_that_of_the_standard_and_a_pass_is_empty(name: str) -> None:
    report = SHAPES[name]()
    data = parsed(report)
    verdicts = [verdict.verdict for verdict in report.ordered] or ["ERROR"]
    for run, verdict in zip(data["runs"], verdicts, strict=True):
        assert bool(run["results"]) is (verdict not in ("PASS", "PASS with notes"))
        assert run["invocations"][0]["executionSuccessful"] is (verdict not in ("ERROR", "NOT COMPARABLE"))


@pytest.mark.parametrize("name", ["BLOCKED", "INCONCLUSIVE", "ERROR", "NOT COMPARABLE"])
def test_a_verdict_without_a_rule_that_says_why_has_a_result(name: Any) -> None:
    verdict = replace(SHAPES["pass"]().verdicts[0], verdict=name, sentence="Only a part was run.")
    results = parsed(Report((verdict,)))["runs"][0]["results"]
    assert [(item["ruleId"], item["level"]) for item in results] == [("verdict", "error")]


def test_the_cases_behind_the_block_stand_on_the_changed_line() -> None:
    results = parsed(SHAPES["blocked-critical"]())["runs"][0]["results"]
    assert [re.match(r"case (\S+):", item["message"]["text"])[1] for item in results] == [  # type: ignore[index]
        f"support-{number:04d}" for number in range(1, 6)
    ]
    place = results[0]["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("evals/prompts/system.md", 13)
    assert {item["level"] for item in results} == {"error"}


def test_without_a_changed_file_it_stands_on_the_projects_own() -> None:
    result = parsed(SHAPES["drift"]())["runs"][0]["results"][0]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "evalkit.yaml"


def test_fingerprints_are_those_of_the_case_whatever_run_line_and_text() -> None:
    def prints(report: Report) -> list[str]:
        return [item["partialFingerprints"]["evalkitCase/v1"] for item in parsed(report)["runs"][0]["results"]]

    report = SHAPES["blocked-critical"]()
    verdict = report.verdicts[0]
    other = replace(verdict, id="x", candidate_run="y", sentence="z", changes=(), cases=verdict.cases[::-1])
    first = prints(report)
    assert prints(replace(report, verdicts=(other,))) == first
    assert len(set(first)) == len(first)
    assert not set(first) & set(prints(replace(report, verdicts=(replace(verdict, workflow="other"),))))


def test_there_are_no_more_than_are_shown_and_it_says_how_many_are_left_out() -> None:
    run = parsed(Report((regressions(5_100, 3),)))["runs"][0]
    assert len(run["results"]) == 5_000
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert notes[0]["message"]["text"] == "100 more results are not listed; the report has them"


@pytest.mark.parametrize("name", PAYLOADS)
def test_hostile_text_stays_text(name: str) -> None:
    report = SHAPES["blocked-critical"]()
    report = replace(report, verdicts=tuple(poisoned(verdict, PAYLOADS[name]) for verdict in report.verdicts))
    text = render(report)
    assert text.isascii()
    assert "##[" not in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
    for run in parsed(report)["runs"]:
        for result in run["results"]:
            for place in result["locations"]:
                assert ".." not in unquote(place["physicalLocation"]["artifactLocation"]["uri"]).split("/")


def test_two_workflows_are_two_categories() -> None:
    runs = parsed(SHAPES["several-workflows"]())["runs"]
    assert len({run["automationDetails"]["id"] for run in runs}) == len(runs) == 3
