"""The rules of the gate and of the canary as YAML says them: what is understood, what is refused, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evalkit.configfile import FileModel, parse, read_yaml
from evalkit.errors import ConfigError
from evalkit.gate.rules import expand_rules
from evalkit.records import GraderRef
from evalkit.workflow.gates import CanarySpec, GateRule, GateSpec


def read(model: type[FileModel], text: str, folder: Path) -> Any:
    file = folder / "gate.yaml"
    file.write_text(text, encoding="utf-8")
    return parse(model, read_yaml(file))


def refused(model: type[FileModel], text: str, folder: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(model, text, folder)
    assert caught.value.file == str(folder / "gate.yaml")
    assert caught.value.exit_code == 10
    return caught.value


# ── the gate ────────────────────────────────────────────────────────────────────────────


def test_an_empty_gate_has_the_defaults_of_the_design() -> None:
    spec = GateSpec()
    assert (spec.margin, spec.alpha, spec.beta, spec.critical) == (0.05, 0.05, 0.10, 0)
    assert (spec.min_cases, spec.min_slice, spec.on_golden_change) == (20, 10, "not_comparable")
    assert (spec.cost, spec.p95, spec.rules) == (None, None, ())


def test_a_full_gate_is_understood(tmp_path: Path) -> None:
    text = """
margin: 2pt
alpha: 0.01
beta: 0.2
critical: 3
cost: +10%
p95: 2500ms
min_cases: 50
min_slice: 5
on_golden_change: common_cases
rules:
  - {grader: answer, slice: team=a=b, max_drop: 3 points}
  - {id: dear, grader: cost, metric: p95, max: $0.05}
  - {grader: latency, metric: mean, max_increase: 20%}
  - {grader: refusal, min: 99.5%}
