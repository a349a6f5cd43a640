"""Every rule's SQL, run on the catalogue, gives the rule's numbers again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.gate import Limits, RuleResult, Verdict, judge
from evalkit.gate.evidence import Subject
from evalkit.gate.history_sql import history_sql
from evalkit.gate.increase_sql import increase_sql
from evalkit.gate.sql import pair_sql
from evalkit.workflow.gates import GateRule, GateSpec

from .world import Outcome, World, make_cases, passing, rule

RULES: list[dict[str, Any]] = [
    {"grader": "answer", "slice": "team=it's", "max_drop": "5pt"},
    {"grader": "answer", "metric": "mean", "max_drop": "5pt"},
    {"grader": "answer", "min": "50%"},
    {"grader": "answer", "slice": "team=it's", "min": "50%"},
    {"grader": "latency", "metric": "p50", "max": "8s"},
    {"grader": "latency", "metric": "p95", "max": "8s"},
    {"grader": "latency", "metric": "mean", "max": "8s"},
    {"grader": "latency", "metric": "mean", "max_increase": "50%"},
    {"grader": "latency", "metric": "p95", "max_increase": "50%"},
    {"grader": "latency", "metric": "p50", "slice": "team=it's", "max_increase": "50%"},
    {"grader": "cost", "metric": "per_success", "slice": "team=it's", "max_increase": "50%"},
    {"grader": "cost", "metric": "mean", "slice": "team=it's", "max_increase": "50%"},
]
GATE: dict[str, Any] = {
    "cost": "+10%",
    "cost_per_success": "+15%",
    "p95": "8s",
    "critical": 1,
    "critical_trials": 1,
    "rules": RULES,
}


def ids(count: int, start: int = 0) -> list[str]:
    return [f"case-{index:03d}" for index in range(start, start + count)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Sixty cases with a team whose name needs quoting, the first eight critical."""
    cases = make_cases(
        60, critical=lambda index: index < 8, slices=lambda index: {"team": "it's" if index % 3 else 'a"b'}
    )
    return World(tmp_path / "store", cases)


def measurements(world: World, factor: float) -> dict[str, list[Outcome]]:
    return {case.id: [factor * (index + 1) / 7] for index, case in enumerate(world.cases)}


def pair(world: World) -> Verdict:
    """Two runs that differ in everything a rule can look at, several trials and missing scores included."""
    before = {
        "answer": passing(world.cases, *ids(3, 20), trials=3),
        "cost": measurements(world, 0.01) | {"case-050": ["n/a"]},
        "latency": measurements(world, 1.0),
    }
    now = {
        "answer": passing(world.cases[:58], *ids(9, 2), trials=3) | {"case-030": [True, False, True]},
        "cost": measurements(world, 0.02) | {"case-051": ["n/a"]},
        "latency": measurements(world, 1.3),
    }
    return world.judge(world.run(now, version="2"), world.run(before), **GATE)


def numbers(found: RuleResult) -> dict[str, float | int | None]:
    row: dict[str, float | int | None] = {"n": found.n, "candidate": found.candidate}
    if found.kind in ("floor", "ceiling"):
        return row
    row |= {"baseline": found.baseline, "delta": found.delta}
    return row if found.mean_ratio is None else row | {"mean_ratio": found.mean_ratio}


def test_every_rule_but_the_critical_one_is_recomputed(world: World) -> None:
    verdict = pair(world)
    checked = [found for found in verdict.rules if found.kind != "count"]
    assert len(checked) == 4 + len(RULES)
    for found in checked:
        (row,) = world.sql(verdict, found.sql)
        assert row == pytest.approx(numbers(found)), found.id


def test_delta_of_an_increase_is_the_same_thing_in_the_rule_and_its_sql(world: World) -> None:
    verdict = pair(world)
    found = rule(verdict, "cost")
    assert world.sql(verdict, found.sql)[0]["delta"] == pytest.approx(found.delta)


def test_the_critical_rule_lists_its_cases(world: World) -> None:
    verdict = pair(world)
    found = rule(verdict, "critical cases")
    assert found.candidate == 6
    assert sorted(row["case_id"] for row in world.sql(verdict, found.sql)) == sorted(found.cases)


