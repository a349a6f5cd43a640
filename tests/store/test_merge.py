"""Runs put together from parts of others: the rows of the parts, in canonical order, however they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from evalkit.errors import StoreError
from evalkit.records import Score, Trace
from evalkit.store import RunFolder, Runs
from evalkit.store.arrays import fixed_texts
from evalkit.store.merge import RunSource, merge_chunks
from evalkit.store.schema import StoredTrial
from evalkit.store.writer import Chunk
from tests.conftest import ProjectFolder


@pytest.fixture
def folder(copied: ProjectFolder) -> RunFolder:
    """A run of 24 cases, two trials each."""
    return Runs(copied.path / ".evalkit").all()[0]


def source(folder: RunFolder, **options: Any) -> RunSource:
    return RunSource(folder, folder.run.graders, folder.run.grading, **options)


def keys_of(folder: RunFolder) -> Any:
    return fixed_texts(folder.trials(["trial_key"]).column(0), 64)


def case_ids(folder: RunFolder) -> Any:
    return pc.unique(folder.trials(["case_id"]).column(0).combine_chunks())


def rows(chunks: Sequence[Chunk]) -> list[list[dict[str, Any]]]:
    """Rows of the three segments, without their run."""
    tables = [pa.concat_tables([getattr(chunk, name) for chunk in chunks]) for name in ("trials", "traces", "scores")]
    return [table.drop_columns("run_id").to_pylist() for table in tables]


def stored(folder: RunFolder) -> list[list[dict[str, Any]]]:
    paths = [folder.trials_path, folder.path / "traces.parquet", folder.scores_path(folder.run.grading)]
    return [pq.read_table(path).drop_columns("run_id").to_pylist() for path in paths]


@pytest.mark.parametrize("group", [1, 7, 1_000])
def test_a_whole_run_comes_out_as_it_was_whatever_its_row_groups(folder: RunFolder, group: int) -> None:
    expected = stored(folder)
    for path in folder.path.glob("*.parquet"):
        pq.write_table(pq.read_table(path), path, row_group_size=group)
    assert rows(list(merge_chunks(case_ids(folder), [source(folder)], "new"))) == expected
    chunk = next(merge_chunks(case_ids(folder), [source(folder)], "new"))
    assert {name for table in vars(chunk).values() for name in table.column("run_id").to_pylist()} == {"new"}


@pytest.mark.parametrize("share", [0, 1, 24, 47, 48])
def test_two_parts_of_a_run_make_the_whole(folder: RunFolder, share: int) -> None:
    keys = np.random.default_rng(share).permutation(keys_of(folder))
    parts = [source(folder, keys=np.sort(part)) for part in (keys[:share], keys[share:])]
    assert rows(list(merge_chunks(case_ids(folder), parts, "new"))) == stored(folder)


def test_only_the_trials_of_the_keys_come_with_their_scores(folder: RunFolder) -> None:
    trials, _, scores = stored(folder)
    wanted = trials[5]
    found = rows([source(folder, keys=keys_of(folder)[5:6]).until("\U0010ffff")])
    assert found[0] == [wanted]
    pair = (wanted["case_id"], wanted["trial"])
    assert found[2] == [row for row in scores if (row["case_id"], row["trial"]) == pair]
    assert rows([source(folder, keys=np.asarray([b"f" * 64])).until("\U0010ffff")]) == [[], [], []]


def test_what_is_revised_is_graded_again(folder: RunFolder) -> None:
    def revise(trial: StoredTrial) -> StoredTrial:
        return StoredTrial(trial.trace, trial.case_digest, trial.key, "another run")

    def grade(traces: Sequence[Trace]) -> list[Score]:
        return [Score(trace.case_id, trace.trial, "new", "1", "f" * 64, "ok", passed=True) for trace in traces]

    trials, traces, scores = rows([source(folder, revise=revise, grade=grade).until("\U0010ffff")])
    expected = stored(folder)
    assert trials == [{**row, "source_run": "another run"} for row in expected[0]]
    assert traces == expected[1]
    assert [(row["case_id"], row["trial"], row["grader"]) for row in scores] == [
        (row["case_id"], row["trial"], "new") for row in expected[0]
    ]


def test_a_run_of_before_lag_was_recorded_can_be_a_part(folder: RunFolder) -> None:
    pq.write_table(pq.read_table(folder.trials_path).drop_columns("lag_us"), folder.trials_path)
    (trials, *_) = rows(list(merge_chunks(case_ids(folder), [source(folder)], "new")))
    assert [row["lag_us"] for row in trials] == [None] * 48


@pytest.mark.parametrize("name", ["trials", "traces", "scores"])
@pytest.mark.parametrize("damage", ["gone", "truncated", "foreign"])
def test_a_segment_that_cannot_be_read_is_named(folder: RunFolder, name: str, damage: str) -> None:
    path = next(folder.path.glob(f"{name}*.parquet"))
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-50])
    else:
        pq.write_table(pa.table({"case_id": ["a"]}), path)
    with pytest.raises(StoreError) as caught:
        source(folder).until("\U0010ffff")
    assert caught.value.file == str(path)


def test_trials_without_traces_are_refused(folder: RunFolder) -> None:
    path = folder.path / "traces.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(StoreError, match="48 trials and 47 traces"):
        source(folder).until("\U0010ffff")
