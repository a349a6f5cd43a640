"""Runs: found by what a person types, immutable, and refused when they are damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evalkit.errors import ExitCode, StoreError, UsageError
from evalkit.store import Runs
from evalkit.store.runs import new_run_id
from tests.conftest import ProjectFolder
from tests.store.conftest import Judged


def folders(store: Path, *ids: str) -> Runs:
    """A store in which these runs are there, if only as folders."""
    for run_id in ids:
        (store / "runs" / run_id).mkdir(parents=True)
    return Runs(store)


ONE, TWO, THREE = "01AAAA0000000000000000000A", "01AAAB0000000000000000000B", "01BBBB0000000000000000000C"


@pytest.mark.parametrize(
    ("typed", "found"),
    [(ONE, ONE), (TWO.lower(), TWO), ("01AAAB", TWO), ("01b", THREE), ("latest", THREE), ("01aaaa0", ONE)],
)
def test_a_run_is_found_by_its_id_a_beginning_or_as_the_latest(tmp_path: Path, typed: str, found: str) -> None:
    assert folders(tmp_path, TWO, THREE, ONE).get(typed).path.name == found


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("01AAA", "2 runs begin with `01AAA`"),
        ("", "3 runs begin with ``"),
        ("01ZZ", "no run begins with `01ZZ`"),
        (f"{ONE}0", "no run begins"),
        ("../runs", "no run begins"),
        ("Latest", "no run begins"),
    ],
)
def test_what_is_ambiguous_or_unknown_is_refused_and_says_how_to_list_them(
    tmp_path: Path, typed: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message.replace("`", ".")) as raised:
        folders(tmp_path, TWO, THREE, ONE).get(typed)
    assert raised.value.fix == "list them: evalkit runs"


def test_a_store_without_runs_says_how_to_make_one(tmp_path: Path) -> None:
    for made in (False, True):
        with pytest.raises(UsageError) as raised:
            Runs(tmp_path / "store").get("latest")
        assert raised.value.fix in ("make one: evalkit run", "list them: evalkit runs")
        if not made:
            (tmp_path / "store" / "runs").mkdir(parents=True)


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    ids = [new_run_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert [name[:10] for name in ids] == sorted(name[:10] for name in ids), "the first ten digits are the time"


def test_what_is_no_run_is_passed_over(judged: Judged, copied: ProjectFolder) -> None:
    runs = copied.path / ".evalkit/runs"
    for name in (".DS_Store", "notes", ONE[:-1], f".{ONE}.partial"):
        (runs / name).mkdir()
    assert len(Runs(runs.parent).all()) == 2
    assert copied.run("show").code == 0


def test_a_run_is_not_written_again(judged: Judged, copied: ProjectFolder) -> None:
    """A rerun takes over its trials and has segments of its own."""
    runs = copied.path / ".evalkit/runs"
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in runs.rglob("*")}
    assert copied.run("run", "--no-report").code == 1
    after = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in runs.rglob("*")}
    assert {path: after[path] for path in before} == before
    assert len(Runs(runs.parent).all()) == 3


def test_a_store_moves_and_merges_by_copying_folders(judged: Judged, copied: ProjectFolder, tmp_path: Path) -> None:
    """Segments of several machines are put side by side."""
    other = ProjectFolder(Path(shutil.copytree(copied.path, tmp_path / "other")))
    shutil.rmtree(other.path / ".evalkit/runs" / judged.broken["candidate_run"])
    (other.path / ".evalkit/evalkit.duckdb").unlink()
    assert other.run("run", "--fresh", "--no-report").code == 1
    for name in ("runs", "verdicts"):
        shutil.copytree(other.path / ".evalkit" / name, copied.path / ".evalkit" / name, dirs_exist_ok=True)
    assert copied.run("doctor", "--rebuild").out.count("catalogue rebuilt: 3 runs") == 1
    assert len(copied.run("runs").out.splitlines()) == 4


NEEDS = {
    "run.json": ("show",),
    "trials.parquet": ("plan",),
    "traces.parquet": ("show", "latest", "address-005"),
    "scores": ("show",),
}


@pytest.mark.parametrize("segment", NEEDS)
@pytest.mark.parametrize("damage", ["missing", "cut off", "foreign"])
def test_a_damaged_run_is_refused_by_whatever_needs_it(
    judged: Judged, copied: ProjectFolder, segment: str, damage: str
) -> None:
    folder = copied.path / ".evalkit/runs" / judged.broken["candidate_run"]
    (file,) = folder.glob(f"{segment}*")
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-40] if damage == "cut off" else b"PAR1 but not quite PAR1")
    done = copied.run(*NEEDS[segment])
    assert done.code == ExitCode.ERROR, done
    assert file.name in done.err
    checked = copied.run("doctor")
    assert checked.code == ExitCode.ERROR
    assert file.name in checked.out
    assert "a defect in evalkit" not in done.err + checked.err


def test_doctor_says_when_a_segment_is_not_that_of_its_run(judged: Judged, copied: ProjectFolder) -> None:
    folder = copied.path / ".evalkit/runs" / judged.broken["candidate_run"]
    whole = pq.read_table(folder / "trials.parquet")
    pq.write_table(whole.slice(0, 40), folder / "trials.parquet")
    done = copied.run("doctor")
    assert done.code == ExitCode.ERROR
    assert "the run's record says 48 trials, the segment holds 40" in done.out


def test_doctor_says_when_a_verdict_cannot_be_read(copied: ProjectFolder) -> None:
    file = min((copied.path / ".evalkit/verdicts").glob("*.json"))
    file.write_bytes(file.read_bytes()[:100])
    done = copied.run("doctor")
    assert done.code == ExitCode.ERROR
    assert f"{file.name}: not a readable verdict" in done.out


def test_the_library_says_which_segment_is_missing(judged: Judged, copied: ProjectFolder) -> None:
    folder = Runs(copied.path / ".evalkit").get(judged.broken["candidate_run"])
    with pytest.raises(StoreError, match="no such segment") as raised:
        folder.scores("0123456789abcdef")
    assert raised.value.file == str(folder.path / "scores-0123456789ab.parquet")
    assert raised.value.fix == "re-grade the run: evalkit regrade RUN"


@pytest.mark.parametrize("content", ["", '{"id": "x"}', "[]"], ids=["empty", "of another shape", "no object"])
def test_a_damaged_verdict_is_found_before_anything_is_spent(copied: ProjectFolder, content: str) -> None:
    file = min((copied.path / ".evalkit/verdicts").glob("*.json"))
    file.write_text(content, encoding="utf-8")
    done = copied.run("run", "--fresh", "--no-report")
    assert done.code == ExitCode.ERROR
    assert file.name in done.err
    assert "to make" not in done.err
