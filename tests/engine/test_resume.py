"""A run that was cut off goes on where it was."""

from __future__ import annotations

import json
import signal
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from evalkit.engine.journal import read_entries
from evalkit.errors import ExitCode
from evalkit.store import Runs
from tests.conftest import ProjectFolder
from tests.servers import Reply, chat_body, serve

from .runs import Calls, counting_server, read_journal, slow_project, start, verdict_of


def left_journal(project: ProjectFolder) -> Path:
    """The one journal that was left."""
    (journal,) = Runs(project.path / ".evalkit").partial_journals()
    return journal


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, ExitCode.TERMINATED), (signal.SIGINT, ExitCode.INTERRUPTED)]
)
def test_interrupted_it_says_how_to_go_on(project: ProjectFolder, number: int, code: ExitCode) -> None:
    with counting_server(0.05) as (address, calls):
        slow_project(project, address)
        process = start(project, "run")
        while len(calls.seen) < 6 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code
        assert out == ""
        assert " of 24 trials are kept; go on with: evalkit run --resume" in err
        done = project.run("run", "--resume", "--format", "json")
    verdict = verdict_of(done.out)
    assert (verdict["trials"], verdict["reused"], verdict["model_calls"]) == (24, 0, 24)
    assert len(calls.seen) <= 24 + 2
    assert not Runs(project.path / ".evalkit").partial_journals(), "a journal goes when its trials are in a run"


def test_without_a_run_that_was_cut_off_there_is_nothing_to_resume(project: ProjectFolder) -> None:
    done = project.run("run", "--resume")
    assert done.code == ExitCode.USAGE
    assert "there is no run of shop that was cut off" in done.err


def spent_budget(project: ProjectFolder, address: str) -> None:
    """A run that ends after ten of its 24 trials, at a dollar each."""
    slow_project(project, address, concurrency=1, budget={"per_run": "$10"})
    assert project.run("run").code == ExitCode.BUDGET


def dear(_: dict[str, Any]) -> Reply:
    """An answer that costs a dollar."""
    body = json.loads(chat_body("30 days, 50 euros"))
    body["usage"] = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    return Reply(json.dumps(body).encode())


def test_a_spent_budget_stops_and_the_run_goes_on(project: ProjectFolder) -> None:
    with serve(dear) as (address, seen):
        slow_project(project, address, concurrency=1, budget={"per_run": "$10"})
        done = project.run("run")
        assert done.code == ExitCode.BUDGET
        assert "10 of 24 trials made for $10.0000" in done.err
        assert "evalkit run --resume" in done.err
        assert len(seen) == 10
        assert not Runs(project.path / ".evalkit").all()
        again = project.run("run", "--resume")
        assert again.code == ExitCode.BUDGET, "what was spent before counts"
        assert len(seen) == 10
        project.configure_workflow(budget={"per_run": "$24"})
        verdict = verdict_of(project.run("run", "--format", "json").out)
    assert len(seen) == 24
    assert (verdict["reused"], verdict["model_calls"], verdict["cost_microusd"]) == (0, 24, 24_000_000)


def test_to_resume_another_configuration_is_refused_and_a_plain_run_keeps_what_it_can(project: ProjectFolder) -> None:
    with serve(dear) as (address, seen):
        spent_budget(project, address)
        project.edit("prompt.md", "You are a shop assistant.", "{# the tone #}You are a shop assistant.")
        project.configure_workflow(budget={})
        done = project.run("run", "--resume")
        assert done.code == ExitCode.USAGE
        assert "is of another configuration" in done.err
        assert len(seen) == 10
        verdict = verdict_of(project.run("run", "--format", "json").out)
    assert (verdict["reused"], verdict["model_calls"]) == (10, 14), "their prompts read as before"
    assert len(seen) == 24


def test_what_was_said_of_a_run_is_remembered(project: ProjectFolder) -> None:
    with serve(dear) as (address, seen):
        slow_project(project, address, concurrency=1, budget={"per_run": "$2"})
        assert project.run("run", "--sample", "4", "--trials", "2").code == ExitCode.BUDGET
        project.configure_workflow(budget={})
        assert project.run("run", "--resume", "--sample", "5").code == ExitCode.USAGE
        verdict = verdict_of(project.run("run", "--resume", "--format", "json").out)
    assert verdict["trials"] == len(seen) == 8


def test_fresh_trials_are_resumed_too(project: ProjectFolder) -> None:
    with serve(dear) as (address, seen):
        slow_project(project, address, concurrency=1)
        project.run("run")
        project.configure_workflow(budget={"per_run": "$5"})
        assert project.run("run", "--fresh").code == ExitCode.BUDGET
        assert len(seen) == 24 + 5
        project.configure_workflow(budget={})
        verdict = verdict_of(project.run("run", "--resume", "--format", "json").out)
    assert (verdict["reused"], verdict["model_calls"], len(seen)) == (0, 24, 48)


def test_a_run_of_one_case_does_not_throw_away_what_else_is_in_a_journal(project: ProjectFolder) -> None:
    with serve(dear) as (address, seen):
        spent_budget(project, address)
        project.configure_workflow(budget={})
        journal = left_journal(project)
        redaction = json.loads(next(read_entries(journal, "P")).parts[0])["redaction"]
        first = next(read_journal(journal, redaction)).trace.case_id
        project.run("run", "--cases", first)
        assert len(seen) == 10
        project.run("run")
    assert len(seen) == 24
    assert not Runs(project.path / ".evalkit").partial_journals()


