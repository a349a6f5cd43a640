"""The verdicts as JSON: strict JSON, the same keys for every verdict, and nothing of the verdict lost."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from evalkit import codec
from evalkit.gate import CaseResult, RuleResult, Verdict
from evalkit.gate.verdict import VERDICTS

from .hostile import PAYLOADS, poisoned, rendered

KINDS = ["PASS", "BLOCKED", "INCONCLUSIVE", "NOT COMPARABLE", "ERROR"]


def strict(text: str) -> Any:
    """The value of a text that is JSON and nothing beyond it."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("kind", KINDS)
def test_the_envelope_and_the_records_have_the_published_keys(stored: Mapping[str, Verdict], kind: str) -> None:
    data = strict(rendered("json", stored[kind], report_path="reports/out.html"))
    assert list(data) == ["schema", "evalkit", "verdict", "exit_code", "simulated", "report", "workflows"]
    assert (data["schema"], data["verdict"], data["report"]) == ("evalkit.report/1", kind, "reports/out.html")
    assert (data["exit_code"], data["simulated"]) == (int(VERDICTS[stored[kind].verdict]), True)
    verdict = data["workflows"][0]
    assert set(verdict) == {item.name for item in fields(Verdict)}
    assert all(set(rule) == {item.name for item in fields(RuleResult)} for rule in verdict["rules"])
    assert all(set(case) == {item.name for item in fields(CaseResult)} for case in verdict["cases"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["terminal", "invisible", "emoji", "commands", "formula"])
def test_a_program_reads_back_the_verdict_as_it_is(stored: Mapping[str, Verdict], kind: str, name: str) -> None:
    verdict = poisoned(finite(stored[kind]), PAYLOADS[name])
    data = strict(rendered("json", verdict))
    assert codec.decode(Verdict, data["workflows"][0]) == verdict


def finite(verdict: Verdict) -> Verdict:
    """The verdict without open ends of intervals."""
    rules = tuple(
        replace(rule, high=None) if rule.high is not None and math.isinf(rule.high) else rule for rule in verdict.rules
    )
    return replace(verdict, rules=rules)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_not_finite_is_null(stored: Mapping[str, Verdict], value: float) -> None:
    rules = tuple(replace(rule, high=value, p=value) for rule in stored["BLOCKED"].rules)
    data = strict(rendered("json", replace(stored["BLOCKED"], rules=rules)))
    assert {rule["high"] for rule in data["workflows"][0]["rules"]} == {None}


@pytest.mark.parametrize("name", PAYLOADS)
def test_it_is_plain_ascii_and_commands_nothing(stored: Mapping[str, Verdict], name: str) -> None:
    clean = PAYLOADS[name].encode("utf-8", "replace").decode()
    text = rendered("json", poisoned(stored["BLOCKED"], clean))
    assert text.isascii()
    assert "\x1b" not in text
    assert "##[" not in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
    assert strict(text)["workflows"][0]["baseline_name"] == clean


def test_the_worst_verdict_stands_first_and_decides_the_exit_code(stored: Mapping[str, Verdict]) -> None:
    data = strict(rendered("json", *stored.values()))
    order = list(VERDICTS)
    found = [verdict["verdict"] for verdict in data["workflows"]]
    assert found == sorted(found, key=lambda kind: -order.index(kind))
    assert (data["verdict"], data["exit_code"]) == ("BLOCKED", 1)
    assert (strict(rendered("json"))["verdict"], strict(rendered("json"))["exit_code"]) == ("ERROR", 3)
