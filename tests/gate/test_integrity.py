"""What a run or its baseline lacks is said, and is never a PASS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.gate import Verdict

from .world import World, make_cases, measured, passing, rule

COUNT = 60


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "store", make_cases(COUNT, critical=lambda index: index < 3))


def against_good(world: World, trials: int = 1, **changes: Any) -> Verdict:
    """A run in which everything passes against a baseline in which everything passes, but for the changes."""
    outcomes = {"answer": passing(world.cases, trials=trials), "cost": measured(world.cases, 0.01)}
    return world.judge(
        world.run(outcomes, version="2", **changes), world.run(outcomes), margin="9pt", critical_trials=1
    )


def test_a_run_that_lacks_nothing_has_no_rule_on_it(world: World) -> None:
    verdict = against_good(world)
    assert (verdict.verdict, {found.id for found in verdict.rules}) == ("PASS", {"critical cases", "answer"})


def test_a_lost_score_is_an_error_that_names_the_grader(world: World) -> None:
    verdict = against_good(world, lost=[("answer", "case-030"), ("cost", "case-031")])
    found = rule(verdict, "scores")
    assert (verdict.verdict, found.status, found.candidate) == ("ERROR", "error", 2)
    assert "answer has 59" in found.sentence
    assert "cost has 59" in found.sentence


def test_a_trial_too_few_of_a_case_is_an_error_that_names_the_case(world: World) -> None:
    verdict = against_good(world, trials=1, trials_per_case=2)
    assert verdict.verdict == "ERROR"
    assert len(rule(verdict, "cases").cases) == COUNT


def test_a_case_that_the_golden_set_does_not_know_is_an_error(world: World) -> None:
    outcomes = {"answer": passing(world.cases)}
    candidate = world.run(outcomes, version="2")
    verdict = world.judge(candidate, world.run(outcomes), cases=world.cases[:-1], margin="9pt", critical_trials=1)
    assert verdict.verdict == "ERROR"
    assert rule(verdict, "cases").cases == ("case-059",)


def test_a_baseline_of_a_part_leaves_the_verdict_open_and_says_which_cases(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases[:40])}, selection="a sample of 40 of 60")
    verdict = world.judge(
        world.run({"answer": passing(world.cases)}, version="2"), baseline, margin="9pt", critical_trials=1
    )
    found = rule(verdict, "baseline covers the run")
    assert (verdict.verdict, found.status, len(found.cases)) == ("INCONCLUSIVE", "inconclusive", 20)
    assert "a sample of 40 of 60" in found.sentence


def test_errors_of_the_baseline_are_left_out_and_named(world: World) -> None:
    broken = passing(world.cases) | {"case-010": ["error"], "case-011": ["error"]}
    verdict = world.judge(
        world.run({"answer": passing(world.cases)}, version="2"),
        world.run({"answer": broken}),
        margin="9pt",
        critical_trials=1,
    )
    assert verdict.verdict == "ERROR"
    assert rule(verdict, "baseline without errors").cases == ("case-010", "case-011")
    assert rule(verdict, "answer").n == COUNT - 2


def test_a_grader_that_no_longer_applies_is_a_note(world: World) -> None:
    now = passing(world.cases) | {"case-010": ["n/a"]}
    verdict = world.judge(
        world.run({"answer": now, "tone": passing(world.cases)}, version="2"),
        world.run({"answer": passing(world.cases), "tone": passing(world.cases)}),
        margin="9pt",
        critical_trials=1,
    )
    assert verdict.verdict == "PASS with notes"
    assert rule(verdict, "graders still apply").cases == ("case-010",)


def test_a_run_of_a_part_is_held_to_what_it_says_of_itself(world: World) -> None:
    part = world.run({"answer": passing(world.cases[:30])}, version="2", selection="30 cases", trials=31)
    verdict = world.judge(part, world.run({"answer": passing(world.cases)}), margin="20pt")
    assert rule(verdict, "trials").status == "error"


def test_a_run_compared_with_itself_is_not_said_to_lack_anything(world: World) -> None:
    run = world.run({"answer": passing(world.cases)})
    assert world.judge(run, run).verdict == "PASS"


def test_scores_that_the_baseline_lacks_are_an_error_too(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)}, lost=[("answer", "case-010")])
    verdict = world.judge(
        world.run({"answer": passing(world.cases, "case-010")}, version="2"), baseline, margin="9pt", critical_trials=1
    )
    assert verdict.verdict == "ERROR"
    assert "of the baseline: answer has 59" in rule(verdict, "scores of the baseline").sentence


@pytest.mark.parametrize(("failing", "status"), [(4, "note"), (20, "inconclusive")])
def test_cases_that_are_judged_for_the_first_time_and_fail_are_not_passed_over(
    world: World, failing: int, status: str
) -> None:
    ids = [case.id for case in world.cases[10 : 10 + failing]]
    baseline = world.run({"answer": passing(world.cases) | {case_id: ["n/a"] for case_id in ids}})
    candidate = world.run({"answer": passing(world.cases, *ids)}, version="2")
    verdict = world.judge(candidate, baseline, margin="9pt", critical_trials=1)
    found = rule(verdict, "newly judged cases")
    assert (found.status, list(found.cases)) == (status, ids)
    assert verdict.verdict != "PASS"


def test_quality_graders_that_apply_to_no_case_leave_the_verdict_open(world: World) -> None:
    run = world.run({"answer": {case.id: ["n/a"] for case in world.cases[3:]}, "cost": measured(world.cases, 0.01)})
    assert world.judge(run, run, critical=None).verdict == "INCONCLUSIVE"


def test_a_quality_grader_that_was_taken_away_leaves_the_verdict_open(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases), "refusal": passing(world.cases)})
    candidate = world.run({"answer": passing(world.cases)}, version="2")
    baseline.add_scores(candidate.run.grading, candidate.run.graders, candidate.scores())
    verdict = world.judge(candidate, baseline, margin="9pt", critical_trials=1)
    assert verdict.verdict == "INCONCLUSIVE"
    assert "refusal" in rule(verdict, "graders of the baseline").sentence


def test_a_part_of_an_older_golden_set_is_no_whole_baseline(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases[:40])}, selection="a sample of 40 of 60")
    grown = make_cases(COUNT + 1, critical=lambda index: index < 3)
    candidate = world.run({"answer": passing(grown)}, version="2", cases=grown)
    verdict = world.judge(
        candidate, baseline, cases=grown, margin="9pt", critical_trials=1, on_golden_change="common_cases"
    )
    assert verdict.verdict == "INCONCLUSIVE"


def test_errors_and_failures_of_cases_that_are_not_compared_do_not_count(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases) | {"case-059": ["error"]}})
    kept = world.cases[:-1]
    candidate = world.run({"answer": passing(kept)}, version="2", cases=kept)
    verdict = world.judge(
        candidate, baseline, cases=kept, margin="9pt", critical_trials=1, on_golden_change="common_cases"
    )
    assert verdict.verdict == "PASS with notes"