def test_the_critical_rule_and_its_sql_agree_on_errors(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    candidate = world.run({"answer": passing(world.cases) | {"case-001": ["error"]}}, version="2")
    verdict = world.judge(candidate, baseline)
    found = rule(verdict, "critical cases")
    assert len(world.sql(verdict, found.sql)) == found.candidate


@settings(deadline=None, max_examples=6)
@given(
    st.lists(st.floats(0.001, 100), min_size=1, max_size=45),
    st.lists(st.lists(st.sampled_from([True, False, "error"]), min_size=1, max_size=3), min_size=1, max_size=45),
)
def test_percentiles_and_rates_of_any_sample_agree(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[float], marks: list[list[Outcome]]
) -> None:
    any_world = World(tmp_path_factory.mktemp("store"), make_cases(45))
    outcomes: dict[str, dict[str, list[Outcome]]] = {
        "latency": {f"case-{index:03d}": [value] for index, value in enumerate(seconds)},
        "answer": {f"case-{index:03d}": row for index, row in enumerate(marks)},
    }
    run = any_world.run(outcomes)
    again = any_world.run({name: dict(reversed(rows.items())) for name, rows in outcomes.items()}, version="2")
    verdict = any_world.judge(again, run, rules=[*RULES[4:7], RULES[2]])
    for found in verdict.rules:
        if found.sql:
            (row,) = any_world.sql(verdict, found.sql)
            assert row == pytest.approx(numbers(found)), found.id


def test_untouched_cases_that_came_out_alike_agree_too(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)}, touched=ids(20))
    candidate = world.run({"answer": passing(world.cases, *ids(5))}, version="2", touched=ids(20))
    verdict = world.judge(candidate, baseline)
    found = rule(verdict, "answer")
    assert world.sql(verdict, found.sql)[0] == pytest.approx(numbers(found))


def test_untouched_cases_with_fewer_trials_agree_too(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases, trials=3)})
    candidate = world.run({"answer": passing(world.cases, *ids(3))})
    verdict = world.judge(candidate, baseline)
    found = rule(verdict, "answer")
    assert world.sql(verdict, found.sql)[0] == pytest.approx(numbers(found))


