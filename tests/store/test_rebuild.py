"""The catalogue is an index: it can be lost, old, new, foreign or half-written, and is made again from the segments."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from evalkit.errors import ExitCode, StoreVersionError
from evalkit.store import Catalogue, catalogue
from evalkit.store.migrations import LATEST, MIGRATIONS
from tests.conftest import ProjectFolder
from tests.store.conftest import Judged, Tables

Reader = Callable[[Path], Tables]
FILE = "evalkit.duckdb"


def test_a_lost_catalogue_comes_back_as_it_was(copied: ProjectFolder, read_tables: Reader) -> None:
    store = copied.path / ".evalkit"
    before = read_tables(store)
    (store / FILE).unlink()
    done = copied.run("doctor", "--rebuild")
    assert done.code == 0, done.out + done.err
    assert read_tables(store) == before
    assert all(before[name] for name in before), "a table that is always empty would compare equal too"


def test_any_command_that_enters_something_brings_a_lost_catalogue_back(
    copied: ProjectFolder, read_tables: Reader
) -> None:
    store = copied.path / ".evalkit"
    before = read_tables(store)
    (store / FILE).unlink()
    assert copied.run("baseline", "set", "main", before["baselines"][0][3]).code == 0
    after = read_tables(store)
    assert {**after, "baselines": []} == {**before, "baselines": []}


def test_a_rebuilt_catalogue_has_nothing_twice(copied: ProjectFolder, read_tables: Reader) -> None:
    store = copied.path / ".evalkit"
    before = read_tables(store)
    for _ in range(2):
        assert copied.run("doctor", "--rebuild").code == 0
        assert Catalogue(store).sync() == 0
    assert read_tables(store) == before


def test_a_verdict_that_was_judged_again_is_in_the_catalogue_as_on_disk(
    copied: ProjectFolder, read_tables: Reader
) -> None:
    store = copied.path / ".evalkit"
    assert copied.run("gate").code == ExitCode.BLOCKED
    before = read_tables(store)
    assert copied.run("doctor", "--rebuild").code == 0
    assert read_tables(store) == before


def test_a_write_ahead_log_of_another_catalogue_does_no_harm(copied: ProjectFolder, read_tables: Reader) -> None:
    """What a process that was killed leaves behind."""
    store = copied.path / ".evalkit"
    before = read_tables(store)
    (store / f"{FILE}.wal").write_bytes(b"\x00left by a process that was killed" * 100)
    assert copied.run("doctor", "--rebuild").code == 0
    assert read_tables(store) == before
    assert not (store / f"{FILE}.wal").exists()


def test_the_process_can_be_killed_while_it_enters(copied: ProjectFolder, read_tables: Reader) -> None:
    store = copied.path / ".evalkit"
    before = read_tables(store)
    (store / FILE).unlink()
    program = (
        "import os, sys; from pathlib import Path; from evalkit.store import Catalogue\n"
        "Catalogue._enter_baselines = lambda *_: os._exit(9)\n"
        "Catalogue(Path(sys.argv[1])).sync()"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(store)], check=False, timeout=60)
    assert killed.returncode == 9
    assert Catalogue(store).sync() == 2
    assert read_tables(store) == before


def test_an_empty_database_is_made_a_catalogue(copied: ProjectFolder, read_tables: Reader) -> None:
    store = copied.path / ".evalkit"
    before = read_tables(store)
    (store / FILE).unlink()
    duckdb.connect(str(store / FILE)).close()
    assert Catalogue(store).sync() == 2
    assert read_tables(store) == before


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Act as an evalkit whose catalogue has one more version."""

    def patch(*statements: str) -> None:
        monkeypatch.setattr(catalogue, "MIGRATIONS", (*MIGRATIONS, statements))
        monkeypatch.setattr(catalogue, "LATEST", LATEST + 1)

    return patch


def test_an_older_catalogue_is_brought_up_to_date_and_keeps_its_rows(
    copied: ProjectFolder, read_tables: Reader, next_version: Callable[..., None]
) -> None:
    store = copied.path / ".evalkit"
    before = read_tables(store)
    next_version("ALTER TABLE verdicts ADD COLUMN judged_by VARCHAR DEFAULT 'nobody'")
    assert Catalogue(store).sync() == 0
    after = read_tables(store)
    assert after["verdicts"] == [(*row, "nobody") for row in before["verdicts"]]
    assert {**after, "verdicts": []} == {**before, "verdicts": []}
    with pytest.MonkeyPatch.context() as older:
        older.setattr(catalogue, "LATEST", LATEST)
        with pytest.raises(StoreVersionError, match=f"schema {LATEST + 1}, this evalkit knows {LATEST}"):
            Catalogue(store).sync()


def test_a_migration_that_fails_leaves_the_catalogue_as_it_was(
    copied: ProjectFolder, read_tables: Reader, next_version: Callable[..., None]
) -> None:
    store = copied.path / ".evalkit"
    before = read_tables(store)
    next_version("DROP VIEW case_scores", "ALTER TABLE nothing ADD COLUMN more VARCHAR")
    with pytest.raises(duckdb.Error):
        Catalogue(store).sync()
    assert read_tables(store) == before


@pytest.mark.skipif(duckdb.__version__ > "2", reason="needs the older DuckDB, with the newer one installed beside it")
def test_a_catalogue_of_a_newer_duckdb_is_refused_with_the_way_out(copied: ProjectFolder, read_tables: Reader) -> None:
    store = copied.path / ".evalkit"
    before = read_tables(store)
    (store / FILE).unlink()
    newer = copied.process("doctor", "--rebuild", env={"PYTHONPATH": ""})
    assert "duckdb 2." in newer.out
    assert newer.code == 0, newer.out
    refused = copied.run("run", "--no-report")
    assert refused.code == ExitCode.STORE_VERSION
    assert "evalkit doctor --rebuild" in refused.err
    assert copied.run("doctor", "--rebuild").code == 0
    assert read_tables(store) == before


def test_reading_commands_need_no_catalogue(judged: Judged, copied: ProjectFolder) -> None:
    (copied.path / ".evalkit" / FILE).unlink()
    run = judged.broken["candidate_run"]
    for arguments in (("runs",), ("show",), ("show", run, "address-005"), ("baseline", "list"), ("diff", "main", run)):
        assert copied.run(*arguments).code == 0, arguments
    assert not (copied.path / ".evalkit" / FILE).exists()
