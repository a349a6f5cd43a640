"""Cost, latency and tokens against the baseline: typical case and mean, percentiles, and what a success costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.stats import ratio_of_means
from evalkit.stats.noninferiority import cost_per_success_ratio, log_ratio, percentile_ratio

from .world import Outcome, Outcomes, World, make_cases, measured, passing, rule


def ids(count: int, start: int = 0) -> list[str]:
    return [f"case-{index:03d}" for index in range(start, start + count)]


def spread(world: World, factor: float = 1.0) -> dict[str, list[Outcome]]:
    """A measurement of each case: 0.01 to 0.6, times a factor."""
    return {case.id: [factor * (index + 1) / 100] for index, case in enumerate(world.cases)}


def each(values: Any) -> dict[str, list[Outcome]]:
    """One trial of each case; a row of values is as many."""
    return {f"case-{index:03d}": [float(v) for v in np.atleast_1d(row)] for index, row in enumerate(values)}


# ── cost against the baseline ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("factor", "status", "code"),
    [(1.0, "pass", 0), (1.05, "pass", 0), (1.1, "pass", 0), (1.2, "block", 1), (0.5, "pass", 0)],
)
def test_cost_may_grow_by_so_much(world: World, factor: float, status: str, code: int) -> None:
    outcomes = {"answer": passing(world.cases), "cost": spread(world)}
    baseline = world.run(outcomes)
    candidate = world.run({**outcomes, "cost": spread(world, factor)}, version="2")
    verdict = world.judge(candidate, baseline, cost="+10.0001%")
    found = rule(verdict, "cost")
    assert (found.status, verdict.exit_code, found.kind, found.unit) == (status, code, "increase", "dollars")
    assert found.delta == pytest.approx(factor)
    assert found.limit == pytest.approx(1.100001)
    assert (found.baseline, found.candidate) == pytest.approx((0.305, 0.305 * factor))


@pytest.mark.parametrize(("mean", "status"), [(0.95, "inconclusive"), (1.2, "inconclusive"), (2.5, "block")])
def test_a_noisy_cost_is_judged_by_its_interval(world: World, mean: float, status: str) -> None:
    generator = np.random.default_rng(8)
    before = generator.lognormal(-4, 1, 60)
    now = before * generator.lognormal(0, 1.2, 60)
    now *= mean * before.mean() / now.mean()
    baseline = world.run({"cost": dict(zip(ids(60), ([float(v)] for v in before), strict=True))})
    candidate = world.run({"cost": dict(zip(ids(60), ([float(v)] for v in now), strict=True))}, version="2")
    found = rule(world.judge(candidate, baseline, cost="+10%"), "cost")
    assert found.status == status
    sample = np.concatenate([before, now]), np.tile(np.arange(60), 2), np.repeat([False, True], 60)
    expected = log_ratio(*sample, margin=0.1, tail_low=0.025, tail_high=0.10)
    assert (found.delta, found.low, found.high) == pytest.approx((expected.ratio, expected.low, expected.high))
    assert (found.mean_ratio, found.mean_low, found.mean_high) == pytest.approx(
        ratio_of_means(before, now, tail_low=0.025, tail_high=0.10)
    )


def test_a_cost_that_was_nothing_and_is_something_is_no_pass(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases), "cost": measured(world.cases, 0.0)})
    dear = world.run({"answer": passing(world.cases), "cost": measured(world.cases, 0.02)}, version="2")
    verdict = world.judge(dear, baseline, cost="+10%")
    assert (verdict.verdict, rule(verdict, "cost").status) == ("INCONCLUSIVE", "inconclusive")
    assert world.judge(baseline, baseline, cost="+10%").verdict == "PASS"


def test_a_candidate_without_a_known_cost_is_no_pass(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases), "cost": measured(world.cases, 0.01)})
    unpriced: Outcomes = {"answer": passing(world.cases), "cost": {case.id: ["n/a"] for case in world.cases}}
    verdict = world.judge(world.run(unpriced, version="2"), baseline, cost="+10%")
    assert (verdict.verdict, rule(verdict, "cost").sentence) == ("INCONCLUSIVE", "No case has a cost on both sides.")


def test_one_case_of_another_cost_proves_nothing(world: World) -> None:
    baseline = world.run({"cost": {"case-000": [0.01]}})
    candidate = world.run({"cost": {"case-000": [0.05]}}, version="2")
    assert rule(world.judge(candidate, baseline, cost="+10%"), "cost").status == "inconclusive"


def test_a_few_dear_cases_do_not_pass_behind_many_that_stayed(world: World) -> None:
    """The typical case is as before, the bill is not."""
    before = np.random.default_rng(1).lognormal(-4, 0.3, 60)
    now = before * np.where(np.arange(60) % 20 == 0, 12.0, 1.0)
    found = rule(world.judge(world.run({"cost": each(now)}, version="2"), world.run({"cost": each(before)}),
                             cost="+30%"), "cost")  # fmt: skip
    assert found.status == "inconclusive"
    assert found.high is not None
    assert found.high < 1.3, "by the typical case alone it would pass"
    assert found.mean_ratio == pytest.approx(now.mean() / before.mean())
    assert "mean cost +" in found.sentence
    assert "of a typical case +" in found.sentence
    assert found.more_trials
    assert f"about {found.more_trials} more cases" in found.sentence


def test_a_typical_case_over_the_limit_blocks_whatever_the_bill(world: World) -> None:
    before = np.where(np.arange(60) < 2, 10.0, 0.01)
    now = np.where(np.arange(60) < 2, 9.0, 0.02)
    found = rule(world.judge(world.run({"cost": each(now)}, version="2"), world.run({"cost": each(before)}),
                             cost="+10%"), "cost")  # fmt: skip
    assert found.mean_ratio is not None
    assert found.mean_ratio < 1
    assert (found.status, found.sentence.partition(":")[0]) == ("block", "Dearer than allowed at 95% confidence")


def test_zeros_on_one_side_count_in_the_mean_and_are_named(world: World) -> None:
    before = np.where(np.arange(60) < 3, 0.0, 1.0)
    same = world.run({"tokens": each(before)})
    now = world.run({"tokens": each(np.where(np.arange(60) < 3, 0.5, 1.0))}, version="2")
    rules = [{"id": "tokens", "grader": "tokens", "metric": "mean", "max_increase": "10%"}]
    found = rule(world.judge(now, same, rules=rules), "tokens")
    assert (found.delta, found.status) == (1.0, "pass")
    assert found.mean_ratio == pytest.approx(58.5 / 57)
    assert "3 cases with a zero on one side have no ratio and count in the mean" in found.sentence
    dear = world.run({"tokens": each(np.where(np.arange(60) < 3, 40.0, 1.0))}, version="3")
    assert rule(world.judge(dear, same, rules=rules), "tokens").status != "pass"


def test_cases_of_a_cluster_are_one_observation(tmp_path: Path) -> None:
    clustered = World(tmp_path / "a", make_cases(60, cluster=lambda index: f"document {index // 12}"))
    generator = np.random.default_rng(4)
    before, by_document = generator.lognormal(0, 0.3, 60), np.repeat([1.02, 1.2, 1.0, 1.1, 0.95], 12)
    rules = [{"id": "r", "grader": "latency", "metric": "mean", "max_increase": "8%"}]
    found = rule(
        clustered.judge(
            clustered.run({"latency": each(before * by_document)}, version="2"),
            clustered.run({"latency": each(before)}),
            rules=rules,
        ),
        "r",
    )
    sample = np.concatenate([before, before * by_document]), np.tile(np.arange(60), 2), np.repeat([False, True], 60)
    expected = log_ratio(*sample, margin=0.08, clusters=np.arange(60) // 12, tail_low=0.025, tail_high=0.10)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.status == "inconclusive"


def test_logs_are_taken_trial_by_trial(world: World) -> None:
    generator = np.random.default_rng(5)
    before, now = generator.lognormal(0, 1, (60, 1)), generator.lognormal(0, 1, (60, 4))
    found = rule(world.judge(world.run({"cost": each(now)}, version="2"), world.run({"cost": each(before)}),
                             cost="+10%"), "cost")  # fmt: skip
    assert found.delta == pytest.approx(np.exp((np.log(now).mean(axis=1) - np.log(before[:, 0])).mean()))


def test_a_measurement_below_nought_has_no_ratio(world: World) -> None:
    run = world.run({"latency": measured(world.cases, -1.0)})
    other = world.run({"latency": measured(world.cases, -2.0)}, version="2")
    rules = [{"id": "r", "grader": "latency", "metric": metric, "max_increase": "8%"} for metric in ("mean", "p95")]
    verdict = world.judge(other, run, rules=rules)
    assert verdict.verdict == "ERROR"
    assert "below nought" in rule(verdict, "r").sentence


@pytest.mark.parametrize(("factor", "allowed"), [(1.09, "10%"), (1.0, "1%")])
def test_what_is_surely_below_the_limit_passes_however_near(world: World, factor: float, allowed: str) -> None:
    noise = np.random.default_rng(2).lognormal(0, 0.001, 60)
    base = spread(world)
    now = {name: [float(row[0]) * factor * noise[index]] for index, (name, row) in enumerate(base.items())}
    verdict = world.judge(world.run({"cost": now}, version="2"), world.run({"cost": base}), cost=allowed)
    assert rule(verdict, "cost").status == "pass"


# ── percentiles against the baseline ────────────────────────────────────────────────────


P95 = {"id": "p95", "grader": "latency", "metric": "p95", "max_increase": "20%"}


def slower(world: World, before: Any, now: Any, **keys: Any) -> Any:
    old, new = world.run({"latency": each(before)}), world.run({"latency": each(now)}, version="2")
    return rule(world.judge(new, old, rules=[P95 | keys]), "p95")


@pytest.fixture
def many(tmp_path: Path) -> World:
    return World(tmp_path / "many", make_cases(400))


@pytest.mark.parametrize(("factor", "status"), [(1.1, "inconclusive"), (0.5, "pass"), (3.0, "block")])
def test_a_percentile_is_compared_by_order_statistics(many: World, factor: float, status: str) -> None:
    generator = np.random.default_rng(3)
    before, now = generator.lognormal(0, 0.5, 400), factor * generator.lognormal(0, 0.5, 400)
    found = slower(many, before, now)
    expected = percentile_ratio(before, now, 0.95, tail_low=0.05, tail_high=0.10)
    assert (found.status, found.n, found.unit) == (status, 400, "seconds")
    assert (found.delta, found.low, found.high) == pytest.approx(
        (expected.ratio, expected.ratio_low, expected.ratio_high)
    )
    assert (found.baseline, found.candidate) == pytest.approx((expected.baseline, expected.candidate))


def test_a_sample_without_an_upper_end_says_how_many_are_needed(world: World) -> None:
    generator = np.random.default_rng(3)
    few = World(world.root, world.cases[:50])
    found = slower(few, generator.lognormal(0, 0.1, 50), generator.lognormal(0, 0.1, 50))
    assert (found.status, found.high, found.more_trials) == ("inconclusive", None, 9)
    assert "about 9 more cases" in found.sentence


def test_a_percentile_takes_one_trial_of_each_cluster(tmp_path: Path) -> None:
    clustered = World(tmp_path / "b", make_cases(200, cluster=lambda index: f"document {index // 2}"))
    generator = np.random.default_rng(6)
    before, now = generator.lognormal(0, 0.4, (200, 3)), generator.lognormal(0, 0.4, (200, 2))
    found = slower(clustered, before, now)
    expected = percentile_ratio(before[::2, 0], now[::2, 0], 0.95, tail_low=0.05, tail_high=0.10)
    assert found.n == 100
    assert (found.delta, found.low, found.high) == pytest.approx(
        (expected.ratio, expected.ratio_low, expected.ratio_high)
    )


def test_the_very_same_latencies_are_no_slower(world: World) -> None:
    base = [float(row[0]) for row in spread(world).values()]
    found = slower(world, base, base)
    assert (found.status, found.sentence) == ("pass", "P95 of latency is the same.")


@pytest.mark.parametrize(("cases", "status", "more"), [(71, "inconclusive", 1), (72, "block", None)])
def test_time_to_the_first_token_is_compared_as_latency_is(
    many: World, cases: int, status: str, more: int | None
) -> None:
    few = World(many.root, many.cases[:cases])
    old, new = (few.run({"ttft": measured(few.cases, value)}, version=str(value)) for value in (0.5, 0.9))
    found = rule(few.judge(new, old, rules=[P95 | {"grader": "ttft"}]), "p95")
    assert (found.status, found.unit, found.more_trials) == (status, "seconds", more)
    assert found.delta == pytest.approx(1.8)
    if status != "block":
        return
    assert found.sentence.startswith("Slower than allowed at 95% confidence: p95 of ttft")


# ── what a success costs ────────────────────────────────────────────────────────────────


def priced(world: World, seed: int, fails: int, factor: float = 1.0) -> Outcomes:
    cost = factor * np.random.default_rng(seed).lognormal(-4, 0.1, len(world.cases))
    return {"answer": passing(world.cases, *ids(fails)), "refusal": passing(world.cases), "cost": each(cost)}


@pytest.mark.parametrize(
    ("fails", "factor", "status"),
    [(0, 1.0, "pass"), (0, 1.1, "inconclusive"), (0, 1.5, "block"), (25, 1.0, "block"), (8, 1.0, "inconclusive")],
)
def test_failures_are_paid_for_by_the_successes(world: World, fails: int, factor: float, status: str) -> None:
    baseline, candidate = world.run(priced(world, 1, 0)), world.run(priced(world, 2, fails, factor), version="2")
    found = rule(world.judge(candidate, baseline, cost_per_success="+12%"), "cost per success")
    cost = [np.random.default_rng(seed).lognormal(-4, 0.1, 60) for seed in (1, 2)]
    good = np.arange(60) >= fails
    expected = cost_per_success_ratio((cost[0], np.ones(60)), (factor * cost[1], good.astype(float)))
    assert found.baseline == pytest.approx(cost[0].sum() / 60)
    assert found.candidate == pytest.approx(factor * cost[1].sum() / good.sum())
    assert (found.delta, found.low) == pytest.approx(expected[:2])
    assert (found.status, found.unit, found.kind, found.n) == (status, "dollars", "increase", 60)
    assert f"100.0% succeeded before, {good.mean():.1%} now" in found.sentence


def test_a_success_passes_every_quality_grader_in_the_same_trial(world: World) -> None:
    """Two graders that pass half the trials each, never together: no success."""
    marks: Outcomes = {
        "answer": {case.id: [True, False, True] for case in world.cases},
        "refusal": {case.id: [False, True, True] for case in world.cases},
        "cost": {case.id: [0.01, 0.02, 0.03] for case in world.cases},
    }
    run = world.run(marks)
    found = rule(world.judge(run, run, cost_per_success="+15%"), "cost per success")
    assert found.baseline == pytest.approx(0.06)
    assert found.status == "pass"


def test_a_failed_grader_is_no_success_and_one_that_does_not_apply_says_nothing(world: World) -> None:
    marks = passing(world.cases) | {case_id: ["error"] for case_id in ids(10)}
    other: dict[str, list[Outcome]] = {case.id: ["n/a"] for case in world.cases}
    run = world.run({"answer": marks, "refusal": other, "cost": measured(world.cases, 0.01)})
    found = rule(world.judge(run, run, cost_per_success="+15%"), "cost per success")
    assert found.candidate == pytest.approx(0.6 / 50)


def test_a_success_without_a_cost_is_no_pass(world: World) -> None:
    answers, cost = passing(world.cases, trials=2), each(np.full((60, 2), 0.01))
    gone: dict[str, list[Outcome]] = cost | {"case-000": [0.01, "n/a"]}
    run = world.run({"answer": answers, "cost": cost})
    lost = world.run({"answer": answers, "cost": gone}, version="2")
    found = rule(world.judge(lost, run, cost_per_success="+15%"), "cost per success")
    assert (found.status, found.sentence) == ("inconclusive", "1 trial that a grader judged has no cost.")


def test_no_success_at_all_is_no_pass(world: World) -> None:
    base = {"answer": passing(world.cases), "cost": measured(world.cases, 0.01)}
    none = {"answer": passing(world.cases, *ids(60)), "cost": measured(world.cases, 0.001)}
    found = rule(
        world.judge(world.run(none, version="2"), world.run(base), cost_per_success="+15%"), "cost per success"
    )
    assert (found.status, found.sentence) == ("inconclusive", "No trial succeeds now: no success has a cost.")


def test_another_price_is_another_measure_of_a_success(world: World) -> None:
    base = priced(world, 1, 0)
    run = world.run(base, model_prices={"m": "a"})
    other = world.run(base, version="2", model_prices={"m": "b"})
    assert rule(world.judge(other, run, cost_per_success="+15%"), "cost per success").status == "not_comparable"
