"""`evalkit run --canary` as a process of its own: decisions, exit codes, following, output."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import Finished, ProjectFolder, clean_environment

from .traffic import Traffic, line, write

RULES = {"share": 0.5, "p95_warmup": 20}


def requests(arm: str, count: int, failures: int = 0, start: int = 0) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {
            "request_id": f"{arm}-{start + number}",
            "arm": arm,
            "success": number >= failures,
            "latency_us": 1_000_000,
            "cost_microusd": 10_000,
        }


LEAK = {"request_id": "leak-1", "arm": "canary", "violations": [{"rule": "no_addresses", "severity": "critical"}]}


@pytest.fixture
def shop(make_project: Callable[..., ProjectFolder]) -> ProjectFolder:
    """A project with rules for its canary and an empty folder of envelopes."""
    project = make_project(canary=RULES)
    (project.path / "envelopes").mkdir()
    return project


COMMAND = ("run", "shop", "--canary", "--envelopes", "envelopes")


def judge(project: ProjectFolder, *arguments: str) -> Finished:
    return project.process(*COMMAND, *arguments)


def look(project: ProjectFolder, *arguments: str) -> Finished:
    """The same without the start of a process."""
    return project.run(*COMMAND, *arguments)


# ── decisions and exit codes ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("control", "canary", "code", "last"),
    [
        (
            (1000, 40),
            (1000, 30),
            0,
            "PROMOTE: Failures are proven less than 2 times the control's: 3.00% against 4.00%.",
        ),
        ((30, 1), (30, 1), 7, "CONTINUE: 30 canary requests so far."),
        ((900, 9), (500, 5), 5, "HOLD: Sample-ratio mismatch: the canary got 35.71%, planned 50.00%."),
        ((1000, 10), (1000, 60), 1, "ROLL BACK: The canary fails more often: 6.00% against 1.00%."),
    ],
)
def test_each_decision_has_its_exit_code(
    shop: ProjectFolder, control: tuple[int, int], canary: tuple[int, int], code: int, last: str
) -> None:
    write(shop.path / "envelopes" / "a.jsonl", requests("control", *control))
    write(shop.path / "envelopes" / "b.jsonl", requests("canary", *canary))
    done = judge(shop)
    assert done.code == code, done.err
    assert done.out.splitlines()[-1].startswith(last)
    assert done.err == ""
    assert f"{canary[0]:,} canary and {control[0]:,} control requests" in done.out.splitlines()[0]


def test_the_first_critical_violation_stops_the_reading(shop: ProjectFolder) -> None:
    folder = shop.path / "envelopes"
    write(folder / "a.jsonl", [*requests("control", 5), *requests("canary", 5), LEAK, *requests("canary", 50, start=9)])
    done = judge(shop, "--format", "json")
    assert done.code == 1
    decision = json.loads(done.out)
    assert decision["decision"] == "roll back"
    assert decision["critical"] == ["leak-1"]
    assert (decision["canary_requests"], decision["control_requests"]) == (6, 5)
    assert "no_addresses in request leak-1" in decision["sentence"]


def test_a_critical_violation_in_a_half_written_line_is_not_there_yet(shop: ProjectFolder) -> None:
    write(shop.path / "envelopes" / "a.jsonl", requests("canary", 3))
    (shop.path / "envelopes" / "b.jsonl").write_bytes(line(LEAK)[:-1])
    assert look(shop).code == 7
    (shop.path / "envelopes" / "b.jsonl").write_bytes(line(LEAK))
    assert look(shop).code == 1


def test_other_workflows_are_not_judged_and_repetitions_are_told(shop: ProjectFolder) -> None:
    write(shop.path / "envelopes" / "a.jsonl", [{**LEAK, "workflow": "billing"}, *requests("canary", 3)])
    write(shop.path / "envelopes" / "b.jsonl", requests("canary", 3))
    done = look(shop)
    assert done.code == 7
    assert done.out.startswith("canary of shop: 3 canary and 0 control requests")
    assert done.err == "3 repeated request ids were passed over\n"


def test_simulated_traffic_is_called_so(shop: ProjectFolder) -> None:
    write(shop.path / "envelopes" / "a.jsonl", ({**found, "simulated": True} for found in requests("canary", 3)))
    assert look(shop).out.splitlines()[0].endswith("· simulated")


# ── output ──────────────────────────────────────────────────────────────────────────────


def test_json_has_the_decision_its_code_and_every_monitor(shop: ProjectFolder) -> None:
    write(shop.path / "envelopes" / "a.jsonl", Traffic(seed=3).requests(3000))
    done = look(shop, "--format", "json")
    decision = json.loads(done.out)
    assert done.code == decision["exit_code"]
    assert decision["workflow"] == "shop"
    assert [monitor["name"] for monitor in decision["monitors"]] == [
        "failures", "p95 latency", "cost per success", "assignment",
    ]  # fmt: skip
    assert decision["control_requests"] + decision["canary_requests"] == 3000
    assert decision["completeness"] == 1.0
    assert 0 < decision["critical_bound"] < 0.01


def test_json_is_json_from_the_first_look_on(shop: ProjectFolder) -> None:
    foreign: list[str] = []
    decision = json.loads(look(shop, "--format", "json").out, parse_constant=foreign.append)
    assert foreign == []
    assert [decision["monitors"][number]["canary"] for number in (0, 2)] == [None, None], "no rate and no cost yet"


def test_escape_sequences_of_a_request_do_not_reach_the_terminal(shop: ProjectFolder) -> None:
    hostile = {**LEAK, "request_id": "\x1b[2Jr\n::error::x"}
    write(shop.path / "envelopes" / "a.jsonl", [hostile])
    done = look(shop)
    assert done.code == 1
    assert "\x1b" not in done.out
    assert not any(row.startswith("::error::") for row in done.out.splitlines())
    assert done.out.splitlines()[-1].startswith(
        "ROLL BACK: Critical violation of no_addresses in request ⟦U+001B⟧[2Jr "
    )


def test_a_critical_violation_counts_whatever_its_request_is_called(shop: ProjectFolder) -> None:
    write(shop.path / "envelopes" / "a.jsonl", [{**LEAK, "request_id": "r\ud800"}])
    assert judge(shop).code == 1


# ── mistakes ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--canary", "--envelopes", "envelopes"], "judges one workflow"),
        (["shop", "shop", "--canary", "--envelopes", "envelopes"], "judges one workflow"),
        (["shop", "--canary"], "--envelopes"),
        (["shop", "--envelopes", "envelopes"], "go with --canary"),
        (["shop", "--follow"], "go with --canary"),
        (["nothing", "--canary", "--envelopes", "envelopes"], "no workflow `nothing`"),
        (["shop", "--canary", "--envelopes", "evalkit.yaml"], "evalkit.yaml"),
        (["shop", "--canary", "--envelopes", "envelopes", "--poll", "0"], "poll"),
    ],
)
def test_a_wrong_command_line_is_no_decision(shop: ProjectFolder, arguments: list[str], words: str) -> None:
    done = shop.run("run", *arguments)
    assert done.code == 2
    assert words in done.err
    assert done.out == ""


def test_a_missing_folder_is_no_decision(shop: ProjectFolder) -> None:
    done = shop.run("run", "shop", "--canary", "--envelopes", "nowhere")
    assert done.code == 17
    assert "nowhere" in done.err
    assert "--envelopes FOLDER" in done.err


def test_a_foreign_line_is_no_decision(shop: ProjectFolder) -> None:
    write(shop.path / "envelopes" / "a.jsonl", [*requests("canary", 2), {"request_id": "x", "arm": "blue"}])
    done = look(shop)
    assert done.code == 10
    assert "a.jsonl:3:" in done.err
    assert "'blue'" in done.err
    assert done.out == ""


# ── following ───────────────────────────────────────────────────────────────────────────


@contextmanager
def following(project: ProjectFolder, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, watching; it is ended with the block at the latest."""
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit", "run", "shop", "--canary", "--envelopes", "envelopes", "--follow",
         "--poll", "0.05", *arguments],
        cwd=project.path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_a_look(process: subprocess.Popen[str], words: str) -> None:
    """Until the command has told that it looked and saw this."""
    assert process.stderr is not None
    for said in process.stderr:
        if words in said:
            return
    raise AssertionError(f"it ended without saying {words!r}")


