"""Critical cases: every failure counts, whatever the statistics."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.stats import zero_failures_bound

from .world import World, make_cases, passing, rule


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A hundred cases, the first twelve critical."""
    return World(tmp_path / "store", make_cases(100, critical=lambda index: index < 12))


def test_one_failed_critical_case_blocks_where_the_margin_would_not(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    verdict = world.judge(world.run({"answer": passing(world.cases, "case-003")}, version="2"), baseline, margin="10pt")
    assert (verdict.verdict, verdict.exit_code) == ("BLOCKED", 1)
    critical = rule(verdict, "critical cases")
    assert verdict.blocking == (critical,)
    assert (critical.n, critical.baseline, critical.candidate, critical.limit) == (12, 0, 1, 0)
    assert critical.cases == ("case-003",)
    assert verdict.sentence.startswith("1 critical case failed; 0 allowed.")


def test_failures_of_other_cases_are_none_of_critical_ones(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    verdict = world.judge(world.run({"answer": passing(world.cases, "case-050")}, version="2"), baseline, margin="10pt")
    assert (verdict.verdict, rule(verdict, "critical cases").status) == ("PASS", "pass")


def test_no_failure_says_what_that_proves(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases, trials=5)})
    verdict = world.judge(world.run({"answer": passing(world.cases, trials=5)}, version="2"), baseline)
    critical = rule(verdict, "critical cases")
    assert critical.status == "pass"
    assert f"{zero_failures_bound(60):.1%}" in critical.sentence
    assert "4.9%" in critical.sentence


@pytest.mark.parametrize("failing", [[False, True, True], [True, True, False], [False, False, False]])
def test_one_failed_trial_of_several_is_a_failure(world: World, failing: list[bool]) -> None:
    baseline = world.run({"answer": passing(world.cases, trials=3)})
    marks = passing(world.cases, trials=3) | {"case-003": failing}
    verdict = world.judge(world.run({"answer": marks}, version="2"), baseline, margin="20pt")
    assert (verdict.verdict, rule(verdict, "critical cases").cases) == ("BLOCKED", ("case-003",))


def test_any_quality_grader_can_fail_a_critical_case(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases), "refusal": passing(world.cases)})
    candidate = world.run({"answer": passing(world.cases), "refusal": passing(world.cases, "case-000")}, version="2")
    assert rule(world.judge(candidate, baseline), "critical cases").cases == ("case-000",)


def test_a_grader_that_only_measures_cannot(world: World) -> None:
    over = {case.id: [False] for case in world.cases}
    run = world.run({"answer": passing(world.cases), "cost": over})
    assert world.judge(run, run).verdict == "PASS"


def test_critical_cases_block_without_a_baseline_and_when_it_failed_too(world: World) -> None:
    candidate = world.run({"answer": passing(world.cases, "case-003", "case-004")})
    alone = world.judge(candidate, None)
    assert (alone.verdict, rule(alone, "critical cases").baseline) == ("BLOCKED", None)
    before = world.run({"answer": passing(world.cases, "case-003")})
    known = world.judge(candidate, before)
    assert known.verdict == "BLOCKED"
    critical = rule(known, "critical cases")
    assert critical.baseline == 1
    assert critical.cases == ("case-004", "case-003")
    assert critical.sentence == "2 critical cases failed, 1 of them new; 0 allowed."


@pytest.mark.parametrize(("allowed", "verdict"), [(1, "BLOCKED"), (2, "PASS"), (None, "PASS")])
def test_so_many_may_fail(world: World, allowed: int | None, verdict: str) -> None:
    run = world.run({"answer": passing(world.cases, "case-003", "case-004")})
    found = world.judge(run, run, critical=allowed)
    assert found.verdict == verdict
    assert any(item.id == "critical cases" for item in found.rules) is (allowed is not None)


def test_a_failing_critical_case_is_shown_though_unchanged(world: World) -> None:
    run = world.run({"answer": passing(world.cases, "case-003", "case-050")})
    shown = world.judge(run, run).cases
    assert [(case.case_id, case.status, case.critical) for case in shown] == [("case-003", "unchanged", True)]


def test_a_critical_case_that_did_not_finish_is_no_pass(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    marks = passing(world.cases) | {"case-003": ["error"]}
    verdict = world.judge(world.run({"answer": marks}, version="2", unfinished=[("case-003", 0)]), baseline)
    assert (verdict.verdict, verdict.exit_code) == ("ERROR", 3)


def test_a_failed_trial_beside_one_with_an_error_is_still_a_failure(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases, trials=2)})
    marks = passing(world.cases, trials=2) | {"case-003": [False, "error"]}
    verdict = world.judge(world.run({"answer": marks}, version="2"), baseline)
    assert rule(verdict, "critical cases").cases == ("case-003",)
    assert verdict.verdict == "BLOCKED"


@pytest.mark.parametrize("lost", [["n/a"], []])
def test_a_critical_case_that_lost_its_score_is_no_pass(world: World, lost: list[bool]) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    marks = passing(world.cases) | {"case-003": lost}
    verdict = world.judge(world.run({"answer": marks}, version="2"), baseline)
    assert verdict.exit_code != 0


def test_a_failure_is_not_forgiven_because_its_case_is_not_known(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    candidate = world.run({"answer": passing(world.cases, "case-003")}, version="2")
    assert world.judge(candidate, baseline, cases=world.cases[12:], margin="10pt").exit_code != 0
