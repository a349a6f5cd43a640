"""Margins against the recorded history: what counts as history, what counts once, and what it is worth."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.gate.axis import CaseAxis
from evalkit.gate.history import RecordedTrials, history_runs, read_history
from evalkit.store import RunFolder, Runs
from evalkit.store.arrays import texts
from evalkit.workflow.gates import HistorySpec

from .world import Outcomes, World, make_cases, passing, rule

CASES = 150


@pytest.fixture
def steady(tmp_path: Path) -> World:
    return World(tmp_path, make_cases(CASES))


def rates(seed: int = 1) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Most cases nearly always pass, some vary."""
    generator = np.random.default_rng(seed)
    kind = generator.choice(2, size=CASES, p=[0.9, 0.1])
    return np.where(kind == 0, generator.beta(60, 1, CASES), generator.beta(2, 2, CASES))


def outcomes(world: World, p: Any, seed: int, trials: int = 1) -> Outcomes:
    draws = np.random.default_rng(seed).random((CASES, trials)) < np.asarray(p)[:, None]
    return {"answer": {case.id: [bool(x) for x in row] for case, row in zip(world.cases, draws, strict=True)}}


def recorded(world: World, count: int, p: Any | None = None) -> list[RunFolder]:
    """Runs of the baseline, each executed anew."""
    return [world.run(outcomes(world, rates() if p is None else p, 100 + number)) for number in range(count)]


def read(world: World, candidate: RunFolder, baseline: RunFolder, **spec: Any) -> RecordedTrials:
    axis = CaseAxis(texts(case.id for case in world.cases))
    wanted = HistorySpec(**spec)
    used = history_runs(Runs(world.root), candidate, baseline, axis, wanted)
    found = read_history(used, candidate, baseline, axis, wanted.min_trials)
    assert found is not None
    return found


def test_every_executed_trial_of_the_baselines_keys_counts(steady: World) -> None:
    baseline = recorded(steady, 6)[-1]
    candidate = steady.run(outcomes(steady, rates(), 7, trials=2), version="2")
    found = read(steady, candidate, baseline)
    assert set(found.history("answer").trials.tolist()) == {6.0}
    assert len(found.drawn("answer").cases) == 2 * CASES
    expected = sum(np.random.default_rng(100 + number).random((CASES, 1))[:, 0] < rates() for number in range(6))
    assert found.history("answer").total.tolist() == np.asarray(expected).tolist()


def test_a_trial_that_other_runs_reused_counts_once(steady: World) -> None:
    everywhere = [steady.run({"answer": passing(steady.cases)}, version=str(number), touched=[]) for number in range(4)]
    candidate = steady.run({"answer": passing(steady.cases)}, version="9")
    assert set(read(steady, candidate, everywhere[-1]).history("answer").trials.tolist()) == {1.0}


def test_runs_of_other_configurations_count_for_the_cases_that_they_left_alone(steady: World) -> None:
    mine = [case.id for case in steady.cases[:30]]
    baseline = steady.run({"answer": passing(steady.cases)}, touched=mine)
    other = steady.run({"answer": passing(steady.cases)}, version="1", touched=mine)
    steady.run({"answer": passing(steady.cases)}, version="other", touched=[case.id for case in steady.cases[:10]])
    candidate = steady.run({"answer": passing(steady.cases)}, version="2", touched=mine)
    trials = read(steady, candidate, baseline).history("answer").trials
    assert other.run.run_id != baseline.run.run_id
    assert trials[:10].tolist() == [2.0] * 10
    assert trials[30:].tolist() == [1.0] * (CASES - 30), "executed once, and reused since"


def test_only_so_many_runs_and_none_that_is_old_or_newer_than_the_candidate(steady: World) -> None:
    runs = recorded(steady, 8)
    candidate = steady.run(outcomes(steady, rates(), 7), version="2")
    recorded(steady, 1)
    assert set(read(steady, candidate, runs[-1]).history("answer").trials.tolist()) == {8.0}
    assert set(read(steady, candidate, runs[-1], runs=3).history("answer").trials.tolist()) == {4.0}
    old = World(steady.root / "old", steady.cases)
    day = 24 * 3600 * 1_000_000
    for age in (40, 20, 1):
        old.run(outcomes(old, rates(), age), created_us=100 * day - age * day)
    baseline = Runs(old.root).all()[-1]
    last = old.run(outcomes(old, rates(), 7), version="2", created_us=100 * day)
    assert set(read(old, last, baseline).history("answer").trials.tolist()) == {2.0}


def test_history_that_is_switched_off_is_not_read(steady: World) -> None:
    baseline = recorded(steady, 6)[-1]
    candidate = steady.run(outcomes(steady, rates(), 7), version="2")
    assert rule(steady.judge(candidate, baseline, history=True), "answer").history == 6
    without = rule(steady.judge(candidate, baseline, history=False), "answer")
    assert (without.history, without.method) == (0, rule(steady.judge(candidate, baseline), "answer").method)


def test_with_little_history_the_runs_are_compared_with_each_other(steady: World) -> None:
    baseline = recorded(steady, 4)[-1]
    candidate = steady.run(outcomes(steady, rates(), 7), version="2")
    found = rule(steady.judge(candidate, baseline, history=True), "answer")
    assert found.history == 0
    assert found.method == rule(steady.judge(candidate, baseline), "answer").method


