"""A store that cannot be used is said to be so before anything is spent, and nothing is half-written."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from evalkit.errors import ExitCode
from evalkit.store import Catalogue
from tests.bad_input.test_configuration import refused
from tests.conftest import ProjectFolder, clean_environment


def test_a_catalogue_of_a_newer_evalkit_is_refused_and_can_be_rebuilt(project: ProjectFolder) -> None:
    project.run("run", "--set-baseline", "main")
    with duckdb.connect(str(project.path / ".evalkit/evalkit.duckdb")) as connection:
        connection.execute("INSERT INTO evalkit_schema VALUES (99, now()::TIMESTAMP)")
    refused(project.run("run"), ExitCode.STORE_VERSION, "schema 99", "upgrade evalkit", "doctor --rebuild")
    assert project.run("doctor").code == ExitCode.STORE_VERSION
    rebuilt = project.run("doctor", "--rebuild")
    assert (rebuilt.code, "rebuilt: 1 run" in rebuilt.out) == (ExitCode.PASS, True)
    assert project.run("run").code == ExitCode.PASS


def test_a_catalogue_of_another_kind_is_refused(project: ProjectFolder) -> None:
    project.run("run", "--set-baseline", "main")
    (project.path / ".evalkit/evalkit.duckdb").write_bytes(b"not a database" * 1000)
    done = project.run("run")
    assert done.code in (ExitCode.STORE_VERSION, ExitCode.STORAGE)
    assert "evalkit.duckdb" in done.err
    assert "fix:" in done.err


def test_a_store_that_cannot_be_written_is_refused_before_any_call(project: ProjectFolder) -> None:
    project.write("occupied", "a file where the store's folder should be")
    project.configure(store="occupied/store")
    refused(project.run("run"), ExitCode.STORAGE, "occupied", "make a folder")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that refuses writes")
def test_a_read_only_disk_is_refused_with_what_to_do(project: ProjectFolder) -> None:
    project.configure(store="/proc/evalkit")
    done = project.run("run")
    assert done.code == ExitCode.STORAGE
    assert "/proc/evalkit" in done.err


def test_two_runs_at_once_neither_corrupt_nor_lose_anything(project: ProjectFolder) -> None:
    # whichever is later may find the other's baseline
    project.configure_workflow(gate={"margin": "25pt", "critical_trials": 1})
    command = [sys.executable, "-m", "evalkit", "run", "--set-baseline", "main", "--fresh", "--quiet"]
    running = [
        subprocess.Popen(command, cwd=project.path, env=clean_environment(), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in running:
        _, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors
    catalogue = Catalogue(project.path / ".evalkit")
    catalogue.sync()
    assert catalogue.query("SELECT count(DISTINCT run_id), count(*) FROM trials") == [(2, 48)]
    assert catalogue.query("SELECT count(*) FROM baselines") == [(2,)]
    twice = "SELECT run_id, case_id, trial, grader FROM scores GROUP BY ALL HAVING count(*) > 1"
    assert catalogue.query(twice) == []


def test_a_catalogue_that_somebody_holds_does_not_stop_a_run(project: ProjectFolder) -> None:
    project.configure_workflow(gate={"margin": "25pt"})
    project.run("run", "--set-baseline", "main")
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(project.path / ".evalkit/evalkit.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    release = threading.Timer(4.0, holder.stdin.close)
    release.start()
    try:
        done = project.run("run", "--fresh")
    finally:
        release.join()
        holder.wait(timeout=30)
        holder.stdout.close()
    assert done.code == ExitCode.PASS, done.err
    assert Catalogue(project.path / ".evalkit").query("SELECT count(*) FROM runs") == [(2,)]
