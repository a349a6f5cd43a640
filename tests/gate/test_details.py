"""What a report reads of every case of a verdict: columns of all, and some of them whole, from the store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evalkit.gate import details
from evalkit.gate.details import CaseRecord, StoredDetails
from evalkit.gate.past_runs import UNKNOWN
from evalkit.store import RunFolder

from .world import World, make_cases, measured, passing


def stored(world: World, candidate: RunFolder, baseline: RunFolder | None, **more: Any) -> StoredDetails:
    return StoredDetails(world.root, candidate, baseline, **more)


def test_the_index_tells_how_each_case_came_out(world: World) -> None:
    world.cases[3] = replace(world.cases[3], critical=True)
    cases = world.cases
    touched = ["case-001", "case-003", "case-007"]
    baseline = world.run({"answer": passing(cases, "case-001"), "cost": measured(cases, 0.5)}, touched=touched)
    candidate = world.run(
        {"answer": passing(cases, "case-003", "case-007"), "cost": measured(cases, 1.5)}, version="2", touched=touched
    )
    index = stored(world, candidate, baseline).index
    assert list(index.ids) == [case.id for case in cases]
    assert list(index.questions) == [f"question {place}" for place in range(60)]
    statuses = [index.status_names[code] for code in index.statuses]
    assert [statuses[place] for place in (1, 3, 7, 9)] == ["improved", "regressed", "regressed", "unchanged"]
    assert [index.ids[place] for place in index.order[:2]] == ["case-003", "case-007"], "the critical one first"
    assert np.flatnonzero(index.touched).tolist() == [1, 3, 7]
    assert np.flatnonzero(index.failing).tolist() == [3, 7]
    assert np.flatnonzero(index.critical).tolist() == [3]
    answer, cost = index.graders
    assert (answer.grader, answer.quality, answer.before[1], answer.now[1]) == ("answer", True, 0.0, 1.0)
    assert (cost.grader, cost.quality, cost.unit, cost.before[5], cost.now[5]) == ("cost", False, "dollars", 0.5, 1.5)


def test_without_a_baseline_nothing_is_known_of_before(world: World) -> None:
    candidate = world.run({"answer": passing(world.cases, "case-001")})
    index = stored(world, candidate, None).index
    assert not index.compared
    assert {index.status_names[code] for code in index.statuses} == {"new"}
    assert np.isnan(index.graders[0].before).all()
    assert index.graders[0].now[1] == 0.0


@pytest.mark.parametrize("together", [1, 2, 2_048])
def test_records_come_whole_in_order_however_many_are_read_at_once(
    world: World, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(details, "_TOGETHER", together)
    cases = world.cases
    baseline = world.run({"answer": passing(cases)})
    candidate = world.run({"answer": passing(cases, "case-002", trials=2)}, version="2", touched=["case-002"])
    found = list(stored(world, candidate, baseline).records(["case-009", "case-002", "case-000"]))
    assert [record.case_id for record in found] == ["case-000", "case-002", "case-009"]
    changed: CaseRecord = found[1]
    assert changed.case == cases[2]
    assert [trial.trace.answer for trial in changed.before] == ["answer 1 to case-002"]
    assert [trial.trace.answer for trial in changed.now] == ["answer 2 to case-002"] * 2
    assert [score.passed for trial in changed.now for score in trial.scores] == [False, False]


def test_trials_that_both_runs_hold_are_read_once(world: World) -> None:
    runs = [world.run({"answer": passing(world.cases)}) for _ in range(2)]
    for record in stored(world, runs[1], runs[0]).records(["case-000", "case-001"]):
        assert record.before is record.now


def test_a_case_that_was_removed_has_what_it_had(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    left = make_cases(59)
    candidate = world.run({"answer": passing(left)}, cases=left, version="2")
    seen = stored(world, candidate, baseline)
    place = list(seen.index.ids).index("case-059")
    assert seen.index.status_names[seen.index.statuses[place]] == "removed"
    assert seen.index.questions[place] == ""
    (record,) = seen.records(["case-059"])
    assert record.case is None
    assert [trial.trace.answer for trial in record.before] == ["answer 1 to case-059"]
    assert record.now == []


def test_earlier_runs_tell_of_the_cases_they_had(world: World) -> None:
    few = make_cases(10)
    earlier = [
        world.run({"answer": passing(few, "case-004")}, cases=few, commit="a" * 40),
        world.run({"refusal": passing(world.cases)}),
    ]
    baseline, candidate = (world.run({"answer": passing(world.cases)}) for _ in range(2))
    accepted = frozenset({earlier[0].run.run_id})
    (past,) = stored(world, candidate, baseline, past=earlier, accepted=accepted).index.past
    assert (past.run_id, past.commit, past.accepted, past.same_cases) == (earlier[0].run.run_id, "a" * 40, True, False)
    assert past.values["answer"] == pytest.approx(0.9)
    assert past.worst[[3, 4, 30]].tolist() == [100, 0, UNKNOWN], "graded by other graders is left out"
