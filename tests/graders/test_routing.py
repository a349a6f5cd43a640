"""Whether a trial was escalated where its case expects it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evalkit.records import RouteStep
from evalkit_graders.routing import Routing
from evalkit_graders.verification import routing_mmlu
from evalkit_graders.verification.routing_mmlu import LARGE, SMALL, VERIFICATION

from .made import case, score, trace

CHEAP = RouteStep("cheap", "default", "small")
UP = RouteStep("strong", "unsure", "large", "cheap")
SPARE = RouteStep("strong", "fallback timeout", "large", "cheap")
DIRECT = RouteStep("strong", "legal", "large")


@pytest.mark.parametrize(
    ("route", "escalated", "went"),
    [
        ((CHEAP,), (), False),
        ((CHEAP, UP), (), True),
        ((CHEAP, SPARE), (), False),
        ((DIRECT,), (), False),
        ((DIRECT,), ("strong",), True),
        ((DIRECT,), ("large",), True),
        ((CHEAP, SPARE), ("strong",), False),
        ((CHEAP,), ("strong",), False),
    ],
)
@pytest.mark.parametrize("wanted", ["yes", "No"])
def test_the_route_is_held_against_what_the_case_expects(
    route: tuple[RouteStep, ...], escalated: tuple[str, ...], went: bool, wanted: str
) -> None:
    asked = replace(case(), slices={"escalate": wanted})
    found = score(Routing(escalated=escalated), asked, trace(route=route))
    right = went == (wanted == "yes")
    label = "" if right else "needless_escalation" if went else "missed_escalation"
    assert (found.value, found.passed, found.label) == (float(right), right, label)
    assert found.severity == ("none" if right else "minor" if went else "major")
    assert found.evidence["expected"] is (wanted == "yes")
    assert len(found.evidence["route"]) == len(route)


@pytest.mark.parametrize(("risk", "passed"), [("low", True), ("high", False)])
def test_risk_decides_where_the_slice_does_not(risk: Any, passed: bool) -> None:
    kind = Routing(risks=("high", "critical"))
    assert score(kind, replace(case(), risk=risk), trace(route=(CHEAP,))).passed is passed
    assert score(kind, replace(case(), risk=risk, slices={"escalate": "yes"}), trace(route=(CHEAP,))).passed is False


def test_it_says_nothing_where_nothing_is_expected_or_known_and_refuses_other_words() -> None:
    assert score(Routing(), case(), trace(route=(CHEAP,))).status == "not_applicable"
    assert score(Routing(), replace(case(), slices={"escalate": "yes"}), trace()).status == "not_applicable"
    assert score(Routing(), replace(case(), slices={"escalate": "maybe"}), trace(route=(CHEAP,))).status == "error"
    assert score(Routing(key="up"), replace(case(), slices={"up": "no"}), trace(route=(CHEAP,))).passed is True


def test_the_recorded_table_is_measured_as_it_is(tmp_path: Path) -> None:
    right = {"a": (1, 1), "b": (0, 1), "c": (1, 0), "d": (0, 0)}
    rows = [
        {"pid": pid, "model": model, "quality": float(flags[index]), "cost_usd_est": (0.1, 1.0)[index]}
        for pid, flags in right.items()
        for index, model in enumerate((SMALL, LARGE))
    ]
    rows.append({"pid": "e", "model": SMALL, "quality": 1.0, "cost_usd_est": 0.1})
    pd.DataFrame(rows).to_parquet(tmp_path / routing_mmlu.FILE)
    assert VERIFICATION.missing(tmp_path) == []
    found = {figure.measure: figure for figure in VERIFICATION.measure(tmp_path)}
    values = {measure: figure.value for measure, figure in found.items()}
    assert values == pytest.approx(
        {
            "Mixtral: share right": 0.5,
            "gpt-4-1106: share right": 0.5,
            "oracle: share right": 0.75,
            "oracle: cost against gpt-4-1106 always": 1.3 / 4 - 1,
            "perfect cascade: cost against gpt-4-1106 always": 2.4 / 4 - 1,
            "perfect cascade: share escalated": 0.5,
            "gpt-4-1106 always: needless escalations": 0.75,
            "Mixtral always: missed escalations": 0.25,
            "gain of gpt-4-1106 over Mixtral": 0.0,
        }
    )
    assert {figure.n for figure in found.values()} == {4}
    assert all(figure.low <= figure.value <= figure.high for figure in found.values())