def test_only_common_cases_are_in_the_sql_of_a_changed_golden_set(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    changed = [replace(case, notes="clearer") if case.id in ids(10) else case for case in world.cases]
    candidate = world.run({"answer": passing(changed, *ids(10))}, version="2", cases=changed)
    verdict = world.judge(candidate, baseline, cases=changed, on_golden_change="common_cases", critical=None)
    found = rule(verdict, "answer")
    assert found.n == 50
    assert world.sql(verdict, found.sql)[0] == pytest.approx(numbers(found))


def test_a_slice_is_that_of_the_golden_set_of_the_run(world: World) -> None:
    world.run({"answer": passing(world.cases)})
    moved = [replace(case, slices={"team": 'a"b'}) if index < 30 else case for index, case in enumerate(world.cases)]
    run = world.run({"answer": passing(moved)}, cases=moved)
    again = world.run({"answer": passing(moved)}, version="2", cases=moved)
    verdict = judge(again, run, moved, GateSpec.model_validate({"rules": [RULES[0]]}))
    found = rule(verdict, "answer.pass_rate[team=it's].drop")
    assert found.n == 20
    assert world.sql(verdict, found.sql)[0] == pytest.approx(numbers(found))


def chancy(world: World, seed: int, trials: int = 1, worse: float = 0.0) -> dict[str, list[Outcome]]:
    draws = np.random.default_rng(seed).random((len(world.cases), trials))
    good = np.linspace(0.6, 1.0, len(world.cases))[:, None] - worse
    return {case.id: row.tolist() for case, row in zip(world.cases, draws < good, strict=True)}


def by_history(found: RuleResult) -> dict[str, Any]:
    return {
        "n": found.n, "touched": found.touched, "history": found.history,
        "baseline": found.baseline, "candidate": found.candidate,
    }  # fmt: skip


@pytest.mark.parametrize("worse", [0.0, 0.3])
def test_a_margin_by_history_is_recomputed_from_all_that_is_recorded(world: World, worse: float) -> None:
    mine = ids(45)
    for seed in range(7):
        marks = chancy(world, seed) | ({"case-003": ["error"], "case-004": ["n/a"]} if seed == 2 else {})
        world.run({"answer": marks}, touched=mine if seed else ids(40))
    baseline = world.run({"answer": chancy(world, 7)}, touched=mine)
    world.run({"answer": chancy(world, 8)}, version="other", touched=ids(10))
    world.run({"answer": chancy(world, 9, worse=worse)}, version="2", touched=mine)
    marks = chancy(world, 10, 3, worse) | {"case-005": ["error", True, True], "case-006": ["n/a"] * 3}
    marks |= {case_id: row[:1] for case_id, row in chancy(world, 7).items() if case_id not in mine}
    candidate = world.run({"answer": marks}, version="2", touched=mine)
    rules = [RULES[0] | {"max_drop": "30pt"}]
    verdict = world.judge(candidate, baseline, history=True, margin="30pt", rules=rules, critical=None)
    for name in ("answer", "answer.pass_rate[team=it's].drop"):
        found = rule(verdict, name)
        assert "history" in found.method
        (row,) = world.sql(verdict, found.sql)
        assert row.pop("drawn") >= found.trials
        assert row == pytest.approx(by_history(found)), name
    whole = rule(verdict, "answer")
    assert (whole.n, whole.touched, whole.history) == (59, 44, 8)


def test_a_margin_by_history_leaves_out_what_is_accepted_and_keeps_common_cases(world: World) -> None:
    for seed in range(8):
        baseline = world.run({"answer": chancy(world, seed)})
    changed = [replace(case, notes="clearer") if case.id in ids(10) else case for case in world.cases]
    candidate = world.run({"answer": chancy(world, 20)}, version="2", cases=changed)
    verdict = world.judge(
        candidate, baseline, cases=changed, history=True, on_golden_change="common_cases", margin="30pt", critical=None
    )
    found = rule(verdict, "answer")
    assert (found.n, found.history) == (50, 8)
    (row,) = world.sql(verdict, found.sql)
    assert row.pop("drawn") == 50
    assert row == pytest.approx(by_history(found))
    without = f"{found.sql.removesuffix(';')}\n  AND case_id NOT IN ('case-020', 'case-021');"
    assert world.sql(verdict, without)[0]["n"] == 48


def test_a_baseline_that_is_run_anew_is_recomputed_too(world: World) -> None:
    runs = [world.run({"answer": chancy(world, seed)}) for seed in range(9)]
    verdict = world.judge(runs[-1], runs[-2], history=True, margin="30pt", critical=None)
    found = rule(verdict, "answer")
    assert found.history == 8
    (row,) = world.sql(verdict, found.sql)
    assert row.pop("drawn") == 60
    assert row == pytest.approx(by_history(found))


def test_text_from_the_gate_file_cannot_leave_its_quotes(world: World) -> None:
    hostile = "x'; DROP TABLE scores; --"
    verdict = pair(world)
    subject = Subject(verdict.candidate_run, verdict.baseline_run, "g" * 64, "d" * 64)
    text = pair_sql(GateRule(grader=hostile, slice=f"{hostile}={hostile}", max_drop=0.05), subject)
    assert world.sql(verdict, text)[0]["n"] == 0
    hostile_rule = GateRule(grader=hostile, slice=f"{hostile}={hostile}", max_drop=0.05)
    assert world.sql(verdict, history_sql(hostile_rule, subject, [hostile]))[0]["n"] == 0
    for metric in ("mean", "p95", "per_success"):
        text = increase_sql(hostile_rule.model_copy(update={"metric": metric}), subject)
        assert world.sql(verdict, text)[0]["n"] == 0
    assert world.sql(verdict, "SELECT count(*) AS n FROM scores")[0]["n"] > 0


def test_the_catalogue_keeps_the_rules_of_a_verdict(world: World) -> None:
    verdict = pair(world)
    rows = world.sql(verdict, "SELECT rule, status, n, delta, low, p, bound, sql FROM verdict_rules ORDER BY rule")
    expected = sorted(verdict.rules, key=lambda found: found.id)
    assert [row["rule"] for row in rows] == [found.id for found in expected]
    for row, found in zip(rows, expected, strict=True):
        assert (row["status"], row["n"], row["sql"]) == (found.status, found.n, found.sql)
        for key, value in (("delta", found.delta), ("low", found.low), ("p", found.p), ("bound", found.limit)):
            assert row[key] == (None if value is None else pytest.approx(value))


def test_judging_by_another_limit_is_another_verdict(world: World) -> None:
    run = world.run({"answer": passing(world.cases), "latency": measurements(world, 1.0)})
    lax, strict = (world.judge(run, run, limits=Limits(slo_p95_us=limit)) for limit in (9_000_000, 1_000_000))
    assert (lax.exit_code, strict.exit_code) == (0, 1)
    for verdict in (lax, strict):
        rows = world.sql(verdict, "SELECT verdict FROM verdicts ORDER BY created_us")
    assert [row["verdict"] for row in rows] == ["PASS", "BLOCKED"]
