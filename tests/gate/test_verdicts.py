"""Each verdict, what leads to it, and its exit code."""

from __future__ import annotations

import itertools

import pytest

from evalkit import codec
from evalkit.errors import ExitCode
from evalkit.gate import Verdict, worst
from evalkit.gate.verdict import VERDICTS, VerdictName

from .world import World, make_cases, measured, passing, rule


def ids(count: int, start: int = 0) -> list[str]:
    return [f"case-{index:03d}" for index in range(start, start + count)]


def test_pass_where_nothing_that_a_case_depends_on_differs(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases, "case-007")}, touched=())
    verdict = world.judge(world.run({"answer": passing(world.cases, "case-007")}, touched=()), baseline)
    assert (verdict.verdict, verdict.exit_code) == ("PASS", 0)
    assert verdict.sentence.startswith("Proven unchanged")
    answer = rule(verdict, "answer")
    assert (answer.status, answer.n, answer.touched, answer.delta, answer.low, answer.high) == ("pass", 60, 0, 0, 0, 0)


def test_pass_where_a_drop_of_the_margin_is_ruled_out(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    verdict = world.judge(world.run({"answer": passing(world.cases)}, version="2"), baseline)
    assert (verdict.verdict, verdict.exit_code) == ("PASS", 0)
    assert "60 of 60 cases touched" in verdict.sentence
    assert "5.0 points or more is ruled out at 90%" in verdict.sentence
    assert rule(verdict, "answer").touched == 60


def test_pass_with_notes_where_a_drop_is_real_but_smaller_than_the_margin(world: World) -> None:
    large = World(world.root, make_cases(400))
    baseline = large.run({"answer": passing(large.cases)})
    verdict = large.judge(large.run({"answer": passing(large.cases, *ids(8))}, version="2"), baseline)
    assert (verdict.verdict, verdict.exit_code) == ("PASS with notes", 0)
    assert rule(verdict, "answer").status == "note"
    assert "but answer is lower: −2.0 points" in verdict.sentence


def test_pass_with_notes_where_evalkit_itself_is_another_version(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)}, evalkit="0.9.0")
    verdict = world.judge(world.run({"answer": passing(world.cases)}), baseline)
    assert (verdict.verdict, verdict.exit_code) == ("PASS with notes", 0)
    assert verdict.notes == ("The baseline was made with evalkit 0.9.0, this run with 1.0.0.",)
    assert verdict.notes[0] in verdict.sentence


def test_blocked_by_the_margin(world: World) -> None:
    broken = ids(12)
    baseline = world.run({"answer": passing(world.cases)})
    verdict = world.judge(world.run({"answer": passing(world.cases, *broken)}, version="2"), baseline)
    assert (verdict.verdict, verdict.exit_code) == ("BLOCKED", 1)
    answer = rule(verdict, "answer")
    assert verdict.blocking == (answer,)
    assert (answer.status, answer.broke, answer.fixed, answer.limit) == ("block", 12, 0, -0.05)
    assert answer.cases == tuple(broken)
    assert "Worse than the baseline at 95% confidence: answer −20.0 points" in verdict.sentence
    assert "12 regressed, 0 improved of 60 cases" in verdict.sentence


def test_inconclusive_with_too_few_cases(world: World) -> None:
    few = World(world.root, make_cases(19))
    baseline = few.run({"answer": passing(few.cases)})
    verdict = few.judge(few.run({"answer": passing(few.cases)}, version="2"), baseline)
    assert (verdict.verdict, verdict.exit_code) == ("INCONCLUSIVE", 5)
    assert "Only 19 cases for answer; at least 20 are needed." in verdict.sentence


