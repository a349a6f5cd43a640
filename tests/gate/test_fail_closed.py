"""Nothing fails open: whatever is missing or broken, there is no PASS."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from evalkit.errors import EvalkitError
from evalkit.store import RunFolder

from .world import Outcome, World, make_cases, passing, rule

Marks = dict[str, list[Outcome]]
Fresh = Callable[..., World]
COUNT = 60
GATE: dict[str, Any] = {"margin": "9pt", "rules": [{"grader": "answer", "min": "50%"}], "critical_trials": 1}


def ids(count: int, start: int = 0) -> list[str]:
    return [f"case-{index:03d}" for index in range(start, start + count)]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """Makes worlds, one for each example of a property, with so many critical cases."""

    def make(critical: int = 3) -> World:
        return World(tmp_path_factory.mktemp("store"), make_cases(COUNT, critical=lambda index: index < critical))

    return make


def test_the_world_of_these_tests_passes_when_nothing_is_wrong(fresh: Fresh) -> None:
    world = fresh()
    baseline = world.run({"answer": passing(world.cases), "tone": passing(world.cases)})
    candidate = world.run({"answer": passing(world.cases), "tone": passing(world.cases)}, version="2")
    assert world.judge(candidate, baseline, **GATE).verdict == "PASS"


# ── errors, doubts and differences ──────────────────────────────────────────────────────


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_damage_of_any_kind_and_place_is_never_a_pass(fresh: Fresh, data: st.DataObject) -> None:
    world = fresh()
    marks: dict[str, Marks] = {"answer": passing(world.cases), "tone": passing(world.cases)}
    baseline: RunFolder | None = world.run(marks)
    grader = data.draw(st.sampled_from(sorted(marks)))
    hit = data.draw(st.lists(st.sampled_from(ids(COUNT)), min_size=1, max_size=COUNT, unique=True))
    damage = data.draw(
        st.sampled_from(["errors", "unfinished", "no scores", "no baseline", "another set", "part", "few"])
    )
    changes: dict[str, Any] = {}
    if damage in ("errors", "unfinished"):
        marks[grader] = marks[grader] | {case: ["error"] for case in hit}
        changes["unfinished"] = [(case, 0) for case in hit] if damage == "unfinished" else []
    elif damage == "no scores":
        marks[grader] = {}
    elif damage == "no baseline":
        baseline = None
    elif damage == "another set":
        cases = [replace(case, notes="changed") if case.id in hit else case for case in world.cases]
        changes["cases"] = world.cases = cases
    elif damage == "part":
        changes["selection"] = f"cases {', '.join(hit)}"
    else:
        kept = data.draw(st.integers(0, 19))
        marks = {name: dict(list(rows.items())[:kept]) for name, rows in marks.items()}
    verdict = world.judge(world.run(marks, version="2", **changes), baseline, **GATE)
    assert verdict.exit_code != 0
    assert verdict.verdict not in ("PASS", "PASS with notes")
    assert verdict.sentence


def test_no_case_in_common_is_no_pass(fresh: Fresh) -> None:
    world = fresh(0)
    baseline = world.run({"answer": passing(world.cases[:30])})
    candidate = world.run({"answer": passing(world.cases[30:])}, version="2")
    assert world.judge(candidate, baseline).verdict == "ERROR"


# ── what is gone without a trace ────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=10, phases=[Phase.generate])
@given(st.lists(st.sampled_from(ids(COUNT)), min_size=1, max_size=20, unique=True))
def test_cases_that_lost_their_scores_are_never_a_pass(fresh: Fresh, lost: list[str]) -> None:
    world = fresh()
    baseline = world.run({"answer": passing(world.cases)})
    kept = {case: marks for case, marks in passing(world.cases).items() if case not in lost}
    verdict = world.judge(world.run({"answer": kept}, version="2"), baseline, **GATE)
    assert verdict.exit_code != 0


def test_a_pass_does_not_call_a_lost_case_proven_unchanged(fresh: Fresh) -> None:
    world = fresh(0)
    baseline = world.run({"answer": passing(world.cases)})
    candidate = world.run({"answer": passing(world.cases[:50])}, version="2")
    assert "10 proven unchanged" not in world.judge(candidate, baseline, **GATE).sentence


def test_a_grader_that_stopped_applying_is_never_a_silent_pass(fresh: Fresh) -> None:
    world = fresh(0)
    baseline = world.run({"answer": passing(world.cases)})
    marks: Marks = passing(world.cases) | {case: ["n/a"] for case in ids(12)}
    verdict = world.judge(world.run({"answer": marks}, version="2"), baseline, **GATE)
    assert verdict.verdict != "PASS"


def test_errors_of_the_baseline_do_not_hide_a_regression(fresh: Fresh) -> None:
    world = fresh(0)
    broken = passing(world.cases) | {case: ["error"] for case in ids(20)}
    baseline = world.run({"answer": broken})
    candidate = world.run({"answer": passing(world.cases, *ids(20))}, version="2")
    assert world.judge(candidate, baseline).exit_code != 0


def test_a_baseline_of_a_part_does_not_hide_the_rest(fresh: Fresh) -> None:
    world = fresh(0)
    baseline = world.run({"answer": passing(world.cases[:40])}, selection="a sample of 40 of 60")
    candidate = world.run({"answer": passing(world.cases, *ids(20, 40))}, version="2")
    assert world.judge(candidate, baseline).exit_code != 0


def test_a_fresh_run_that_fails_everywhere_is_not_proven_unchanged(fresh: Fresh) -> None:
    world = fresh(0)
    baseline = world.run({"answer": passing(world.cases)})
    again = world.run({"answer": passing(world.cases, *ids(COUNT))})
    verdict = world.judge(again, baseline)
    assert verdict.counts.regressed == COUNT
    assert verdict.exit_code != 0


# ── numbers that are none ───────────────────────────────────────────────────────────────


def test_a_latency_that_is_not_a_number_is_never_a_pass(fresh: Fresh) -> None:
    world = fresh(0)
    good: Marks = {case.id: [1.0] for case in world.cases}
    run = world.run({"answer": passing(world.cases), "latency": good | {case: [math.nan] for case in ids(30)}})
    assert world.judge(run, run, p95="8s").exit_code != 0


def test_latencies_that_are_all_not_numbers_are_never_a_pass(fresh: Fresh) -> None:
    world = fresh(0)
    run = world.run({"answer": passing(world.cases), "latency": {case.id: [math.nan] for case in world.cases}})
    assert world.judge(run, run, p95="8s").exit_code != 0


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_are_never_a_pass_of_a_margin(fresh: Fresh, value: float) -> None:
    world = fresh(0)
    baseline = world.run({"answer": passing(world.cases), "similarity": {case.id: [0.9] for case in world.cases}})
    marks: Marks = {case.id: [value] for case in world.cases}
    candidate = world.run({"answer": passing(world.cases), "similarity": marks}, version="2")
    rules = [{"id": "similar", "grader": "similarity", "metric": "mean", "max_drop": "5pt"}]
    assert rule(world.judge(candidate, baseline, rules=rules), "similar").status not in ("pass", "note")


def test_a_quality_grade_without_a_decision_is_never_a_pass(fresh: Fresh) -> None:
    world = fresh(0)
    baseline = world.run({"answer": passing(world.cases)})
    marks: Marks = passing(world.cases) | {case: [0.1] for case in ids(15)}
    assert world.judge(world.run({"answer": marks}, version="2"), baseline, **GATE).exit_code != 0


# ── files that are damaged ──────────────────────────────────────────────────────────────


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _foreign(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.rename_columns([f"x_{name}" for name in table.column_names]), path)


@pytest.mark.parametrize("damage", [_truncate, _empty, _foreign, Path.unlink])
@pytest.mark.parametrize("segment", ["scores", "trials"])
def test_a_damaged_segment_is_an_error_that_names_the_file(
    damage: Callable[[Path], None], segment: str, world: World
) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    candidate = world.run({"answer": passing(world.cases)}, version="2")
    path = candidate.path / "trials.parquet"
    if segment == "scores":
        path = candidate.scores_path(candidate.run.grading)
    damage(path)
    with pytest.raises(EvalkitError) as caught:
        world.judge(candidate, baseline)
    assert str(path) in str(caught.value)