def test_following_waits_for_a_decision(shop: ProjectFolder) -> None:
    file = shop.path / "envelopes" / "a.jsonl"
    with following(shop, "--format", "json") as process:
        wait_for_a_look(process, "no requests of both arms yet")
        write(file, [*requests("control", 200, 2), *requests("canary", 200, 2)])
        wait_for_a_look(process, "200 canary requests so far")
        write(file, [*requests("canary", 300, 60, start=1000), *requests("control", 300, 3, start=1000)])
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    decision = json.loads(out)
    assert (decision["decision"], decision["canary_requests"]) == ("roll back", 500)


def test_following_stops_at_a_critical_violation_as_soon_as_its_line_is_whole(shop: ProjectFolder) -> None:
    file = write(shop.path / "envelopes" / "a.jsonl", [*requests("control", 3), *requests("canary", 3)])
    with following(shop) as process:
        wait_for_a_look(process, "3 canary requests so far")
        with file.open("ab") as handle:
            handle.write(line(LEAK)[:30])
            handle.flush()
            for _ in range(3):
                wait_for_a_look(process, "3 canary requests so far")
            handle.write(line(LEAK)[30:])
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.splitlines()[-1].startswith("ROLL BACK: Critical violation of no_addresses in request leak-1")


def test_following_ends_with_a_promotion_or_a_hold(shop: ProjectFolder) -> None:
    write(shop.path / "envelopes" / "a.jsonl", [*requests("control", 1000, 40), *requests("canary", 1000, 30)])
    with following(shop) as process:
        assert process.wait(timeout=60) == 0
    shop.configure_workflow(canary={**RULES, "horizon": 1000, "promote_ratio": 1.01})
    with following(shop) as process:
        assert process.wait(timeout=60) == 5


def test_without_following_it_looks_once(shop: ProjectFolder) -> None:
    done = look(shop)
    assert done.code == 7
    assert done.out.splitlines()[-1] == "CONTINUE: There are no requests of both arms yet."
