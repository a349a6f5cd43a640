"""What became of each case, and what a reviewer is shown of it."""

from __future__ import annotations

from dataclasses import replace

from evalkit.gate import CaseResult, Verdict
from evalkit.records import RouteStep, Score, ToolEvent, Trace
from evalkit.store import RunFolder, Runs
from evalkit.store.schema import StoredTrial

from .world import World, make_cases, measured, passing


def statuses(verdict: Verdict) -> dict[str, str]:
    return {case.case_id: case.status for case in verdict.cases}


def case(verdict: Verdict, case_id: str) -> CaseResult:
    return next(found for found in verdict.cases if found.case_id == case_id)


# ── statuses ────────────────────────────────────────────────────────────────────────────


def test_every_case_has_one_status_and_the_interesting_ones_are_shown(world: World) -> None:
    cases = world.cases
    before = passing(cases[:58], "case-001", "case-003", trials=2) | {"case-005": [True, False]}
    now = passing(cases[1:], "case-002", "case-003", trials=2) | {
        "case-004": [True, "error"],
        "case-005": [False, True],
        "case-006": [True, False],
    }
    verdict = world.judge(world.run({"answer": now}, version="2"), world.run({"answer": before}))
    assert statuses(verdict) == {
        "case-001": "improved",
        "case-002": "regressed",
        "case-004": "error",
        "case-005": "flaky",
        "case-006": "regressed",
        "case-058": "new",
        "case-059": "new",
    }
    counts = verdict.counts
    assert (counts.regressed, counts.improved, counts.error, counts.flaky) == (2, 1, 1, 1)
    assert (counts.new, counts.removed, counts.unchanged) == (2, 1, 52)


def test_a_drop_by_one_grader_is_a_regression_whatever_the_others_gain(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases), "tone": passing(world.cases, "case-000")})
    candidate = world.run({"answer": passing(world.cases, "case-000"), "tone": passing(world.cases)}, version="2")
    assert statuses(world.judge(candidate, baseline)) == {"case-000": "regressed"}


def test_measurements_alone_do_not_change_a_status(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases), "latency": measured(world.cases, 1.0)})
    candidate = world.run({"answer": passing(world.cases), "latency": measured(world.cases, 9.0)}, version="2")
    assert world.judge(candidate, baseline).counts.unchanged == 60


def test_a_case_without_a_quality_grade_is_not_new(world: World) -> None:
    marks = passing(world.cases) | {"case-000": ["n/a"]}
    outcomes = {"answer": marks, "cost": measured(world.cases, 0.01)}
    verdict = world.judge(world.run(outcomes, version="2"), world.run(outcomes))
    assert verdict.counts.new == 0


def test_only_equal_cases_are_compared_where_the_golden_set_grew(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases, "case-007")})
    changed = [replace(found, notes="clearer") if found.id == "case-000" else found for found in make_cases(62)]
    candidate = world.run({"answer": passing(changed, "case-000", "case-061")}, version="2", cases=changed)
    verdict = world.judge(candidate, baseline, cases=changed, on_golden_change="common_cases")
    assert verdict.verdict == "PASS with notes"
    assert "only the cases that are equal in both are compared" in verdict.notes[0]
    answer = next(found for found in verdict.rules if found.id == "answer")
    assert (answer.n, answer.fixed, answer.broke) == (59, 1, 0)
    assert statuses(verdict) == {
        "case-007": "improved", "case-000": "new", "case-060": "new", "case-061": "new",
    }  # fmt: skip


