"""Rules of the gate and of the canary as YAML says them: units, defaults and names."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from evalkit.workflow.gates import CanarySpec, GateRule, GateSpec


def rule(**keys: Any) -> GateRule:
    return GateRule.model_validate({"grader": "cost", **keys})


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("80%", 0.8),
        (0.8, 0.8),
        ("8s", 8.0),
        ("250ms", 0.25),
        ("2min", 120.0),
        ("$0.05", 0.05),
        (-1, -1.0),
        ("5pt", 0.05),
    ],
)
def test_a_limit_is_in_the_unit_of_the_score(written: Any, value: float) -> None:
    assert rule(max=written).max == pytest.approx(value)
    assert rule(min=written).min == pytest.approx(value)


@pytest.mark.parametrize("written", ["80", "much", "8 parsecs", None, True, [], "$"])
def test_what_is_no_limit_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        rule(max=written)


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"max_drop": "5pt"}, "cost.pass_rate.drop"),
        ({"metric": "mean", "max_increase": "10%"}, "cost.mean.increase"),
        ({"metric": "p95", "max": "8s"}, "cost.p95.limit"),
        ({"slice": "locale=de-DE", "min": "80%"}, "cost.pass_rate[locale=de-DE].limit"),
        ({"id": "mine", "min": 0}, "mine"),
    ],
)
def test_a_rule_has_a_name(keys: dict[str, Any], name: str) -> None:
    assert rule(**keys).name == name


def test_zero_is_a_limit() -> None:
    assert rule(max=0).max == 0.0
    assert rule(max_drop="0pt").max_drop == 0.0


def test_the_short_keys_of_a_gate() -> None:
    gate = GateSpec.model_validate({"margin": "3pt", "critical": None, "cost": "+10%", "p95": "8s"})
    assert (gate.margin, gate.cost) == pytest.approx((0.03, 0.1))
    assert (gate.critical, gate.p95) == (None, 8_000_000)
    assert (gate.min_cases, gate.min_slice, gate.on_golden_change) == (20, 10, "not_comparable")


@pytest.mark.parametrize(
    "keys",
    [{"alpha": 0}, {"alpha": 0.5}, {"beta": -0.1}, {"critical": -1}, {"min_cases": 0}, {"on_golden_change": "skip"}],
)
def test_a_gate_that_cannot_judge_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GateSpec.model_validate(keys)


def test_commands_of_a_canary_are_lists_of_arguments() -> None:
    canary = CanarySpec.model_validate({"share": "1%", "on_rollback": ["kubectl", "rollout", "undo"]})
    assert (canary.share, canary.on_rollback, canary.on_promote) == (0.01, ("kubectl", "rollout", "undo"), ())
    with pytest.raises(ValidationError):
        CanarySpec.model_validate({"on_rollback": "kubectl rollout undo"})


@pytest.mark.parametrize("keys", [{"share": 0}, {"share": "100%"}, {"promote_ratio": 1}, {"max_failure_ratio": 0.5}])
def test_a_canary_that_cannot_decide_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CanarySpec.model_validate(keys)
