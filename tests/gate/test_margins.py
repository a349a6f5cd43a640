"""No worse than the baseline by more than a margin: dilution, several graders, small samples, errors, slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evalkit.gate import Verdict
from evalkit.stats import holm, paired_difference

from .world import World, make_cases, measured, passing, rule


def ids(count: int, start: int = 0) -> list[str]:
    return [f"case-{index:03d}" for index in range(start, start + count)]


def with_broken(world: World, broken: int, *, graders: int = 1, **spec: Any) -> Verdict:
    names = [f"grader{number}" for number in range(graders)]
    baseline = world.run({name: passing(world.cases) for name in names})
    marks = {name: passing(world.cases, *(ids(broken) if name == names[0] else ())) for name in names}
    return world.judge(world.run(marks, version="2"), baseline, **spec)


# ── what counts ─────────────────────────────────────────────────────────────────────────


def test_numbers_are_those_of_the_paired_comparison(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases, *ids(4))})
    candidate = world.run({"answer": passing(world.cases, *ids(9, 2))}, version="2")
    found = rule(world.judge(candidate, baseline), "answer")
    before, now = np.ones(60), np.ones(60)
    before[:4], now[2:11] = 0, 0
    expected = paired_difference(before, now, tail_low=0.10, tail_high=0.05)
    assert (found.n, found.baseline, found.candidate, found.delta) == (
        60, expected.baseline, expected.candidate, expected.delta,
    )  # fmt: skip
    assert (found.low, found.high, found.p) == (expected.low, expected.high, expected.p_worse)
    assert (found.broke, found.fixed, found.method) == (7, 2, expected.method)


def test_untouched_cases_dilute_the_drop(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)}, touched=ids(20))
    candidate = world.run({"answer": passing(world.cases, *ids(3))}, version="2", touched=ids(20))
    touched = rule(world.judge(candidate, baseline), "answer")
    assert (touched.n, touched.touched) == (60, 20)
    assert touched.delta == pytest.approx(-3 / 60)
    everywhere = rule(with_broken(World(world.root / "all", world.cases), 3), "grader0")
    assert everywhere.delta == touched.delta
    assert everywhere.low is not None
    assert touched.low is not None
    assert touched.low > everywhere.low


def test_cases_of_one_cluster_count_as_one(world: World) -> None:
    apart = with_broken(world, 10)
    together = with_broken(World(world.root / "clusters", make_cases(60, cluster=lambda i: f"source-{i // 10}")), 10)
    assert (apart.verdict, together.verdict) == ("BLOCKED", "INCONCLUSIVE")
    assert rule(together, "grader0").p == 0.5
    assert rule(apart, "grader0").p == 0.5**10


def test_alpha_and_beta_set_the_confidence(world: World) -> None:
    strict, lax = (with_broken(World(world.root / str(beta), world.cases), 2, beta=beta) for beta in (0.05, 0.25))
    lows = [rule(verdict, "grader0").low or 0 for verdict in (strict, lax)]
    assert lows[0] < lows[1]
    assert "75% confidence" in with_broken(World(world.root / "words", world.cases), 0, beta=0.25).sentence
    assert with_broken(World(world.root / "a", world.cases), 6, alpha=0.05).verdict == "BLOCKED"
    assert with_broken(World(world.root / "b", world.cases), 6, alpha=0.01).verdict == "INCONCLUSIVE"


def test_the_margin_decides_between_note_doubt_and_block(world: World) -> None:
    verdicts = [
        with_broken(World(world.root / margin, world.cases), 8, margin=margin).verdict
        for margin in ("5pt", "21pt", "30pt")
    ]
    assert verdicts == ["BLOCKED", "PASS with notes", "PASS with notes"]


def test_several_graders_share_the_false_alarms(world: World) -> None:
    alone = rule(with_broken(World(world.root / "one", world.cases), 6), "grader0")
    among = with_broken(World(world.root / "six", world.cases), 6, graders=6)
    assert (alone.status, rule(among, "grader0").status) == ("block", "inconclusive")
    assert [rule(among, f"grader{number}").p for number in range(6)] == holm([0.5**6, 1, 1, 1, 1, 1])
    assert among.verdict == "INCONCLUSIVE"


def test_improvement_passes_and_says_so(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases, *ids(12))})
    verdict = world.judge(world.run({"answer": passing(world.cases)}, version="2"), baseline)
    assert verdict.verdict == "PASS"
    assert (verdict.counts.improved, verdict.counts.regressed) == (12, 0)
    assert "0 regressed, 12 improved of 60 cases" in verdict.sentence


def test_net_zero_passes_the_mean_but_names_what_broke(world: World) -> None:
    large = World(world.root, make_cases(300))
    baseline = large.run({"answer": passing(large.cases, *ids(5))})
    verdict = large.judge(large.run({"answer": passing(large.cases, *ids(5, 5))}, version="2"), baseline)
    assert verdict.verdict == "PASS"
    assert rule(verdict, "answer").cases == tuple(ids(5, 5))
    assert (verdict.counts.regressed, verdict.counts.improved) == (5, 5)


def test_several_trials_count_as_rates(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases, trials=3)})
    marks = passing(world.cases, trials=3) | {case: [True, False, False] for case in ids(20)}
    found = rule(world.judge(world.run({"answer": marks}, version="2"), baseline), "answer")
    assert found.status == "block"
    assert found.delta == pytest.approx(-20 * 2 / 3 / 60)
    assert found.broke == pytest.approx(20 * 2 / 3)
    assert "t interval" in found.method


def test_a_rule_on_the_mean_judges_values(world: World) -> None:
    baseline = world.run({"similarity": {case.id: [0.9] for case in world.cases}})
    candidate = world.run({"similarity": {case.id: [0.7] for case in world.cases}}, version="2")
    spec: dict[str, Any] = {"rules": [{"id": "similar", "grader": "similarity", "metric": "mean", "max_drop": "10pt"}]}
    found = rule(world.judge(candidate, baseline, **spec), "similar")
    assert (found.status, found.metric) == ("block", "mean")
    assert found.delta == pytest.approx(-0.2)
    assert world.judge(candidate, candidate, **spec).verdict == "INCONCLUSIVE"  # nothing says whether an answer passes


# ── few cases and lost ones ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("count", "verdict"), [(0, "INCONCLUSIVE"), (29, "INCONCLUSIVE"), (30, "PASS")])
def test_fewer_pairs_than_wanted_never_pass(world: World, count: int, verdict: str) -> None:
    baseline = world.run({"answer": passing(world.cases[:count]), "other": passing(world.cases)})
    candidate = world.run({"answer": passing(world.cases), "other": passing(world.cases)}, version="2")
    assert world.judge(candidate, baseline, min_cases=30, margin="8pt").verdict == verdict


def test_enough_more_cases_settle_a_doubt(world: World) -> None:
    doubtful = with_broken(world, 1)
    assert doubtful.verdict == "INCONCLUSIVE"
    more = int(doubtful.sentence.split("about ")[1].split()[0])
    large = World(world.root / "large", make_cases(60 + more))
    share = round((60 + more) / 60)
    assert with_broken(large, share).verdict in ("PASS", "PASS with notes")


def test_cases_that_only_one_side_has_are_no_evidence(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases[:50], *ids(2))})
    candidate = world.run({"answer": passing(world.cases, *ids(10, 50))}, version="2")
    verdict = world.judge(candidate, baseline)
    assert rule(verdict, "answer").n == 50
    assert (verdict.counts.new, verdict.counts.improved) == (10, 2)


# ── errors ──────────────────────────────────────────────────────────────────────────────


def test_an_error_counts_as_not_passed(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    marks = passing(world.cases) | {"case-000": ["error"]}
    found = rule(world.judge(world.run({"answer": marks}, version="2"), baseline), "answer")
    assert found.candidate == pytest.approx(59 / 60)


def test_errors_alone_are_no_regression(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    marks = passing(world.cases) | {case: ["error"] for case in ids(25)}
    verdict = world.judge(world.run({"answer": marks}, version="2"), baseline)
    assert (verdict.verdict, verdict.exit_code, rule(verdict, "answer").status) == ("ERROR", 3, "error")
    assert "Errors alone make the difference for answer" in rule(verdict, "answer").sentence


def test_failures_beside_errors_are_a_regression(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    marks = passing(world.cases, *ids(15, 30)) | {case: ["error"] for case in ids(10)}
    verdict = world.judge(world.run({"answer": marks}, version="2"), baseline)
    assert (verdict.verdict, rule(verdict, "answer").status) == ("BLOCKED", "block")


# ── slices ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def sliced(world: World) -> World:
    """Ninety cases: fifty of team a, thirty of b, six of c and four of none."""
    return World(
        world.root,
        make_cases(90, slices=lambda i: {"team": "a" if i < 50 else "b" if i < 80 else "c"} if i < 86 else {}),
    )


def test_a_rule_on_a_slice_sees_that_slice_alone(sliced: World) -> None:
    baseline = sliced.run({"answer": passing(sliced.cases)})
    candidate = sliced.run({"answer": passing(sliced.cases, *ids(7, 50))}, version="2")
    spec: dict[str, Any] = {"margin": "15pt", "rules": [{"grader": "answer", "slice": "team=b", "max_drop": "5pt"}]}
    verdict = sliced.judge(candidate, baseline, **spec)
    found = rule(verdict, "answer.pass_rate[team=b].drop")
    assert (found.n, found.status, found.slice) == (30, "block", "team=b")
    assert found.delta == pytest.approx(-7 / 30)
    assert "answer in team=b" in found.sentence
    assert rule(verdict, "answer").status == "note"


def test_a_rule_on_a_slice_that_no_case_is_in_is_no_pass(sliced: World) -> None:
    run = sliced.run({"answer": passing(sliced.cases)})
    for limit in ({"max_drop": "5pt"}, {"min": "80%"}, {"metric": "mean", "max_increase": "5%"}):
        verdict = sliced.judge(run, run, rules=[{"grader": "answer", "slice": "team=z", **limit}])
        assert verdict.verdict == "INCONCLUSIVE"


def test_slices_are_shown_worst_first_and_small_ones_last(sliced: World) -> None:
    baseline = sliced.run({"answer": passing(sliced.cases)})
    candidate = sliced.run({"answer": passing(sliced.cases, *ids(3, 50), *ids(6, 80))}, version="2")
    verdict = sliced.judge(candidate, baseline)
    found = [(item.value, item.n, round(item.delta, 3), item.small) for item in verdict.slices if item.key == "team"]
    assert found == [("b", 30, -0.1, False), ("a", 50, 0.0, False), ("c", 6, -1.0, True)]
    assert [item.small for item in verdict.slices] == sorted(item.small for item in verdict.slices)
    shown = sliced.judge(candidate, baseline, min_slice=6)
    assert next(item for item in shown.slices if item.value == "c").small is False


def test_built_in_keys_are_slices_too(world: World) -> None:
    mixed = World(world.root, make_cases(40, intent=lambda i: "refund" if i % 2 else "", locale="de", risk="high"))
    run = mixed.run({"answer": passing(mixed.cases)})
    found = {(item.key, item.value): item.n for item in mixed.judge(run, run).slices}
    assert found == {("intent", "refund"): 20, ("locale", "de"): 40, ("risk", "high"): 40, ("role", "user"): 40}


def test_measuring_graders_have_no_slices(sliced: World) -> None:
    outcomes = {"answer": passing(sliced.cases), "cost": measured(sliced.cases, 0.01)}
    verdict = sliced.judge(sliced.run(outcomes), sliced.run(outcomes))
    assert {item.grader for item in verdict.slices} == {"answer"}


def test_a_key_that_tells_cases_apart_makes_no_slices(world: World) -> None:
    orders = World(
        world.root,
        make_cases(60, slices=lambda i: {"order": f"K-{max(i, 3)}", "team": f"t{i % 2}", "pair": f"p{i // 2}"}),
    )
    run = orders.run({"answer": passing(orders.cases)})
    keys = [item.key for item in orders.judge(run, run).slices]
    assert "order" not in keys, "57 values in 60 cases"
    assert keys.count("team") == 2
    assert keys.count("pair") == 30