def test_trials_that_failed_are_made_again(project: ProjectFolder) -> None:
    broken = True

    def answer(request: dict[str, Any]) -> Reply:
        if broken and "number 3" in str(request["messages"][-1]["content"]):
            return Reply(b'{"error": "no"}', 400)
        return dear(request)

    with serve(answer) as (address, seen):
        slow_project(project, address, concurrency=1, budget={"per_run": "$10"})
        assert project.run("run").code == ExitCode.BUDGET
        broken = False
        project.configure_workflow(budget={})
        verdict = verdict_of(project.run("run", "--resume", "--format", "json").out)
    assert verdict["counts"]["error"] == 0
    assert len(seen) == 24 + 1


def test_finished_calls_of_a_trial_that_was_cut_off_are_not_made_again(project: ProjectFolder) -> None:
    def answer(request: dict[str, Any]) -> Reply:
        if request["messages"][-1]["role"] == "tool":
            time.sleep(0.4)
            return Reply(chat_body("30 days"))
        call = {"id": "a", "type": "function", "function": {"name": "look_up", "arguments": '{"what": "returns"}'}}
        return Reply(chat_body("", tool_calls=[call]))

    project.write(
        "tools.json",
        json.dumps([{"name": "look_up", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}}}]),
    )
    with serve(answer) as (address, seen):
        slow_project(project, address, concurrency=4, tools="tools.json")
        process = start(project, "run", "--quiet")
        while sum(request["messages"][-1]["role"] == "tool" for request in list(seen)) < 2 and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.communicate(timeout=60)
        done = project.run("run", "--resume", "--format", "json")
    assert verdict_of(done.out)["model_calls"] == 48
    first = [Calls.identity(request) for request in seen if request["messages"][-1]["role"] != "tool"]
    assert len(set(first)) == 24
    assert len(first) - 24 <= 2, "all but those that were in flight themselves are remembered"


def test_a_trial_that_failed_in_its_second_call_does_not_pay_for_the_first_again(project: ProjectFolder) -> None:
    broken = True

    def answer(request: dict[str, Any]) -> Reply:
        if request["messages"][-1]["role"] == "tool":
            again = broken and "number 3" in str(request["messages"])
            return Reply(b'{"error": "no"}', 400) if again else dear(request)
        call = {"id": "a", "type": "function", "function": {"name": "look_up", "arguments": '{"what": "returns"}'}}
        body = json.loads(chat_body("", tool_calls=[call]))
        body["usage"] = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
        return Reply(json.dumps(body).encode())

    project.write(
        "tools.json",
        json.dumps([{"name": "look_up", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}}}]),
    )
    with serve(answer) as (address, seen):
        slow_project(project, address, concurrency=1, tools="tools.json", budget={"per_run": "$20"})
        assert project.run("run").code == ExitCode.BUDGET
        broken = False
        project.configure_workflow(budget={})
        verdict = verdict_of(project.run("run", "--resume", "--format", "json").out)
    first = [Calls.identity(request) for request in seen if request["messages"][-1]["role"] != "tool"]
    assert len(first) == len(set(first)) == 24
    assert verdict["counts"]["error"] == 0
    assert (verdict["model_calls"], verdict["cost_microusd"]) == (len(seen), 48_000_000)


def test_fresh_trials_of_long_ago_are_not_fresh(project: ProjectFolder) -> None:
    with serve(dear) as (address, seen):
        slow_project(project, address, concurrency=1, budget={"per_run": "$5"})
        assert project.run("run", "--fresh").code == ExitCode.BUDGET
        project.configure_workflow(budget={})
        journal = left_journal(project)
        lines = journal.read_bytes().splitlines(keepends=True)
        head = json.loads(lines[0].split(b"\t", 1)[1])
        body = b"P\t" + json.dumps({**head, "created_us": head["created_us"] - 25 * 3600 * 1_000_000}).encode()
        journal.write_bytes(b"%08x " % zlib.crc32(body) + body + b"\n" + b"".join(lines[1:]))
        verdict = verdict_of(project.run("run", "--fresh", "--format", "json").out)
    assert (verdict["model_calls"], len(seen)) == (24, 24 + 5)


def test_a_full_disk_ends_the_run_and_it_goes_on_when_there_is_room(project: ProjectFolder) -> None:
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (12000, -1)); "
        "from evalkit.cli.main import main; main(sys.argv[1:])"
    )
    import subprocess
    import sys

    from tests.conftest import clean_environment

    with counting_server(0.0) as (address, calls):
        slow_project(project, address, 1)
        done = subprocess.run(
            [sys.executable, "-c", limited, "run", "--quiet"], cwd=project.path, env=clean_environment(),
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == ExitCode.STORAGE, done.stderr
        assert "write the journal" in done.stderr
        made = len(calls.seen)
        assert 1 < made < 24
        verdict = verdict_of(project.run("run", "--format", "json").out)
    assert verdict["model_calls"] == 24
    assert len(calls.seen) <= 24 + 1