def test_history_finds_what_two_runs_leave_open(steady: World) -> None:
    baseline = recorded(steady, 20)[-1]
    settled = {True: 0, False: 0}
    for seed in range(8):
        candidate = steady.run(outcomes(steady, rates(), 900 + seed), version=f"same-{seed}")
        for history in (True, False):
            verdict = steady.judge(candidate, baseline, history=history)
            assert verdict.verdict != "BLOCKED"
            settled[history] += verdict.verdict in ("PASS", "PASS with notes")
    assert settled[True] >= 7
    worse = np.clip(rates() - 0.10, 0, 1)
    blocked = [
        steady.judge(steady.run(outcomes(steady, worse, 950 + seed), version=f"bad-{seed}"), baseline, history=True)
        for seed in range(6)
    ]
    assert sum(verdict.verdict == "BLOCKED" for verdict in blocked) >= 5
    assert not any(verdict.verdict in ("PASS", "PASS with notes") for verdict in blocked)
    assert "Worse than its history at 95% confidence" in next(v for v in blocked if v.verdict == "BLOCKED").sentence


def worse_by(points: float) -> Any:
    return np.clip(rates() - points, 0, 1)


def test_to_run_again_adds_evidence_and_does_not_reset_the_dice(steady: World) -> None:
    baseline = recorded(steady, 20)[-1]
    first = steady.run(outcomes(steady, worse_by(0.06), 31), version="2")
    once = rule(steady.judge(first, baseline, history=True), "answer")
    again = first
    for seed in range(40, 44):
        again = steady.run(outcomes(steady, worse_by(0.06), seed), version="2")
    verdict = steady.judge(again, baseline, history=True)
    more = rule(verdict, "answer")
    assert more.trials >= once.trials
    assert verdict.verdict == "BLOCKED"
    assert len(read(steady, again, baseline).drawn("answer").cases) == 5 * CASES
    assert steady.judge(again, baseline, history=True).sentence == verdict.sentence, "judged again it is the same"


def test_a_baseline_that_is_run_anew_is_compared_with_its_own_history(steady: World) -> None:
    runs = recorded(steady, 7)
    found = read(steady, runs[-1], runs[-2])
    assert set(found.history("answer").trials.tolist()) == {6.0}
    assert len(found.drawn("answer").cases) == CASES


def with_errors(world: World, names: Iterable[str], seed: int) -> Outcomes:
    marks = outcomes(world, rates(), seed)
    return {"answer": {**marks["answer"], **{name: ["error"] for name in names}}}


def test_errors_alone_are_no_drop(steady: World) -> None:
    baseline = recorded(steady, 20)[-1]
    candidate = steady.run(with_errors(steady, [case.id for case in steady.cases[:25]], 7), version="2")
    verdict = steady.judge(candidate, baseline, history=True)
    assert rule(verdict, "answer").status == "error"
    assert verdict.verdict == "ERROR"


def test_untouched_cases_count_as_unchanged(steady: World) -> None:
    mine = [case.id for case in steady.cases[:40]]
    for number in range(12):
        steady.run(outcomes(steady, rates(), 100 + number), touched=mine)
    baseline = Runs(steady.root).all()[-1]
    candidate = steady.run(outcomes(steady, rates(), 7), version="2", touched=mine)
    found = rule(steady.judge(candidate, baseline, history=True), "answer")
    assert (found.n, found.touched, found.history) == (CASES, 40, 12)
    assert found.status in ("pass", "note")


def test_history_begins_after_the_newest_change_point(steady: World) -> None:
    recorded(steady, 8)
    runs = recorded(steady, 8, worse_by(0.2))
    candidate = steady.run(outcomes(steady, worse_by(0.2), 7), version="2")
    found = read(steady, candidate, runs[-1])
    assert set(found.history("answer").trials.tolist()) == {8.0}
    assert found.begins == runs[0].run.run_id
    verdict = steady.judge(candidate, runs[-1], history=True)
    assert verdict.verdict != "BLOCKED", verdict.sentence
    assert verdict.history.endswith(f"It begins at run {runs[0].run.run_id}: results changed there.")
    assert set(read(steady, candidate, runs[-1], min_trials=9).history("answer").trials.tolist()) == {16.0}, "too short"


def test_trials_of_the_candidate_from_before_the_change_give_way_to_newer_ones(steady: World) -> None:
    recorded(steady, 8)
    early = steady.run(outcomes(steady, rates(), 7), version="2")
    runs = recorded(steady, 8, worse_by(0.2))
    later = steady.run(outcomes(steady, worse_by(0.2), 8, trials=2), version="2")
    found = read(steady, later, runs[-1])
    assert len(found.drawn("answer").cases) == 2 * CASES
    assert found.sources[found.made_by[found.candidate].min()] == later.run.run_id > early.run.run_id


def test_a_verdict_says_how_much_history_it_stands_on_and_of_what_age(steady: World) -> None:
    day = 24 * 3600 * 1_000_000
    made = [steady.run(outcomes(steady, rates(), age), created_us=(100 - age) * day) for age in (12, 9, 6, 5, 2, 1)]
    candidate = steady.run(outcomes(steady, rates(), 7), version="2", created_us=100 * day)
    said = steady.judge(candidate, made[-1], history=True).history
    assert said == (
        "History: 6 runs of the last 12 days, 6 recorded trials of the middle case; each of the touched cases has some."
    )
    assert not steady.judge(candidate, made[-1]).history, "none was read"
