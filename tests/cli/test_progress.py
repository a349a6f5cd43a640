"""What the person who waits is told: counts, rate, spend against the budget, errors, time left."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import time
from contextlib import redirect_stderr
from dataclasses import replace

import pytest

from evalkit.cli.progress import ProgressDisplay
from evalkit.engine.execute import Progress
from tests.conftest import ProjectFolder, clean_environment


def told(monkeypatch: pytest.MonkeyPatch, *steps: tuple[float, Progress]) -> list[str]:
    """Lines of a display that is told each progress at its second."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    err = io.StringIO()
    with redirect_stderr(err):
        display = ProgressDisplay()
        for second, progress in steps:
            now = second
            display.tell("shop", progress)
        display.stop()
    return err.getvalue().splitlines()


def at(done: int, **keys: int | None) -> Progress:
    return Progress(1_200, 100, 100, done, **keys)  # type: ignore[arg-type]


def test_line_by_line_it_is_short_and_says_all(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = told(
        monkeypatch,
        (0.0, at(0)),
        (1.0, at(90)),
        (5.0, at(250, errors=2, cost_microusd=1_234_500, budget_microusd=5_000_000)),
        (6.0, at(300)),
        (20.0, at(1_000, cost_microusd=4_000_000)),
    )
    assert lines == [
        "shop: plan   1,200 trials, 100 reused, 100 made before, 1,000 to make",
        "shop: run    250/1,000 made, 50.0/s, 2 errors, $1.2345 of $5.00 spent, 15 s left",
        "shop: run    1,000/1,000 made, 50.0/s, 0 errors, $4.0000 spent",
    ]


@pytest.mark.parametrize(("rate", "left"), [(1, "15 min 50 s left"), (0.1, "2 h 38 min left"), (50, "0 s left")])
def test_the_time_left_is_readable(monkeypatch: pytest.MonkeyPatch, rate: float, left: str) -> None:
    done = 50 if rate < 50 else 999
    lines = told(monkeypatch, (0.0, at(0)), (done / rate, at(done)))
    assert lines[-1].endswith(left)


def test_nothing_to_make_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = told(monkeypatch, (0.0, Progress(24, 24)))
    assert lines == ["shop: plan   24 trials, 24 reused, 0 to make"]


def test_a_further_round_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    more = Progress(1_230, 1_200)
    lines = told(monkeypatch, (0.0, at(0)), (10.0, at(1_000)), (11.0, more), (21.0, replace(more, done=30)))
    assert lines[-2:] == [
        "shop: plan   1,230 trials, 1,200 reused, 30 to make",
        "shop: run    30/30 made, 3.0/s, 0 errors, $0.0000 spent",
    ]


def test_what_it_is_about_to_cost_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = told(monkeypatch, (0.0, at(0, estimate_microusd=1_900_000, budget_microusd=5_000_000)))
    assert lines == ["shop: plan   1,200 trials, 100 reused, 100 made before, 1,000 to make, about $1.90 (limit $5.00)"]


def test_a_grader_that_fails_is_told_before_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    finished = replace(at(1_000), grader_errors={"refusal": 0, "short": 1_000})
    lines = told(monkeypatch, (0.0, at(0)), (10.0, finished))
    assert lines[-1] == "shop: grade  refusal ✔  short ! 1,000 errors"


def test_a_name_commands_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = replace(at(1_000), grader_errors={"##[error]x\x1b[2J": 1})
    lines = told(monkeypatch, (0.0, at(0)), (10.0, failed))
    assert "##[" not in "".join(lines)
    assert "\x1b" not in "".join(lines)


def test_quiet_says_nothing_and_knows_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    with redirect_stderr(err):
        display = ProgressDisplay(quiet=True)
        display.tell("shop", at(500))
        display.tell("hr", Progress(10, 4, done=1))
    assert err.getvalue() == ""
    assert display.kept() == "601 of 1,106 trials are kept"


def test_in_a_terminal_there_is_a_bar_that_goes_away(project: ProjectFolder) -> None:
    master, slave = pty.openpty()
    environment = {key: value for key, value in clean_environment().items() if key not in ("CI", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit", "run", "--trials", "3"], cwd=project.path, stdout=subprocess.PIPE,
        stderr=slave, text=True, env={**environment, "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(slave)
    seen = b""
    try:
        while piece := os.read(master, 65536):
            seen += piece
    except OSError:  # the terminal is closed
        pass
    out, _ = process.communicate(timeout=60)
    os.close(master)
    text = seen.decode()
    assert "72/72" in text
    assert re.search(r"shop: plan   72 trials, 0 reused, 72 to make, about \$\d", text)
    assert re.search(r"shop: run    72/72 made, 0 errors, \$0\.\d{4} spent\r\n", text)
    assert "shop: grade  refusal ✔  answer ✔  groundedness ✔  cost ✔  latency ✔" in text
    assert re.search(r"\d+(\.\d)?/s, 0 errors, \$0\.\d{4} spent", text)
    assert "NOT COMPARABLE" in out
