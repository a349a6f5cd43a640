"""Putting the shards of a run together: the same run that one machine would have made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evalkit.engine.regrade import add_run_scores
from evalkit.engine.selection import parse_shard
from evalkit.errors import NotComparableError, StoreError, UsageError
from evalkit.fingerprint import fingerprint
from evalkit.grading import Grading
from evalkit.records import Run
from evalkit.store.cases import adopt_cases, iter_cases_of
from evalkit.store.merge import RunSource, merge_chunks
from evalkit.store.runs import RunFolder, Runs, new_run_id
from evalkit.store.writer import Chunk

__all__ = ["ShardSet", "find_shards", "merge_shards"]


@dataclass(frozen=True)
class ShardSet:
    """All shards of one run, in order."""

    folders: tuple[RunFolder, ...]

    @property
    def run(self) -> Run:
        """The record of the first."""
        return self.folders[0].run


def find_shards(runs: Runs, places: Sequence[Path], workflows: Sequence[str]) -> list[ShardSet]:
    """The newest set of shards of each workflow; one that is not whole is an error, and no older one takes its place.

    Where no workflows are named, those whose newest set was merged on an earlier occasion are left out.

    Args:
        runs: The store that is looked through where no place is given.
        places: Stores or runs, as they were fetched from other machines.
        workflows: Only these; none means all.

    Raises:
        UsageError: when there are none, or one of a set is missing.
    """
    folders = [folder for place in (places or [runs.root]) for folder in _runs_in(place)]
    groups: dict[tuple[str, ...], dict[int, RunFolder]] = {}
    for folder in folders:
        run = folder.run
        if run.shard and (not workflows or run.workflow in workflows):
            known = groups.setdefault(_identity(run), {})
            number = parse_shard(run.shard).number
            if number not in known or known[number].path.name < folder.path.name:
                known[number] = folder
    newest: dict[str, dict[int, RunFolder]] = {}
    for group in sorted(groups.values(), key=_age):
        newest[next(iter(group.values())).run.workflow] = group
    if not workflows:
        newest = _without_old(newest, runs)
    if not newest:
        raise UsageError(
            "there are no shards here",
            file=places[0] if places else runs.root,
            fix="make them: evalkit run --shard 1/2",
        )
    return [_whole(workflow, group) for workflow, group in sorted(newest.items())]


def _without_old(newest: dict[str, dict[int, RunFolder]], runs: Runs) -> dict[str, dict[int, RunFolder]]:
    """Without the sets that were merged before the newest of all was begun: they belong to an earlier occasion.

    One that was merged after that stays, so that a merge that broke off is made again as a whole.
    """
    latest = max(newest.values(), key=_age, default={})
    begun = min((folder.path.name for folder in latest.values()), default="")

    def is_old(workflow: str, group: dict[int, RunFolder]) -> bool:
        if group is latest:
            return False
        parts = _span([folder.run for folder in group.values()])
        earlier = (folder for folder in runs.newest_first(workflow) if folder.path.name < begun)
        return any(not folder.run.shard and _span([folder.run]) == parts for folder in earlier)

    return {workflow: group for workflow, group in newest.items() if not is_old(workflow, group)}


def _runs_in(place: Path) -> Iterator[RunFolder]:
    if (place / "run.json").is_file():
        yield RunFolder(place)
        return
    root = place if (place / "runs").is_dir() else place / ".evalkit"
    if not (root / "runs").is_dir():
        raise UsageError("neither a store nor a run", file=place, fix="give the folder .evalkit of each machine")
    yield from Runs(root).all()


def _identity(run: Run) -> tuple[str, ...]:
    """What shards of one run have in common."""
    of = parse_shard(run.shard).of
    return (
        run.workflow,
        run.configuration.fingerprint,
        run.golden_set.digest,
        run.grading,
        run.redaction,
        run.prices,
        fingerprint("prices", dict(run.model_prices)),
        run.evalkit,
        str(run.trials_per_case),
        _selection(run),
        str(of),
    )


def _selection(run: Run) -> str:
    """How the cases of the whole were chosen."""
    return run.selection.removesuffix(f"shard {run.shard}").removesuffix(", ") or "all"


def _age(group: dict[int, RunFolder]) -> str:
    return max(folder.path.name for folder in group.values())


def _whole(workflow: str, group: dict[int, RunFolder]) -> ShardSet:
    of = parse_shard(next(iter(group.values())).run.shard).of
    missing = [f"{number}/{of}" for number in range(1, of + 1) if number not in group]
    if missing:
        raise UsageError(
            f"of the newest shards of {workflow}, {', '.join(missing)} are missing, or are of another configuration, "
            "golden set, graders, masking, prices or evalkit",
            fix="make them on the same commit: evalkit run --shard I/N; or name the runs that belong together",
        )
    return ShardSet(tuple(group[number] for number in range(1, of + 1)))


def merge_shards(runs: Runs, shards: ShardSet, grading: Callable[[], Grading] | None = None) -> RunFolder:
    """Write the run that the shards are parts of.

    Args:
        runs: Where it goes.
        shards: Its parts.
        grading: Makes the graders as they are now. Those of runs grade the whole: what they said of a part is no use.

    Raises:
        NotComparableError: when a grader of runs is not the one that the shards were made with.
        StoreError: when a shard cannot be read, or two of them hold the same case.
        StorageError: when the disk does not take it.
    """
    first = shards.run
    runs.prepare()
    adopt_cases(runs.root, first.golden_set, first.redaction, [folder.path.parent.parent for folder in shards.folders])
    ids = pa.concat_arrays([folder.trials(["case_id"]).column(0).combine_chunks() for folder in shards.folders])
    case_ids = pc.unique(ids)
    case_ids = case_ids.take(pc.sort_indices(case_ids))
    run_id = new_run_id()
    sources = [RunSource(folder, first.graders, first.grading) for folder in shards.folders]
    with ExitStack() as stack:
        stack.callback(runs.drop_partial, run_id)
        writer = stack.enter_context(runs.writer(run_id, first.grading, first.graders))
        trials = 0
        for chunk in merge_chunks(case_ids, sources, run_id):
            writer.add(chunk)
            trials += chunk.trials.num_rows
            _check_repeats(chunk, first, shards)
        if trials != len(case_ids) * first.trials_per_case:
            raise StoreError(
                f"the shards hold {trials:,} trials of {len(case_ids):,} cases, not {first.trials_per_case} of each",
                file=shards.folders[0].path,
            )
        if _selection(first) == "all" and len(case_ids) != first.golden_set.cases:
            raise StoreError(
                f"the shards hold {len(case_ids):,} of the {first.golden_set.cases:,} cases of the golden set",
                file=shards.folders[0].path,
            )

        def graded(folder: Path) -> None:
            if any(ref.per_run for ref in first.graders):
                add_run_scores(
                    folder, run_id, _same_graders(first, grading),
                    lambda: iter_cases_of(runs.root, first.golden_set, first.redaction),
                )  # fmt: skip

        return RunFolder(writer.finish(_merged(run_id, [folder.run for folder in shards.folders], trials), graded))


def _same_graders(run: Run, grading: Callable[[], Grading] | None) -> Grading:
    names = ", ".join(ref.name for ref in run.graders if ref.per_run)
    made = grading() if grading is not None else None
    if made is None or made.fingerprint != run.grading:
        raise NotComparableError(
            f"{names} grades whole runs, and the graders have changed since the shards were made",
            fix="merge on the commit that the shards were made on",
        )
    return made


def _check_repeats(chunk: Chunk, run: Run, shards: ShardSet) -> None:
    """Each case has its trials once: a trial that is there twice must not stand for one that is not."""
    repeats = chunk.trials.column("trial").to_numpy()
    expected = np.arange(len(repeats)) % run.trials_per_case
    if not np.array_equal(repeats, expected):
        raise StoreError(
            "the shards hold a trial twice, or lack one: they are damaged, or hold the same case",
            file=shards.folders[0].path,
        )


def _span(parts: Sequence[Run]) -> tuple[int, int]:
    """When the first of some runs was begun and the last finished."""
    return min(part.created_us for part in parts), max(part.finished_us for part in parts)


def _merged(run_id: str, parts: Sequence[Run], trials: int) -> Run:
    created, finished = _span(parts)
    return replace(
        parts[0],
        run_id=run_id,
        created_us=created,
        finished_us=finished,
        trials=trials,
        reused=sum(part.reused for part in parts),
        errors=sum(part.errors for part in parts),
        model_calls=sum(part.model_calls for part in parts),
        cost_microusd=sum(part.cost_microusd for part in parts),
        simulated=any(part.simulated for part in parts),
        dirty=any(part.dirty for part in parts),
        selection=_selection(parts[0]),
        shard="",
        commit=parts[0].commit if len({part.commit for part in parts}) == 1 else "",
        branch=parts[0].branch if len({part.branch for part in parts}) == 1 else "",
        lag_us=max(part.lag_us for part in parts),
    )
