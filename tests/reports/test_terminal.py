"""The verdict in a terminal: nothing in it commands the terminal or a CI log, nothing of a figure is cut off."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.cells import cell_len

from evalkit.gate import Verdict
from tests.conftest import clean_environment, lay_down

from .hostile import PAYLOADS, poisoned, rendered

KINDS = ["PASS", "BLOCKED", "INCONCLUSIVE", "NOT COMPARABLE", "ERROR"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_line_is_the_verdict_with_its_sentence(stored: Mapping[str, Verdict], kind: str) -> None:
    last = rendered("terminal", stored[kind]).splitlines()[-1]
    assert last == f"{kind}: {stored[kind].sentence}"


def test_several_workflows_end_in_the_worst_verdict_and_name_all(stored: Mapping[str, Verdict]) -> None:
    last = rendered("terminal", *stored.values()).splitlines()[-1]
    assert last.startswith("BLOCKED: shop: ")
    assert all(f"shop {kind}" in last for kind in KINDS)


def test_nothing_judged_is_an_error_and_says_so() -> None:
    assert rendered("terminal").splitlines()[-1] == "ERROR: No workflow was judged."


@pytest.mark.parametrize("name", PAYLOADS)
def test_no_text_commands_the_terminal_or_the_log(stored: Mapping[str, Verdict], name: str) -> None:
    for kind in ("BLOCKED", "ERROR"):
        shown = rendered("terminal", poisoned(stored[kind], PAYLOADS[name]))
        assert not re.search(
            r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", shown
        )
        assert "##[" not in shown
        assert not [line for line in shown.splitlines() if line.lstrip().startswith("::")]


@pytest.mark.parametrize("name", ["terminal", "markdown", "template"])
def test_with_colour_the_only_escapes_are_those_of_colours(stored: Mapping[str, Verdict], name: str) -> None:
    shown = rendered("terminal", poisoned(stored["BLOCKED"], PAYLOADS[name]), color=True)
    assert "\x1b[" in shown
    assert "\x1b" not in re.sub(r"\x1b\[[0-9;]*m", "", shown)


@pytest.mark.parametrize("kind", KINDS)
def test_colour_is_all_that_colour_adds(
    stored: Mapping[str, Verdict], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = rendered("terminal", stored[kind])
    assert "\x1b" not in plain
    colored = re.sub(r"\x1b\[[0-9;]*m", "", rendered("terminal", stored[kind], color=True))
    assert [line.rstrip() for line in colored.splitlines()] == plain.splitlines()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert rendered("terminal", stored[kind]) == plain


@pytest.mark.parametrize("width", [20, 60, 80, 200])
@pytest.mark.parametrize("kind", ["BLOCKED", "INCONCLUSIVE", "NOT COMPARABLE", "ERROR"])
def test_the_gate_fits_the_width_and_no_figure_is_cut(stored: Mapping[str, Verdict], kind: str, width: int) -> None:
    verdict = stored[kind]
    wide = rendered("terminal", verdict, width=400)
    shown = rendered("terminal", verdict, width=width)
    gate = [line for line in shown.splitlines() if re.match(r"  [✔✖?≠!▾▴·] \S", line)]
    for rule in verdict.rules:
        assert any(rule.id in line for line in gate)
    figures = re.findall(r"[−+]?\$?\d[\d.,]*(?:%| s| ms)?", "\n".join(_gate(wide)))
    assert figures
    assert all(figure in shown for figure in figures)
    assert all("…" not in line and cell_len(line) <= max(60, width) for line in _gate(shown))


def _gate(shown: str) -> list[str]:
    """Lines of the gate, without the limits."""
    lines = shown.split("\n\n")[1].splitlines()
    return [re.sub(r"(no worse than|at most|at least) .*", "", line).rstrip() for line in lines if "note:" not in line]


def test_without_a_baseline_it_does_not_say_that_nothing_changed(stored: Mapping[str, Verdict]) -> None:
    assert "changed" not in rendered("terminal", stored["NOT COMPARABLE"])


def test_a_grader_that_failed_is_told_with_its_error(stored: Mapping[str, Verdict]) -> None:
    shown = rendered("terminal", stored["ERROR"])
    assert "cases with errors" in shown
    assert re.search(r"short: ZeroDivisionError.* \(graders/short\.py:\d+\)", shown)


def shown_in_a_terminal(folder: Path, **environment: str) -> str:
    """What `evalkit report --format text` writes where its output is a terminal."""
    ours, theirs = pty.openpty()
    wanted = {key: value for key, value in clean_environment().items() if key not in ("NO_COLOR", "CI")}
    command = [sys.executable, "-m", "evalkit", "report", "--format", "text"]
    with subprocess.Popen(command, cwd=folder, env={**wanted, "TERM": "xterm", **environment}, stdout=theirs):
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
    os.close(ours)
    return shown.decode()


def test_colour_is_for_terminals_and_only_where_it_is_wanted(tmp_path: Path) -> None:
    project = lay_down(tmp_path / "project")
    project.run("run", "--no-report")
    assert "\x1b[" in shown_in_a_terminal(project.path)
    assert "\x1b" not in shown_in_a_terminal(project.path, NO_COLOR="1")
    assert "\x1b" not in shown_in_a_terminal(project.path, FORCE_COLOR="0")
    assert "\x1b" not in shown_in_a_terminal(project.path, CI="true")
    assert "\x1b" not in shown_in_a_terminal(project.path, TERM="dumb")
    assert "\x1b[" in shown_in_a_terminal(project.path, CI="true", FORCE_COLOR="1")
    assert "\x1b" not in project.process("report", "--format", "text", env={"NO_COLOR": ""}).out
    assert "\x1b[" in project.process("report", "--format", "text", env={"NO_COLOR": "", "FORCE_COLOR": "1"}).out
