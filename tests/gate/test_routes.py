"""What the routes of a workflow came to, as a verdict tells it."""

from __future__ import annotations

from evalkit import codec
from evalkit.gate.verdict import RouteTotals, Verdict

from .world import World, passing


def test_each_route_has_its_trials_cost_tokens_and_time_of_both_runs(world: World) -> None:
    outcomes = {"answer": passing(world.cases, trials=2)}
    small = {"case-001", "case-002"}
    baseline = world.run(outcomes, route=lambda _: "large")
    candidate = world.run(
        outcomes, version="2", route=lambda name: "small" if name in small else "large", unfinished=[("case-001", 1)]
    )
    verdict = world.judge(candidate, baseline)
    assert [item.route for item in verdict.routes] == ["large", "small"], "the most used one first"
    large, other = verdict.routes
    assert (large.before.trials, large.now.trials) == (120, 116)
    assert other.before == RouteTotals()
    assert other.now == RouteTotals(3, 15, 27, 3, 6_000), "a trial that failed is not counted"
    assert codec.decode(Verdict, codec.encode(verdict)) == verdict


def test_one_route_is_nothing_to_tell(world: World) -> None:
    runs = [world.run({"answer": passing(world.cases)}, route=lambda _: "default") for _ in range(2)]
    assert world.judge(runs[1], runs[0]).routes == ()
    assert world.judge(runs[1], None).routes == ()
