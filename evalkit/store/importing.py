"""Taking baselines from an archive: all is checked beside the store, then put into it; nothing is overwritten."""

from __future__ import annotations

import filecmp
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evalkit import codec
from evalkit.atomic import make_folder, sync_folder
from evalkit.errors import EvalkitError, StorageError, StoreError
from evalkit.store.archive import ArchiveReader
from evalkit.store.baselines import Baseline, Baselines
from evalkit.store.cases import cases_path, same_cases
from evalkit.store.runs import RunFolder, Runs, is_run_id
from evalkit.store.segments import count_rows, read_segment_schema

__all__ = ["Imported", "import_baselines"]


@dataclass(frozen=True)
class Imported:
    """What the store holds now."""

    baselines: tuple[Baseline, ...]
    """Those of the archive, as they are in the store after it."""
    runs: int
    """Runs of the archive."""
    new_runs: int
    """Those that were not there before."""


def import_baselines(root: Path, archive: Path, sha256: str = "") -> Imported:
    """Bring the baselines of an archive, their runs and cases into a store.

    Histories are joined: what either side has accepted, in the order of its acceptance. A run that is there already
    must be the same. Until everything was checked nothing in the store is changed.

    Args:
        root: The store.
        archive: A file that :func:`evalkit.store.archive.export_baselines` wrote.
        sha256: The digest that it must have; empty where none is known.

    Raises:
        StoreError: when it is damaged, is not what it should be, or differs from what the store holds.
        StorageError: when the disk does not take it.
    """
    runs = Runs(root)
    with ArchiveReader(archive, sha256) as reader:
        runs.prepare()
        stage = make_folder(root / "partial") / f".import-{secrets.token_hex(6)}"
        try:
            make_folder(stage)
            reader.extract(stage)
            folders = _checked_runs(stage, archive)
            baselines = _checked_baselines(stage, folders, archive)
            _check_against(root, stage, archive)
            for baseline in baselines:
                current = Baselines(root).joined(baseline).current
                if current is None or not {current.run_id} & (folders.keys() | {item.path.name for item in runs.all()}):
                    raise _wrong(archive, f"baseline {baseline.name} of {baseline.workflow} would stand on no run")
            new = _place(root, stage)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    kept = tuple(Baselines(root).adopt(baseline) for baseline in baselines)
    return Imported(kept, len(folders), new)


def _checked_runs(stage: Path, archive: Path) -> dict[str, RunFolder]:
    """The runs of an archive, each whole and in agreement with itself."""
    folders = {}
    for path in sorted((stage / "runs").iterdir() if (stage / "runs").is_dir() else []):
        folder = RunFolder(path)
        try:
            run = folder.run
            if run.run_id != path.name or run.status != "complete" or run.shard:
                raise StoreError(f"run {path.name} is not what its folder says")
            for segment in (folder.trials_path, path / "traces.parquet", folder.scores_path(run.grading)):
                read_segment_schema(segment)
            if count_rows(folder.trials_path) != run.trials:
                raise StoreError(f"run {path.name} does not have the {run.trials:,} trials that it should have")
            if not cases_path(stage, run.golden_set.digest, run.redaction).is_file():
                raise StoreError(f"the cases of run {path.name} are missing")
        except EvalkitError as error:
            raise _wrong(archive, error.message) from None
        folders[path.name] = folder
    return folders


def _checked_baselines(stage: Path, folders: dict[str, RunFolder], archive: Path) -> list[Baseline]:
    found = []
    for path in sorted(stage.glob("baselines/*/*.json")):
        try:
            baseline = codec.decode(Baseline, path.read_bytes())
        except codec.ValidationError as error:
            raise _wrong(archive, f"{path.name} does not read: {str(error).splitlines()[0]}") from None
        if (baseline.workflow, baseline.name) != (path.parent.name, path.stem):
            raise _wrong(archive, f"baseline {path.parent.name}/{path.stem} says that it is another")
        for entry in baseline.history:
            if not is_run_id(entry.run_id):
                raise _wrong(archive, f"baseline {baseline.name} of {baseline.workflow} names what is no run")
            folder = folders.get(entry.run_id)
            if folder is not None and folder.run.workflow != baseline.workflow:
                raise _wrong(archive, f"run {entry.run_id} is not of workflow {baseline.workflow}")
        if baseline.current is None or baseline.current.run_id not in folders:
            raise _wrong(archive, f"the run that baseline {baseline.name} of {baseline.workflow} stands on is missing")
        found.append(baseline)
    if not found:
        raise _wrong(archive, "it holds no baseline")
    return found


def _files(stage: Path) -> Iterator[Path]:
    """Files of runs and cases, relative to the store."""
    for part in ("cases", "runs"):
        yield from sorted(path.relative_to(stage) for path in (stage / part).rglob("*") if path.is_file())


def _check_against(root: Path, stage: Path, archive: Path) -> None:
    """What the store holds already must be the same; of cases, their content."""
    for name in _files(stage):
        mine, theirs = root / name, stage / name
        if not mine.exists() or filecmp.cmp(mine, theirs, shallow=False):
            continue
        if name.parts[0] == "cases" and same_cases(mine, theirs):
            continue
        raise StoreError(
            f"the store holds another {name} than {archive.name}: one of them was changed",
            file=mine,
            fix="move the store away and import again: what was run in it is made anew",
        )


def _place(root: Path, stage: Path) -> int:
    """Move what is new; a run appears whole."""
    new = 0
    try:
        for path in sorted((stage / "cases").glob("*")):
            make_folder(root / "cases")
            if not (root / "cases" / path.name).exists():
                _synced(path)
                os.replace(path, root / "cases" / path.name)
        for folder in sorted((stage / "runs").glob("*")):
            target = root / "runs" / folder.name
            for file in folder.iterdir():
                _synced(file)
            if not target.exists():
                new += 1
                os.replace(folder, target)
                continue
            for file in sorted(folder.iterdir()):  # scores of further graders
                if not (target / file.name).exists():
                    os.replace(file, target / file.name)
        sync_folder(root / "runs")
    except OSError as error:
        raise StorageError.from_os_error(error, "store the baseline") from error
    return new


def _synced(path: Path) -> None:
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())


def _wrong(archive: Path, why: str) -> StoreError:
    return StoreError(f"not a baseline that can be imported: {why}", file=archive, fix="export it again")
