"""A client that was held up does not pass a rule on latency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.gate import Verdict
from evalkit.store import RunFolder

from .world import Outcome, World, measured, passing, rule

CEILING = {"id": "p95", "grader": "latency", "metric": "p95", "max": "8s"}
INCREASE = {"id": "slower", "grader": "latency", "metric": "mean", "max_increase": "20%"}


def made(world: World, version: str, seconds: float, lag: float | None, *, simulated: bool = False) -> RunFolder:
    """A run whose trials all took so long, in a client that was held up for so long."""
    latency: dict[str, list[Outcome]] = measured(world.cases, seconds)
    folder = world.run({"answer": passing(world.cases), "latency": latency}, version=version)
    table = pq.read_table(folder.trials_path)
    lags = pa.array([None if lag is None else round(lag * 1e6)] * table.num_rows, pa.int64())
    columns = {"lag_us": lags, "simulated": pa.array([simulated] * table.num_rows)}
    for name, column in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, folder.trials_path)
    return folder


def judged(world: World, before: tuple[float, float | None], now: tuple[float, float | None], **kind: Any) -> Verdict:
    baseline, candidate = made(world, "1", *before, **kind), made(world, "2", *now, **kind)
    return world.judge(candidate, baseline, margin="9pt", rules=[CEILING, INCREASE])


@pytest.mark.parametrize(
    ("before", "now", "ceiling", "increase"),
    [
        ((2.0, 0.01), (2.0, 0.01), "pass", "pass"),
        ((2.0, 0.2), (2.0, 0.2), "pass", "pass"),  # a tenth is still borne
        ((2.0, 0.01), (2.0, 0.3), "inconclusive", "inconclusive"),
        ((2.0, 0.3), (2.0, 0.01), "pass", "inconclusive"),  # a baseline that lagged hides a slowdown
        ((2.0, 0.01), (9.0, 2.0), "inconclusive", "block"),  # 7 s would be within the ceiling, and far beyond the ratio
        ((8.0, 0.01), (9.5, 1.0), "block", "inconclusive"),
        ((2.0, 0.01), (30.0, 4.0), "block", "block"),
    ],
)
def test_what_a_held_up_client_says_is_not_believed(
    world: World, before: tuple[float, float], now: tuple[float, float], ceiling: str, increase: str
) -> None:
    verdict = judged(world, before, now)
    assert (rule(verdict, "p95").status, rule(verdict, "slower").status) == (ceiling, increase)


def test_the_sentence_says_by_how_much_and_what_to_do(world: World) -> None:
    verdict = judged(world, (2.0, 0.01), (2.0, 0.3))
    assert verdict.verdict == "INCONCLUSIVE"
    sentence = rule(verdict, "p95").sentence
    assert "held up (95th percentile) in this run by 300 ms, of 2.00 s measured" in sentence
    assert "lower concurrency" in sentence
    assert "Within the limit" in sentence


def test_both_runs_are_named_where_both_lagged(world: World) -> None:
    sentence = rule(judged(world, (2.0, 0.5), (2.0, 0.3)), "slower").sentence
    assert "in this run by 300 ms" in sentence
    assert "in the baseline by 500 ms" in sentence


def test_simulated_latencies_are_stated_and_not_measured(world: World) -> None:
    verdict = judged(world, (2.0, 5.0), (2.0, 5.0), simulated=True)
    assert {rule(verdict, name).status for name in ("p95", "slower")} == {"pass"}


def test_a_run_of_before_hold_ups_were_recorded_is_a_note(world: World) -> None:
    verdict = judged(world, (2.0, None), (2.0, 0.01))
    assert rule(verdict, "p95").status == "pass"
    assert rule(verdict, "slower").status == "note"
    assert "in the baseline was not recorded" in rule(verdict, "slower").sentence


def test_other_rules_do_not_look_at_hold_ups(world: World) -> None:
    verdict = judged(world, (2.0, 5.0), (2.0, 5.0))
    assert rule(verdict, "answer").status == "pass"


@pytest.mark.parametrize(("lag", "largest"), [(0.0, "block"), (0.9, "block"), (2.0, "inconclusive")])
def test_one_hold_up_is_enough_to_doubt_the_largest_latency(world: World, lag: float, largest: str) -> None:
    latency: dict[str, list[Outcome]] = measured(world.cases, 2.0) | {world.cases[0].id: [9.0]}
    folder = world.run({"answer": passing(world.cases), "latency": latency})
    table = pq.read_table(folder.trials_path)
    lags = pa.array([round(lag * 1e6), *[0] * (table.num_rows - 1)], pa.int64())
    pq.write_table(table.set_column(table.schema.get_field_index("lag_us"), "lag_us", lags), folder.trials_path)
    verdict = world.judge(folder, folder, margin="9pt", rules=[CEILING, CEILING | {"id": "largest", "metric": "max"}])
    assert (rule(verdict, "p95").status, rule(verdict, "largest").status) == ("pass", largest)
    assert ("held up (longest) in this run" in rule(verdict, "largest").sentence) == (largest == "inconclusive")


def test_only_the_trials_of_the_slice_count(tmp_path: Path) -> None:
    from .world import make_cases

    world = World(tmp_path / "store", make_cases(60, slices=lambda index: {"team": "ab"[index % 2]}))
    folder = made(world, "1", 2.0, 0.0)
    table = pq.read_table(folder.trials_path)
    lags = pa.array([1_000_000 * (row % 2) for row in range(60)], pa.int64())
    pq.write_table(table.set_column(table.schema.get_field_index("lag_us"), "lag_us", lags), folder.trials_path)
    rules = [CEILING | {"id": team, "slice": f"team={team}"} for team in "ab"]
    verdict = world.judge(folder, folder, margin="9pt", rules=rules)
    assert [rule(verdict, team).status for team in "ab"] == ["pass", "inconclusive"]
