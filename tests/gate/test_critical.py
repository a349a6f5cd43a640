"""Critical cases: every failure counts, whatever the statistics."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.records import Score
from evalkit.stats import zero_failures_bound
from evalkit.store import RunFolder
from evalkit.store.regrades import Regrade, write_regrades

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
    candidate = world.run({"answer": passing(world.cases, "case-050")}, version="2", touched=["case-050"])
    baseline = world.run({"answer": passing(world.cases)}, touched=["case-050"])
    verdict = world.judge(candidate, baseline, margin="10pt")
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


@pytest.mark.parametrize(
    ("trials", "touched", "status", "asked"),
    [
        (1, None, "inconclusive", 48),
        (4, None, "inconclusive", 12),
        (5, None, None, 0),
        (1, ["case-050"], None, 0),
        (1, ["case-003", "case-050"], "inconclusive", 4),
    ],
)
def test_touched_critical_cases_need_five_trials(
    world: World, trials: int, touched: list[str] | None, status: str | None, asked: int
) -> None:
    baseline = world.run({"answer": passing(world.cases, trials=trials)}, touched=touched)
    candidate = world.run({"answer": passing(world.cases, trials=trials)}, version="2", touched=touched)
    verdict = world.judge(candidate, baseline)
    few = [found for found in verdict.rules if found.id == "trials of critical cases"]
    assert [found.status for found in few] == ([status] if status else [])
    assert verdict.verdict == ("INCONCLUSIVE" if status else "PASS")
    assert sum(verdict.next_trials.values()) == asked
    assert world.judge(candidate, baseline, critical_trials=trials).verdict == "PASS"
    assert world.judge(candidate, baseline, critical=None).verdict == "PASS"


def test_trials_that_no_grader_judged_are_not_made_up_for(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases, trials=5)})
    marks = passing(world.cases, trials=5) | {"case-003": [True, True, "n/a", "n/a", "n/a"]}
    verdict = world.judge(world.run({"answer": marks}, version="2"), baseline)
    few = rule(verdict, "trials of critical cases")
    assert (few.status, few.cases, few.candidate) == ("inconclusive", ("case-003",), 2)
    assert not verdict.next_trials


def test_without_a_baseline_no_case_is_touched(world: World) -> None:
    verdict = world.judge(world.run({"answer": passing(world.cases)}), None)
    assert [found.id for found in verdict.rules if "critical" in found.id] == ["critical cases"]
    assert "fewer than 22.1% of such requests would" in rule(verdict, "critical cases").sentence


def test_cases_of_one_cluster_are_one_request(tmp_path: Path) -> None:
    world = World(
        tmp_path / "store",
        make_cases(60, critical=lambda index: index < 12, cluster=lambda index: f"talk {index // 4}"),
    )
    run = world.run({"answer": passing(world.cases, trials=5)})
    sentence = rule(world.judge(run, run), "critical cases").sentence
    assert "12 cases in 3 independent groups rule out no rate below 63.2%" in sentence
    assert "these cases fail in fewer than 4.9% of trials" in sentence


def asked_again(world: World, folder: RunFolder, *answers: bool, case_id: str = "case-003", trial: int = 0) -> None:
    """What the judge said when it was asked again about an answer."""
    ref = next(ref for ref in folder.run.graders if ref.name == "judge")
    row = next(
        row for row in folder.trials().to_pylist() if (row["case_id"], row["trial"]) == (case_id, trial)
    )  # fmt: skip
    write_regrades(
        folder,
        folder.run.grading,
        [
            Regrade(
                Score(case_id, trial, "judge", "1", ref.fingerprint, "ok", value=float(passed), passed=passed),
                row["trial_key"], row["source_run"], attempt,
            )
            for attempt, passed in enumerate(answers)
        ],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "verdict", "status", "disputed"),
    [
        ((False, False, False), "BLOCKED", "block", False),
        ((False, True, False), "BLOCKED", "block", False),
        ((True, False, True), "PASS with notes", "pass", True),
        ((True, True), "PASS with notes", "pass", True),
        ((True, False), "INCONCLUSIVE", "inconclusive", False),
        ((), "INCONCLUSIVE", "inconclusive", False),
    ],
)
def test_a_failure_by_a_grader_that_varies_is_what_most_of_its_answers_say(
    world: World, answers: tuple[bool, ...], verdict: str, status: str, disputed: bool
) -> None:
    baseline = world.run({"judge": passing(world.cases, trials=5)})
    marks = passing(world.cases, trials=5) | {"case-003": [True, True, False, True, True]}
    candidate = world.run({"judge": marks}, version="2")
    if answers:
        asked_again(world, candidate, *answers, trial=2)
    found = world.judge(candidate, baseline)
    assert (found.verdict, rule(found, "critical cases").status) == (verdict, status)
    notes = [item for item in found.rules if item.id == "disputed critical cases"]
    assert [(item.status, item.cases) for item in notes] == ([("note", ("case-003",))] if disputed else [])
    assert world.judge(candidate, baseline).rules == found.rules
    if status == "block":
        assert world.sql(found, rule(found, "critical cases").sql.replace(".evalkit", str(world.root))) == [
            {"case_id": "case-003"}
        ]
    if disputed:
        assert world.sql(found, rule(found, "critical cases").sql.replace(".evalkit", str(world.root))) == []
        assert "judge mostly passed it" in found.sentence
        assert "case-003" in found.sentence


def test_a_grader_that_never_varies_is_not_outvoted(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases, trials=5), "judge": passing(world.cases, trials=5)})
    marks = passing(world.cases, trials=5) | {"case-003": [True, True, False, True, True]}
    candidate = world.run({"answer": marks, "judge": marks}, version="2")
    asked_again(world, candidate, True, True, True, trial=2)
    assert rule(world.judge(candidate, baseline), "critical cases").status == "block"


def test_a_failure_of_an_earlier_run_of_the_candidate_stays(world: World) -> None:
    for _ in range(6):
        baseline = world.run({"answer": passing(world.cases)})
    world.run({"answer": passing(world.cases, "case-003")}, version="2")
    again = world.run({"answer": passing(world.cases, trials=5)}, version="2")
    other = world.run({"answer": passing(world.cases, trials=5)}, version="3")
    verdict = world.judge(again, baseline, history=True)
    found = rule(verdict, "critical cases")
    assert (found.status, found.cases) == ("block", ("case-003",))
    assert "1 of them in an earlier run of the same candidate" in found.sentence
    assert world.sql(verdict, found.sql) == [{"case_id": "case-003"}]
    assert rule(world.judge(other, baseline, history=True), "critical cases").status == "pass"