"""
    spec = read(GateSpec, text, tmp_path)
    assert (spec.margin, spec.alpha, spec.beta, spec.critical) == (0.02, 0.01, 0.2, 3)
    assert (spec.cost, spec.p95) == (0.10, 2_500_000)
    assert [rule.max_drop or rule.max or rule.max_increase or rule.min for rule in spec.rules] == pytest.approx(
        [0.03, 0.05, 0.2, 0.995]
    )
    assert [rule.name for rule in spec.rules] == [
        "answer.pass_rate[team=a=b].drop", "dear", "latency.mean.increase", "refusal.pass_rate.limit",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "key", "value", "words"),
    [
        ("margn: 5pt", "margn", "5pt", "did you mean `margin`"),
        ("margin: 5", "margin", 5, "write 5% or 5pt"),
        ("margin: five", "margin", "five", "5%, 5pt or 0.05"),
        ("margin: true", "margin", True, "5%, 5pt or 0.05"),
        ("alpha: 0", "alpha", 0, "greater than 0"),
        ("alpha: 0.5", "alpha", 0.5, "less than 0.5"),
        ("beta: .nan", "beta", None, "finite number"),
        ("critical: -1", "critical", -1, "greater than or equal to 0"),
        ("min_cases: 0", "min_cases", 0, "greater than or equal to 1"),
        ("p95: 8", "p95", 8, "with its unit"),
        ("on_golden_change: ignore", "on_golden_change", "ignore", "not_comparable"),
        ("rules: [{grader: answer}]", "rules[0]", None, "exactly one of"),
        ("rules: [{grader: answer, min: 1, max: 2}]", "rules[0]", None, "exactly one of"),
        ("rules: [{min: 1}]", "rules[0].grader", None, "missing"),
        ("rules: [{grader: latency, metric: p95, max_drop: 5pt}]", "rules[0]", None, "for p50, p95 and max give `max`"),
        ("rules: [{grader: cost, max_increase: 5%}]", "rules[0]", None, "metric: mean"),
        ("rules: [{grader: answer, slice: team, min: 1}]", "rules[0]", None, "key=value"),
        ("rules: [{grader: answer, min: 8 apples}]", "rules[0].min", "8 apples", "80%, 8s or $0.05"),
        ("rules: [{grader: answer, metric: median, max: 1}]", "rules[0].metric", "median", "p50"),
    ],
)
def test_a_mistake_names_file_line_key_value_and_the_fix(
    text: str, key: str, value: object, words: str, tmp_path: Path
) -> None:
    error = refused(GateSpec, text, tmp_path)
    assert error.key == key
    assert error.line == 1
    if value is not None:
        assert error.value == value
    assert words in str(error)


@pytest.mark.parametrize("limit", ["min", "max"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_limit_is_a_finite_number(limit: str, number: float) -> None:
    with pytest.raises(ValidationError):
        GateRule.model_validate({"grader": "answer", limit: number})


def test_a_margin_is_a_number() -> None:
    with pytest.raises(ValidationError):
        GateSpec.model_validate({"margin": float("nan")})


@pytest.mark.parametrize("spec", [{"margin": "-5pt"}, {"p95": "-8s"}])
def test_margins_and_durations_are_not_negative(spec: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        GateSpec.model_validate(spec)


def test_rules_are_frozen() -> None:
    with pytest.raises(ValidationError):
        GateSpec().margin = 0.5


# ── the short keys ──────────────────────────────────────────────────────────────────────


REFS = (
    GraderRef("answer", "1", "a", quality=True),
    GraderRef("refusal", "1", "b", quality=True),
    GraderRef("cost", "1", "c", quality=False),
    GraderRef("latency", "1", "d", quality=False),
)


def test_short_keys_are_written_out_before_the_further_rules() -> None:
    spec = GateSpec.model_validate({"margin": "3pt", "cost": "10%", "p95": "8s", "rules": [{"grader": "x", "min": 1}]})
    rules = expand_rules(spec, REFS, slo_p95_us=4_000_000, per_trial_microusd=50_000)
    assert [(rule.id, rule.metric, rule.max_drop, rule.max_increase, rule.max) for rule in rules[:-1]] == [
        ("answer", "pass_rate", 0.03, None, None),
        ("refusal", "pass_rate", 0.03, None, None),
        ("p95 latency", "p95", None, None, 4.0),
        ("cost", "mean", None, 0.10, None),
        ("cost of a trial", "max", None, None, 0.05),
    ]
    assert rules[-1] == spec.rules[0]


def test_a_limit_without_its_grader_is_a_rule_that_cannot_be_judged() -> None:
    spec = GateSpec.model_validate({"cost": "10%", "p95": "8s"})
    wanted = ["answer", "p95 latency", "cost", "cost of a trial"]
    assert [rule.id for rule in expand_rules(spec, REFS[:1], slo_p95_us=1, per_trial_microusd=1)] == wanted
    assert expand_rules(GateSpec(), ()) == []


# ── the canary ──────────────────────────────────────────────────────────────────────────


def test_an_empty_canary_has_the_defaults_of_the_specification() -> None:
    spec = CanarySpec()
    assert (spec.share, spec.alpha, spec.max_failure_ratio, spec.promote_ratio) == (0.05, 0.05, 1.0, 2.0)
    assert (spec.p95_margin, spec.cost_margin, spec.horizon, spec.min_requests) == (0.05, 0.10, 15_000, 200)
    assert (spec.on_rollback, spec.on_promote) == ((), ())


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("share: 0", "share"),
        ("share: 100%", "share"),
        ("share: 5", "share"),
        ("alpha: 0.6", "alpha"),
        ("max_failure_ratio: 0.5", "max_failure_ratio"),
        ("promote_ratio: 1", "promote_ratio"),
        ("p95_margin: -5%", "p95_margin"),
        ("cost_margin: -1%", "cost_margin"),
        ("min_requests: 0", "min_requests"),
        ("horizon: 0", "horizon"),
        ("p95_warmup: 5", "p95_warmup"),
        ("on_rollback: kubectl rollout undo", "on_rollback"),
        ("on_rollbak: [kubectl]", "on_rollbak"),
    ],
)
def test_a_mistake_in_the_canary_is_refused(text: str, key: str, tmp_path: Path) -> None:
    error = refused(CanarySpec, text, tmp_path)
    assert (error.key, error.line) == (key, 1)
