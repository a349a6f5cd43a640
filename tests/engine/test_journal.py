"""The journal: whole lines, in order, on the disk before they count."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.engine.journal import Journal, PlanHead, is_written, read_entries, read_head
from evalkit.errors import StorageError
from evalkit.records import Score, Trace
from evalkit.store.schema import StoredTrial
from tests.engine.runs import read_journal

HEAD = PlanHead("R", 1, "w", "plan", "masking", "grading")


def stored(number: int, answer: str = "text \u20ac") -> StoredTrial:
    """A finished trial."""
    return StoredTrial(Trace("w", f"case-{number}", 0, "ok", answer=f"{answer} {number}"), "d", f"key-{number}", "R")


def written(path: Path, count: int = 5) -> list[bytes]:
    """A journal of some trials, as lines; the first is its head."""
    with Journal(path) as journal:
        journal.begin(HEAD)
        for number in range(count):
            journal.append(stored(number), [Score(f"case-{number}", 0, "g", "1", "f", "ok", value=0.5)])
    return path.read_bytes().splitlines(keepends=True)


def keys(path: Path, redaction: str = "masking") -> list[str]:
    return [trial.key for trial in read_journal(path, redaction)]


def test_it_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    written(path)
    assert read_head(path) == HEAD
    assert list(read_journal(path, "masking")) == [stored(number) for number in range(5)]
    assert list(read_journal(path, "masking", {"key-3"})) == [stored(3)]
    assert path.stat().st_mode & 0o077 == 0, "others must not read traces"


def test_what_was_masked_otherwise_is_no_use(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    written(path)
    assert keys(path, "other rules") == []


def test_a_torn_last_line_is_passed_over_wherever_it_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    lines = written(path)
    for cut in range(1, len(lines[5])):
        path.write_bytes(b"".join(lines[:5]) + lines[5][:cut])
        assert keys(path) == ["key-0", "key-1", "key-2", "key-3"]


@pytest.mark.parametrize("torn", [1, 40, -1])
def test_a_torn_last_line_is_cut_off_when_the_journal_is_taken_up(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "journal.jsonl"
    lines = written(path)
    path.write_bytes(b"".join(lines[:5]) + lines[5][:torn])
    with Journal(path) as journal:
        journal.begin(HEAD)
        journal.append(stored(9))
    assert keys(path) == ["key-0", "key-1", "key-2", "key-3", "key-9"]


def test_a_damaged_line_takes_no_other_with_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    lines = written(path)
    damaged = bytearray(lines[3])
    damaged[40] ^= 1
    path.write_bytes(b"".join([*lines[:3], bytes(damaged), *lines[4:]]))
    assert keys(path) == ["key-0", "key-1", "key-3", "key-4"]


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_text_fits_in_a_line(answer: str, label: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        clean = answer.encode("utf-8", "replace").decode()
        trial = stored(1, clean)
        score = Score("case-1", 0, "g", "1", "f", "ok", label=label.encode("utf-8", "replace").decode())
        with Journal(path) as journal:
            journal.begin(HEAD)
            start, end = journal.append(trial, [score])
        (entry,) = read_entries(path, "T")
        assert (entry.offset, entry.offset + entry.length) == (start, end)
        assert list(read_journal(path, "masking")) == [trial]


def test_a_line_counts_when_it_is_on_the_disk(tmp_path: Path) -> None:
    told: list[int] = []
    changed = threading.Condition()

    def on_commit(size: int) -> None:
        with changed:
            told.append(size)
            changed.notify_all()

    path = tmp_path / "journal.jsonl"
    with Journal(path, on_commit) as journal:
        _, end = journal.append(stored(1))
        with changed:
            assert changed.wait_for(lambda: bool(told) and told[-1] >= end, timeout=30)
        assert path.stat().st_size >= end
        _, last = journal.append(stored(2))
    assert told[-1] == last == path.stat().st_size
    assert told == sorted(told)


def test_one_that_is_being_written_is_known_as_such_and_not_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append(stored(1))
        assert is_written(path)
        with pytest.raises(StorageError, match="open the journal"):
            Journal(path)
    assert not is_written(path)
    path.unlink()
    assert not is_written(path)
    assert list(read_entries(path)) == []
    assert read_head(path) is None


def test_a_line_that_the_disk_took_half_of_takes_no_other_with_it(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "journal.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    journal = Journal(path)
    journal.begin(HEAD)
    journal.append(stored(0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.size + 600, before[1]))
    try:
        with pytest.raises(StorageError, match="write the journal"):
            journal.append(stored(1, "x" * 5000))
        # a shorter line would fit, but one that follows half a line is lost
        with pytest.raises(StorageError, match="write the journal"):
            journal.append(stored(2))
        with pytest.raises(StorageError, match="write the journal"):
            journal.check()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        with pytest.raises(StorageError):
            journal.close()
    assert path.read_bytes().endswith(b"\n")
    assert keys(path) == ["key-0"]


def test_what_fails_while_lines_are_made_durable_is_no_secret(tmp_path: Path) -> None:
    failed = threading.Event()

    def on_commit(size: int) -> None:
        if size < 0:
            failed.set()
        else:
            raise StorageError("the ledger is gone")

    journal = Journal(tmp_path / "journal.jsonl", on_commit)
    journal.append(stored(1))
    assert failed.wait(30), "whoever waits for the disk is told"
    with pytest.raises(StorageError, match="the ledger is gone"):
        journal.check()
    with pytest.raises(StorageError, match="the ledger is gone"):
        journal.append(stored(2))
    with pytest.raises(StorageError, match="the ledger is gone"):
        journal.close()


def test_after_it_is_closed_nothing_is_written_anywhere(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.close()
    with open(tmp_path / "other", "wb") as other, pytest.raises(StorageError):
        journal.append(stored(1))
    assert other.closed
    assert (tmp_path / "other").read_bytes() == b""


def test_whoever_only_looks_does_not_keep_anybody_from_writing(tmp_path: Path) -> None:
    import fcntl

    path = tmp_path / "journal.jsonl"
    written(path)
    with open(path, "rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        release = threading.Timer(0.05, fcntl.flock, (handle, fcntl.LOCK_UN))
        release.start()
        with Journal(path) as journal:
            journal.append(stored(9))
        release.join()
    assert keys(path)[-1] == "key-9"
