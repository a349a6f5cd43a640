"""An open verdict says what it takes to settle it, in trials, calls and money."""

from __future__ import annotations

import pytest

from evalkit_reports.common import next_steps
from tests.reports.hostile import rendered

from .world import World, make_cases, passing, rule


def ids(count: int) -> list[str]:
    return [f"case-{index:03d}" for index in range(count)]


def test_the_paired_comparison_says_what_it_costs_at_the_price_of_this_run(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    candidate = world.run(
        {"answer": passing(world.cases, *ids(2))}, version="2", reused=20, model_calls=80, cost_microusd=12_000
    )
    verdict = world.judge(candidate, baseline)
    more = rule(verdict, "answer").more_trials
    assert verdict.verdict == "INCONCLUSIVE"
    assert more
    assert verdict.settling is not None
    assert (verdict.settling.trials, verdict.settling.calls) == (more, 2 * more)
    assert verdict.settling.cost_microusd == 300 * more
    told = f"To settle it takes about {more} more trials: {2 * more} model calls, about ${0.0003 * more:.4f}."
    assert told in verdict.sentence
    assert told in rendered("terminal", verdict)
    assert told in rendered("html", verdict)
    assert f"about {more} more trials: {2 * more} model calls" in rendered("markdown", verdict)
    assert f'"cost_microusd": {300 * more}' in rendered("json", verdict)


def test_the_greediest_rule_counts_and_trials_serve_all(world: World) -> None:
    few = World(world.root, make_cases(60, critical=lambda index: index < 12))
    baseline = few.run({"answer": passing(few.cases), "refusal": passing(few.cases)})
    outcomes = {"answer": passing(few.cases, "case-050"), "refusal": passing(few.cases, "case-051", "case-052")}
    verdict = few.judge(few.run(outcomes, version="2", model_calls=60, cost_microusd=60), baseline)
    asked = [found.more_trials for found in verdict.rules if found.status == "inconclusive"]
    assert len(asked) > 1
    assert verdict.settling is not None
    assert verdict.settling.trials == max(count or 0 for count in asked)
    assert not verdict.next_trials, "a comparison of two runs asks for cases"


def test_missing_trials_of_critical_cases_are_what_run_makes_next(world: World) -> None:
    few = World(world.root, make_cases(60, critical=lambda index: index < 12))
    baseline = few.run({"answer": passing(few.cases)})
    verdict = few.judge(few.run({"answer": passing(few.cases)}, version="2"), baseline)
    assert verdict.settling is not None
    assert (verdict.settling.trials, sum(verdict.next_trials.values())) == (48, 48)
    assert next_steps(verdict)[0].command == "evalkit run support"


def test_what_trials_cannot_settle_costs_nothing(world: World) -> None:
    few = World(world.root, make_cases(19))
    baseline = few.run({"answer": passing(few.cases)})
    verdict = few.judge(few.run({"answer": passing(few.cases)}, version="2"), baseline)
    assert (verdict.verdict, verdict.settling) == ("INCONCLUSIVE", None)
    assert "To settle" not in verdict.sentence


@pytest.mark.parametrize("broken", [0, 20])
def test_a_settled_verdict_takes_nothing(world: World, broken: int) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    verdict = world.judge(world.run({"answer": passing(world.cases, *ids(broken))}, version="2"), baseline)
    assert verdict.settling is None


def test_a_part_of_the_golden_set_takes_the_rest(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    part = world.run({"answer": passing(world.cases[:40])}, selection="a sample of 40 of 60", model_calls=40)
    verdict = world.judge(part, baseline)
    assert verdict.settling is not None
    assert (verdict.settling.trials, verdict.settling.calls) == (20, 20)