def test_a_changed_case_still_counts_for_limits_and_critical_cases(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    changed = [replace(found, critical=True) if found.id == "case-000" else found for found in world.cases]
    candidate = world.run({"answer": passing(changed, "case-000")}, version="2", cases=changed)
    verdict = world.judge(candidate, baseline, cases=changed, on_golden_change="common_cases")
    assert verdict.verdict == "BLOCKED"
    assert verdict.blocking[0].cases == ("case-000",)


# ── order ───────────────────────────────────────────────────────────────────────────────


def test_cases_are_shown_worst_first(world: World) -> None:
    mixed = World(world.root, make_cases(40, critical=lambda index: index in (7, 30)))
    before = passing(mixed.cases, "case-001", trials=2)
    now = passing(mixed.cases, "case-030", "case-020", trials=2) | {
        "case-010": [True, False],
        "case-012": ["error", True],
        "case-007": [True, False],
    }
    shown = mixed.judge(mixed.run({"answer": now}, version="2"), mixed.run({"answer": before})).cases
    assert [found.case_id for found in shown] == [
        "case-012", "case-030", "case-007", "case-020", "case-010", "case-001",
    ]  # fmt: skip


# ── what is shown ───────────────────────────────────────────────────────────────────────


def rewritten(world: World, folder: RunFolder, case_id: str, trace: Trace, scores: list[Score]) -> RunFolder:
    """The same run once more, with another trace of one case and other scores of it."""
    run = replace(folder.run, run_id=f"{900 + world.made:026d}")
    trials = [
        StoredTrial(trace if old.case_id == case_id else old, row["case_digest"], row["trial_key"], row["source_run"])
        for old, row in zip(folder.traces(), folder.trials().to_pylist(), strict=True)
    ]
    kept = [score for score in folder.scores() if score.case_id != case_id]
    return Runs(world.root).finish(run, trials, [*kept, *scores])


def _score(folder: RunFolder, case_id: str, **changes: object) -> Score:
    template = next(score for score in folder.scores() if score.case_id == case_id)
    return replace(template, **changes)  # type: ignore[arg-type]


def test_answers_calls_routes_and_evidence_of_both_sides_are_shown(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    candidate = world.run({"answer": passing(world.cases, "case-000")}, version="2")
    trace = Trace(
        "support",
        "case-000",
        0,
        "ok",
        answer="no idea",
        route=(RouteStep("cheap", "default", "small"), RouteStep("best", "retry", "large", "cheap")),
        tool_events=(
            ToolEvent("refund", {"order": "K-1", "amount": 5}),
            ToolEvent("mail", "not json", verdict="deny", status="denied"),
        ),
    )
    marks = {
        "value": 0.0,
        "passed": False,
        "label": "missing_fact",
        "severity": "major",
        "evidence": {"missing": ["x"]},
    }
    again = rewritten(world, candidate, "case-000", trace, [_score(candidate, "case-000", **marks)])
    shown = case(world.judge(again, baseline), "case-000")
    assert (shown.baseline_answer, shown.candidate_answer) == ("answer 1 to case-000", "no idea")
    assert shown.candidate_calls == ("refund(order='K-1', amount=5)", "mail('not json') → denied")
    assert (shown.baseline_calls, shown.baseline_route) == ((), "")
    assert shown.route == "cheap (default) → best (retry)"
    assert (shown.question, shown.severity, shown.touched) == ("question 0", "major", True)
    grader = shown.graders[0]
    assert (grader.grader, grader.baseline, grader.candidate) == ("answer", 1.0, 0.0)
    assert (grader.label, grader.evidence) == ("missing_fact", {"missing": ["x"]})


def test_of_several_trials_the_score_that_explains_most_is_shown(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases, trials=3)})
    candidate = world.run({"answer": passing(world.cases, trials=3) | {"case-000": [True, False, True]}}, version="2")
    assert case(world.judge(candidate, baseline), "case-000").graders[0].label == "wrong"
    failed = world.run({"answer": passing(world.cases, trials=3) | {"case-000": [False, "error", True]}}, version="3")
    assert case(world.judge(failed, baseline), "case-000").graders[0].evidence == {"error": "ValueError: no"}


def test_hostile_text_is_carried_as_it_is_for_renderers_to_escape(world: World) -> None:
    hostile = "<script>alert(1)</script>\x1b[31m::error::\u202e \N{REPLACEMENT CHARACTER} e\u0301 ' OR 1=1 --"
    baseline = world.run({"answer": passing(world.cases)})
    candidate = world.run({"answer": passing(world.cases, "case-000")}, version="2")
    trace = Trace("support", "case-000", 0, "ok", answer=hostile)
    again = rewritten(world, candidate, "case-000", trace, [_score(candidate, "case-000", evidence={"said": hostile})])
    shown = case(world.judge(again, baseline), "case-000")
    assert shown.candidate_answer == hostile
    assert shown.graders[0].evidence == {"said": hostile}


def test_ids_that_look_like_sql_are_ids(world: World) -> None:
    ids = ["a'; DROP TABLE scores; --", "b%_", 'c"', "d\u0000e", "ünï-çödé", "\u202e"]
    odd = World(world.root, [replace(found, id=name) for found, name in zip(make_cases(6), ids, strict=True)])
    baseline = odd.run({"answer": passing(odd.cases)})
    verdict = odd.judge(odd.run({"answer": passing(odd.cases, *ids)}, version="2"), baseline, min_cases=1)
    assert verdict.verdict == "BLOCKED"
    assert sorted(statuses(verdict)) == sorted(ids)
    assert all(found.candidate_answer for found in verdict.cases)