def test_inconclusive_without_enough_evidence(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    verdict = world.judge(world.run({"answer": passing(world.cases, *ids(2))}, version="2"), baseline)
    assert (verdict.verdict, verdict.exit_code) == ("INCONCLUSIVE", 5)
    assert "Not enough evidence: answer could be anything from −7" in verdict.sentence


def test_inconclusive_where_only_a_part_of_the_set_was_run(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    part = world.run({"answer": passing(world.cases[:40])}, selection="a sample of 40 of 60")
    verdict = world.judge(part, baseline)
    assert rule(verdict, "answer").status == "pass"
    assert (verdict.verdict, verdict.exit_code) == ("INCONCLUSIVE", 5)
    assert "Only a part of the golden set was run: a sample of 40 of 60." in verdict.sentence


def test_a_part_of_the_set_is_enough_to_block(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    part = world.run({"answer": passing(world.cases[:40], *ids(20))}, version="2", selection="a sample of 40 of 60")
    assert world.judge(part, baseline).exit_code == ExitCode.BLOCKED


def test_not_comparable_without_a_baseline(world: World) -> None:
    verdict = world.judge(world.run({"answer": passing(world.cases)}), None)
    assert (verdict.verdict, verdict.exit_code) == ("NOT COMPARABLE", 4)
    assert verdict.sentence == "There is no baseline to compare with."
    answer = rule(verdict, "answer")
    assert (answer.status, answer.baseline, answer.delta, answer.low, answer.p) == (
        "not_comparable", None, None, None, None,
    )  # fmt: skip
    assert (verdict.baseline_run, verdict.cases, verdict.slices, verdict.changes) == ("", (), (), ())


def test_not_comparable_where_the_golden_set_differs(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    others = make_cases(61)
    verdict = world.judge(world.run({"answer": passing(others)}, cases=others), baseline, cases=others)
    assert (verdict.verdict, verdict.exit_code) == ("NOT COMPARABLE", 4)
    assert verdict.sentence.startswith("The golden set differs: support@1.0.0 before, support@1.1.0 now.")


def test_not_comparable_with_a_run_of_another_workflow(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)}, workflow="billing")
    verdict = world.judge(world.run({"answer": passing(world.cases)}), baseline)
    assert (verdict.verdict, verdict.exit_code) == ("NOT COMPARABLE", 4)
    assert "the baseline is of billing" in verdict.sentence


def test_not_comparable_costs_where_a_model_has_another_price(world: World) -> None:
    outcomes = {"answer": passing(world.cases), "cost": measured(world.cases, 0.01)}
    baseline = world.run(outcomes, model_prices={"small": "one", "large": "one"})
    dearer = world.run(outcomes, prices="q" * 64, model_prices={"small": "two"})
    verdict = world.judge(dearer, baseline, cost="+10%")
    assert (verdict.verdict, verdict.exit_code) == ("NOT COMPARABLE", 4)
    assert (rule(verdict, "answer").status, rule(verdict, "cost").status) == ("pass", "not_comparable")
    assert "another price" in verdict.sentence
    assert world.judge(dearer, baseline).verdict == "PASS"
    replaced = world.run(outcomes, prices="q" * 64, model_prices={"large": "one", "new": "three"})
    assert rule(world.judge(replaced, baseline, cost="+10%"), "cost").status == "pass"


def test_limits_of_the_candidate_alone_block_without_a_baseline(world: World) -> None:
    candidate = world.run({"answer": passing(world.cases, *ids(30))})
    verdict = world.judge(candidate, None, rules=[{"grader": "answer", "min": "80%"}])
    assert (verdict.verdict, verdict.exit_code) == ("BLOCKED", 1)
    assert rule(verdict, "answer.pass_rate.limit").baseline is None


def test_error_where_a_trial_did_not_finish(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    marks = passing(world.cases) | {"case-004": ["error"]}
    verdict = world.judge(world.run({"answer": marks}, version="2", unfinished=[("case-004", 0)]), baseline)
    assert (verdict.verdict, verdict.exit_code) == ("ERROR", 3)
    assert "1 trial of 60 did not finish. This says nothing about quality." in verdict.sentence
    assert rule(verdict, "trials").cases == ("case-004",)
    assert (verdict.counts.error, verdict.cases[0].status) == (1, "error")
    assert verdict.cases[0].candidate_answer == "(did not finish: timeout: no answer after 60 s)"


def test_error_where_a_grader_raised(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases), "tone": passing(world.cases)})
    marks = passing(world.cases) | {"case-004": ["error"], "case-009": ["error"]}
    verdict = world.judge(world.run({"answer": passing(world.cases), "tone": marks}, version="2"), baseline)
    assert (verdict.verdict, verdict.exit_code) == ("ERROR", 3)
    assert "Graders failed: tone on 2 cases." in verdict.sentence
    assert rule(verdict, "graders").cases == ("case-004", "case-009")


def test_error_where_nothing_was_run(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    for against in (baseline, None):
        verdict = world.judge(world.run({"answer": {}}), against)
        assert (verdict.verdict, verdict.exit_code) == ("ERROR", 3)
        assert "nothing was tested" in verdict.sentence


def test_error_where_a_rule_names_a_grader_without_scores(world: World) -> None:
    run = world.run({"answer": passing(world.cases)})
    verdict = world.judge(run, run, rules=[{"grader": "tone", "min": "80%"}])
    assert (verdict.verdict, verdict.exit_code) == ("ERROR", 3)
    assert "rader `tone`" in verdict.sentence
    assert rule(verdict, "tone.pass_rate.limit").status == "error"


def test_a_regression_is_blocked_even_where_something_failed_too(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    marks = passing(world.cases, *ids(20)) | {"case-050": ["error"]}
    verdict = world.judge(world.run({"answer": marks}, version="2"), baseline)
    assert verdict.exit_code == ExitCode.BLOCKED
    assert {found.status for found in verdict.rules} == {"block", "error"}


# ── the record ──────────────────────────────────────────────────────────────────────────


def test_a_verdict_survives_being_stored(world: World) -> None:
    outcomes = {"answer": passing(world.cases, *ids(12)), "cost": measured(world.cases, 0.02)}
    baseline = world.run({"answer": passing(world.cases), "cost": measured(world.cases, 0.01)})
    verdict = world.judge(world.run(outcomes, version="2"), baseline, cost="10%")
    assert codec.decode(Verdict, codec.encode(verdict)) == verdict


def test_judging_the_same_again_gives_the_same_verdict_and_another_gate_another_id(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    candidate = world.run({"answer": passing(world.cases, *ids(3))}, version="2")
    first, again = world.judge(candidate, baseline), world.judge(candidate, baseline)
    assert (first.id, first.rules, first.cases) == (again.id, again.rules, again.cases)
    others = [world.judge(candidate, baseline, margin="20pt"), world.judge(candidate, None)]
    assert len({first.id, *(other.id for other in others)}) == 3


@pytest.mark.parametrize(("better", "worse"), list(itertools.combinations(VERDICTS, 2)))
def test_worst_of_several(better: VerdictName, worse: VerdictName) -> None:
    assert worst([better, worse, better]) == worst([worse, better]) == worse


def test_worst_of_none_is_an_error() -> None:
    assert worst([]) == "ERROR"


def test_only_the_two_passes_leave_with_zero() -> None:
    assert {name for name, code in VERDICTS.items() if code == 0} == {"PASS", "PASS with notes"}
    assert {name: int(code) for name, code in VERDICTS.items() if code} == {
        "INCONCLUSIVE": 5, "ERROR": 3, "NOT COMPARABLE": 4, "BLOCKED": 1,
    }  # fmt: skip
