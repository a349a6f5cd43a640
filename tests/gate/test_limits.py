"""Limits of the candidate: floors, ceilings, and the workflow's own."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.gate import Limits

from .world import Outcome, World, make_cases, measured, passing, rule


def ids(count: int, start: int = 0) -> list[str]:
    return [f"case-{index:03d}" for index in range(start, start + count)]


def spread(world: World, factor: float = 1.0) -> dict[str, list[Outcome]]:
    """A measurement of each case: 0.01 to 0.6, times a factor."""
    return {case.id: [factor * (index + 1) / 100] for index, case in enumerate(world.cases)}


# ── floors and ceilings ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("failing", "floor", "verdict"),
    [(12, "80%", "PASS"), (13, "80%", "BLOCKED"), (0, 1.0, "PASS"), (1, 1.0, "BLOCKED")],
)
def test_a_floor_on_the_share_passed(world: World, failing: int, floor: object, verdict: str) -> None:
    run = world.run({"answer": passing(world.cases, *ids(failing))})
    found = world.judge(run, run, rules=[{"id": "floor", "grader": "answer", "min": floor}])
    assert found.verdict == verdict
    assert found.exit_code == (1 if verdict == "BLOCKED" else 0)
    floor_rule = rule(found, "floor")
    assert (floor_rule.kind, floor_rule.n) == ("floor", 60)
    assert floor_rule.candidate == pytest.approx(1 - failing / 60)
    assert floor_rule.baseline == floor_rule.candidate


def test_a_ceiling_on_a_percentile_shows_its_interval(world: World) -> None:
    run = world.run({"latency": spread(world)})
    verdict = world.judge(run, run, rules=[{"id": "slow", "grader": "latency", "metric": "p95", "max": "560ms"}])
    found = rule(verdict, "slow")
    assert (found.status, found.candidate, found.unit, found.kind) == ("block", 0.57, "seconds", "ceiling")
    assert found.low is not None
    assert found.low < 0.57
    assert found.high is None, "the sample is too small for an upper end"
    assert "p95 of latency is 570 ms, ceiling 560 ms" in found.sentence
    assert verdict.verdict == "BLOCKED"


@pytest.mark.parametrize(
    ("metric", "limit", "value"), [("p50", "300ms", 0.30), ("mean", "305ms", 0.305), ("p95", "570ms", 0.57)]
)
def test_a_value_at_its_ceiling_is_within(world: World, metric: str, limit: str, value: float) -> None:
    run = world.run({"latency": spread(world)})
    rules = [{"id": "limit", "grader": "latency", "metric": metric, "max": limit}]
    found = rule(world.judge(run, run, rules=rules), "limit")
    assert found.candidate == pytest.approx(value)
    if metric != "mean":
        assert found.status == "pass"


def test_a_limit_of_a_slice_sees_that_slice_alone(world: World) -> None:
    sliced = World(world.root, make_cases(60, slices=lambda i: {"tier": "gold" if i < 10 else "free"}))
    run = sliced.run({"answer": passing(sliced.cases, *ids(2))})
    gold = {"id": "gold", "grader": "answer", "slice": "tier=gold", "min": "90%"}
    free = {**gold, "id": "free", "slice": "tier=free"}
    verdict = sliced.judge(run, run, rules=[gold, free])
    assert [(rule(verdict, name).status, rule(verdict, name).n) for name in ("gold", "free")] == [
        ("block", 10), ("pass", 50),
    ]  # fmt: skip


def test_a_limit_without_a_score_is_no_pass(world: World) -> None:
    run = world.run({"answer": passing(world.cases), "latency": {case.id: ["n/a"] for case in world.cases}})
    verdict = world.judge(run, run, rules=[{"grader": "latency", "metric": "p95", "max": "8s"}])
    assert verdict.verdict == "INCONCLUSIVE"


def test_a_floor_that_errors_alone_break_is_no_statement_about_quality(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    marks = passing(world.cases) | {case: ["error"] for case in ids(20)}
    candidate = world.run({"answer": marks}, version="2", unfinished=[(case, 0) for case in ids(20)])
    verdict = world.judge(candidate, baseline, rules=[{"grader": "answer", "min": "80%"}])
    assert (verdict.verdict, verdict.exit_code) == ("ERROR", 3)


# ── short keys and limits of the workflow ───────────────────────────────────────────────


@pytest.mark.parametrize(
    ("spec", "limits", "ceiling"),
    [
        ({"p95": "8s"}, None, 8.0),
        ({}, Limits(slo_p95_us=3_000_000), 3.0),
        ({"p95": "8s"}, Limits(slo_p95_us=3_000_000), 3.0),
        ({"p95": "2s"}, Limits(slo_p95_us=3_000_000), 2.0),
    ],
)
def test_the_stricter_latency_limit_holds(
    world: World, spec: dict[str, Any], limits: Limits | None, ceiling: float
) -> None:
    outcomes = {"latency": measured(world.cases, ceiling - 0.001)}
    fast = world.run(outcomes)
    slow = world.run({"latency": measured(world.cases, ceiling + 0.001)}, version="2")
    assert rule(world.judge(fast, fast, limits=limits, **spec), "p95 latency").limit == ceiling
    assert world.judge(fast, fast, limits=limits, **spec).exit_code == 0
    assert world.judge(slow, fast, limits=limits, **spec).verdict == "BLOCKED"


def test_a_limit_whose_grader_is_not_among_those_of_the_run_cannot_be_judged(world: World) -> None:
    run = world.run({"answer": passing(world.cases)})
    verdict = world.judge(run, run, p95="8s", cost="10%", limits=Limits(1_000_000, 100))
    assert verdict.verdict == "ERROR"
    assert [found.id for found in verdict.rules if found.status == "error"] == [
        "p95 latency",
        "cost",
        "cost of a trial",
    ]
    assert "add it to `graders:`" in verdict.sentence


def test_a_limit_that_is_measured_nowhere_leaves_the_verdict_open(world: World) -> None:
    run = world.run({"answer": passing(world.cases), "latency": {case.id: ["n/a"] for case in world.cases}})
    assert world.judge(run, run, p95="8s").verdict == "INCONCLUSIVE"


def test_a_cost_that_got_lost_is_not_the_same_cost(world: World) -> None:
    run = world.run({"answer": passing(world.cases), "cost": measured(world.cases, 0.01)})
    now: dict[str, list[Outcome]] = {
        case.id: [0.01] if index < 2 else ["n/a"] for index, case in enumerate(world.cases)
    }
    candidate = world.run({"answer": passing(world.cases), "cost": now}, version="2")
    found = rule(world.judge(candidate, run, margin="9pt", cost="10%"), "cost")
    assert (found.status, found.n) == ("inconclusive", 2)


def test_a_single_trial_over_its_budget_blocks(world: World) -> None:
    run = world.run({"cost": measured(world.cases, 0.01)})
    dear = world.run({"cost": measured(world.cases, 0.01) | {"case-000": [5.0]}}, version="2")
    assert world.judge(run, run, limits=Limits(per_trial_microusd=100_000)).exit_code == 0
    assert world.judge(dear, run, limits=Limits(per_trial_microusd=100_000)).verdict == "BLOCKED"


def test_p95_is_that_of_the_trials(world: World) -> None:
    run = world.run({"latency": {case.id: [1.0, 1.0, 20.0] for case in world.cases}})
    assert world.judge(run, run, limits=Limits(slo_p95_us=8_000_000)).verdict == "BLOCKED"


# ── the sentence of a pass ──────────────────────────────────────────────────────────────


def test_a_touched_run_without_quality_graders_is_not_called_unchanged(world: World) -> None:
    baseline = world.run({"latency": measured(world.cases, 0.5)})
    candidate = world.run({"latency": measured(world.cases, 6.0)}, version="2")
    verdict = world.judge(candidate, baseline, p95="8s")
    assert verdict.verdict == "PASS"
    assert "unchanged" not in verdict.sentence
