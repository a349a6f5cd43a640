"""A run that was cut off goes on where it was: finished calls are kept and not made again."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from evalkit.engine.journal import Journal, is_written, read_journal
from evalkit.errors import ExitCode
from evalkit.records import Trace
from evalkit.store import Runs
from evalkit.store.schema import StoredTrial
from tests.conftest import ProjectFolder, clean_environment
from tests.servers import Reply, chat_body, serve


def slow_project(project: ProjectFolder, address: str, concurrency: int = 2) -> None:
    """A project whose 24 calls take long enough to be interrupted."""
    project.configure(
        providers={"own": {"kind": "openai", "base_url": address}},
        prices=[{"model": "served-1", "input": 1, "output": 1}],
        concurrency=concurrency,
    )
    project.configure_workflow(model="own:served-1")


def question(request: dict[str, Any]) -> str:
    """What a request asks."""
    return str(request["messages"][-1]["content"])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_goes_on_with_the_calls_that_were_not_finished(project: ProjectFolder, number: int) -> None:
    draw = random.Random(number)

    def answer(_: dict[str, Any]) -> Reply:
        time.sleep(0.05)
        return Reply(chat_body("30 days, 50 euros, I can't help with that."))

    with serve(answer) as (address, seen):
        slow_project(project, address)
        process = subprocess.Popen(
            [sys.executable, "-m", "evalkit", "run", "--quiet"],
            cwd=project.path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wanted = draw.randint(4, 16)
        while len(seen) < wanted and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(number)
        process.communicate(timeout=60)
        asked = len(seen)
        assert 4 <= asked < 24
        done = project.run("run", "--format", "json")
        total = len(seen)
        asked_twice = {question(request) for request in seen[:asked]} & {question(request) for request in seen[asked:]}
    assert done.code in (ExitCode.NOT_COMPARABLE, ExitCode.BLOCKED), done.err
    verdict = json.loads(done.out)["workflows"][0]
    assert verdict["trials"] == 24
    assert verdict["reused"] >= asked - 4
    assert verdict["reused"] + verdict["model_calls"] == 24
    assert len(asked_twice) == total - 24 <= 4, "only calls that were in flight may be made again"
    assert not Runs(project.path / ".evalkit").partial_journals(), "a journal goes when its trials are in a run"


def test_ctrl_c_says_how_to_go_on(project: ProjectFolder) -> None:
    def answer(_: dict[str, Any]) -> Reply:
        time.sleep(0.05)
        return Reply(chat_body("30 days"))

    with serve(answer) as (address, seen):
        slow_project(project, address)
        process = subprocess.Popen(
            [sys.executable, "-m", "evalkit", "run"],
            cwd=project.path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while len(seen) < 4 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert out == ""
    assert "run the same command again to go on" in err


def test_a_spent_budget_stops_and_the_next_run_goes_on(project: ProjectFolder) -> None:
    body = json.loads(chat_body("30 days, 50 euros"))
    body["usage"] = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    with serve(lambda _: Reply(json.dumps(body).encode())) as (address, seen):
        slow_project(project, address, concurrency=1)
        project.configure_workflow(budget={"per_run": "$10"})
        done = project.run("run")
        assert done.code == ExitCode.BUDGET
        assert "the budget of $10.00 is spent: 10 of 24 trials made for $10.0000" in done.err
        assert len(seen) == 10
        assert not Runs(project.path / ".evalkit").all()
        project.configure_workflow(budget={"per_run": "$24"})
        verdict = json.loads(project.run("run", "--format", "json").out)["workflows"][0]
    assert len(seen) == 24
    assert (verdict["reused"], verdict["model_calls"], verdict["cost_microusd"]) == (10, 14, 14_000_000)


def stored(number: int) -> StoredTrial:
    """A finished trial."""
    return StoredTrial(Trace("w", f"case-{number}", 0, "ok", answer=f"text {number} \u20ac"), "d", f"key-{number}", "R")


def test_a_torn_or_damaged_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        for number in range(5):
            journal.append(stored(number), "redaction")
    lines = path.read_bytes().splitlines(keepends=True)
    for cut in range(1, len(lines[4])):
        path.write_bytes(b"".join(lines[:4]) + lines[4][:cut])
        assert [trial.key for trial in read_journal(path, "redaction")] == ["key-0", "key-1", "key-2", "key-3"]
    damaged = bytearray(lines[2])
    damaged[40] ^= 1
    path.write_bytes(b"".join([*lines[:2], bytes(damaged), *lines[3:]]))
    assert [trial.key for trial in read_journal(path, "redaction")] == ["key-0", "key-1", "key-3", "key-4"]


def test_a_journal_gives_back_what_was_written_for_the_same_masking_only(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append(stored(1), "one")
        journal.append(stored(2), "two")
    assert list(read_journal(path, "one")) == [stored(1)]
    assert list(read_journal(path, "two")) == [stored(2)]
    assert path.stat().st_mode & 0o077 == 0, "others must not read traces"


def test_many_threads_of_one_process_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:

        def fifty(start: int) -> None:
            for number in range(start, start + 50):
                journal.append(stored(number), "r")

        threads = [threading.Thread(target=fifty, args=(start,)) for start in range(0, 400, 50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(trial.key for trial in read_journal(path, "r")) == sorted(f"key-{number}" for number in range(400))


def test_a_run_of_one_case_does_not_throw_away_what_else_is_in_a_journal(project: ProjectFolder) -> None:
    body = json.loads(chat_body("30 days, 50 euros"))
    body["usage"] = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    with serve(lambda _: Reply(json.dumps(body).encode())) as (address, seen):
        slow_project(project, address, concurrency=1)
        project.configure_workflow(budget={"per_run": "$10"})
        assert project.run("run").code == ExitCode.BUDGET
        made = [question(request) for request in seen]
        project.configure_workflow(budget={})
        first = next(trial.trace.case_id for trial in read_journal(*left_journal(project)))
        project.run("run", "--cases", first)
        assert len(seen) == len(made) == 10
        project.run("run")
    assert len(seen) == 24
    assert not Runs(project.path / ".evalkit").partial_journals()


def left_journal(project: ProjectFolder) -> tuple[Path, str]:
    """The one journal that was left, and the masking of its trials."""
    (journal,) = Runs(project.path / ".evalkit").partial_journals()
    head = json.loads(journal.read_text(encoding="utf-8").splitlines()[0].partition(" ")[2])
    return journal, head["redaction"]


def test_a_journal_that_is_being_written_is_known_as_such(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append(stored(1), "one")
        assert is_written(path)
    assert not is_written(path)
    path.unlink()
    assert not is_written(path)
    assert list(read_journal(path, "one")) == []
