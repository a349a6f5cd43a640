"""Commands that run on a decision: argument lists, no shell, and no effect on what was decided."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.canary import CanaryDecision, run_hook
from evalkit.errors import EvalkitError
from tests.conftest import Finished, ProjectFolder, clean_environment

from .traffic import write

RECORD = "import json, sys; json.dump(sys.argv[1:], open('called.json', 'w')); sys.exit({code})"
LEAK = {"request_id": "leak-1", "arm": "canary", "violations": [{"rule": "leak", "severity": "critical"}]}


def hook(*arguments: str, code: int = 0) -> list[str]:
    return [sys.executable, "-c", RECORD.format(code=code), *arguments]


def good_requests() -> list[dict[str, Any]]:
    return [
        {
            "request_id": f"{arm}-{number}",
            "arm": arm,
            "success": number >= failures,
            "latency_us": 1,
            "cost_microusd": 1,
        }
        for arm, failures in (("control", 40), ("canary", 20))
        for number in range(800)
    ]


@pytest.fixture
def judged(make_project: Callable[..., ProjectFolder]) -> Callable[..., tuple[Finished, list[str] | None]]:
    """Judge a canary with these hooks: how it ended, and the arguments that a hook was called with."""

    def judge(
        envelopes: list[dict[str, Any]], *arguments: str, process: bool = False, **hooks: list[str]
    ) -> tuple[Finished, list[str] | None]:
        project = make_project(canary={"share": 0.5, "p95_warmup": 20, **hooks})
        write(project.path / "envelopes" / "a.jsonl", envelopes)
        run = project.process if process else project.run
        done = run("run", "shop", "--canary", "--envelopes", "envelopes", *arguments)
        called = project.path / "called.json"
        return done, json.loads(called.read_text()) if called.exists() else None

    return judge


Judged = Callable[..., tuple[Finished, list[str] | None]]


def test_a_roll_back_runs_its_hook_with_the_names_filled_in(judged: Judged) -> None:
    done, called = judged(
        [LEAK], process=True, on_rollback=hook("--of", "{workflow}", "because={decision}!"), on_promote=hook("no")
    )
    assert done.code == 1
    assert called == ["--of", "shop", "because=roll back!"]
    assert "ended with 0" in done.err
    assert done.out.splitlines()[-1].startswith("ROLL BACK")


def test_a_promotion_runs_its_own(judged: Judged) -> None:
    done, called = judged(good_requests(), on_rollback=hook("no"), on_promote=hook("{decision}", "{workflow}"))
    assert (done.code, called) == (0, ["promote", "shop"])


@pytest.mark.parametrize("envelopes", [[], [{**LEAK, "violations": []}]])
def test_going_on_runs_nothing(judged: Judged, envelopes: list[dict[str, Any]]) -> None:
    done, called = judged(envelopes, on_rollback=hook("no"), on_promote=hook("no"))
    assert (done.code, called) == (7, None)


def test_hooks_can_be_switched_off(judged: Judged) -> None:
    done, called = judged([LEAK], "--no-hooks", on_rollback=hook("no"))
    assert (done.code, called, done.err) == (1, None, "")


def test_no_shell_reads_the_arguments(judged: Judged) -> None:
    hostile = ["; touch pwned", "$(touch pwned)", "`touch pwned`", "a b", "*", "| cat", "", "{unknown}", "ünï\u202e"]
    done, called = judged([LEAK], process=True, on_rollback=hook(*hostile))
    assert (done.code, called) == (1, hostile)


def test_a_request_cannot_reach_the_arguments(judged: Judged) -> None:
    done, called = judged([{**LEAK, "request_id": "{workflow}; touch pwned"}], on_rollback=hook("{decision}"))
    assert (done.code, called) == (1, ["roll back"])


def test_a_failing_roll_back_hook_leaves_the_decision_and_says_so(judged: Judged) -> None:
    done, called = judged([LEAK], process=True, on_rollback=hook("x", code=9))
    assert (done.code, called) == (1, ["x"])
    assert "ended with 9" in done.err
    assert "act on it by hand" in done.err


def test_a_failing_promotion_hook_is_not_a_success(judged: Judged) -> None:
    done, called = judged(good_requests(), process=True, on_promote=hook("x", code=1))
    assert (done.code, called) == (3, ["x"])
    assert done.out.splitlines()[-1].startswith("PROMOTE")
    assert "act on it by hand" in done.err


@pytest.mark.parametrize(("envelopes", "decision", "code"), [([LEAK], "roll back", 1), (good_requests(), "promote", 3)])
@pytest.mark.parametrize("command", ["no-such-command-here", "no\x00command"])
def test_a_hook_that_cannot_start_leaves_the_decision_and_is_no_success(
    judged: Judged, envelopes: list[dict[str, Any]], decision: str, code: int, command: str
) -> None:
    done, _ = judged(envelopes, on_rollback=[command], on_promote=[command])
    assert done.code == code
    assert done.out.splitlines()[-1].startswith(decision.upper())
    assert f"the hook for `{decision}` did not run" in done.err
    assert repr(command) in done.err
    assert "act on it by hand" in done.err


def test_what_a_hook_prints_is_not_in_the_result(judged: Judged) -> None:
    noisy = [sys.executable, "-c", "print('rolled back')"]
    done, _ = judged([LEAK], "--format", "json", process=True, on_rollback=noisy)
    assert json.loads(done.out)["decision"] == "roll back"
    assert "rolled back\n" in done.err


def test_a_roll_back_is_acted_on_though_nobody_reads_the_result(make_project: Callable[..., ProjectFolder]) -> None:
    project = make_project(canary={"on_rollback": hook("{decision}")})
    write(project.path / "envelopes" / "a.jsonl", [LEAK])
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "evalkit", "run", "shop", "--canary", "--envelopes", "envelopes"]
    try:
        done = subprocess.run(
            command, cwd=project.path, env=clean_environment(), stdout=writer, stderr=subprocess.DEVNULL, check=False
        )
    finally:
        os.close(writer)
    assert done.returncode not in (0, 7)
    assert json.loads((project.path / "called.json").read_text()) == ["roll back"]


# ── from Python ─────────────────────────────────────────────────────────────────────────


def _decision(workflow: str) -> CanaryDecision:
    return CanaryDecision(workflow, "roll back", "", 0, 0, (), 1.0, 1.0, ())


@pytest.mark.parametrize("code", [0, 7])
def test_run_hook_returns_the_exit_code(code: int) -> None:
    assert run_hook([sys.executable, "-c", f"raise SystemExit({code})"], _decision("shop")) == code


def test_a_hook_that_is_no_command_names_itself(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError) as caught:
        run_hook([str(tmp_path), "{workflow}"], _decision("shop"))
    assert caught.value.value == [str(tmp_path), "shop"]
    assert caught.value.key == "canary"
