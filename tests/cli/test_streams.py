"""What goes where: results to standard output, the rest to standard error; pipes, colours, encodings, widths."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from evalkit.errors import ExitCode
from tests.conftest import ProjectFolder, clean_environment
from tests.store.conftest import Judged

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COMMAND = [sys.executable, "-m", "evalkit"]


def strict_json(text: str) -> Any:
    """JSON as its standard has it: no NaN, no Infinity."""

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("run", "--no-report"), 1), (("gate",), 1), (("diff", "main", "latest"), 0), (("show",), 0), (("runs",), 0),
        (("show", "latest", "address-005"), 0), (("plan",), 0), (("baseline", "list"), 0), (("graders",), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)  # fmt: skip
def test_json_is_all_that_is_on_standard_output(copied: ProjectFolder, arguments: tuple[str, ...], code: int) -> None:
    done = copied.run(*arguments, "--format", "json", env={"FORCE_COLOR": "1"})
    assert done.code == code, done.err
    assert strict_json(done.out)
    assert not ESCAPE.search(done.out)
    assert "{" not in done.err


@pytest.mark.parametrize(
    "arguments", [("run", "--no-report"), ("gate",), ("diff", "main", "latest")], ids=lambda value: value[0]
)
def test_markdown_is_a_comment_that_can_be_found_again(copied: ProjectFolder, arguments: tuple[str, ...]) -> None:
    done = copied.run(*arguments, "--format", "md", env={"FORCE_COLOR": "1"})
    assert done.out.startswith("<!-- evalkit:sticky workflow=shop -->")
    assert not ESCAPE.search(done.out)
    assert "`address-005`" in done.out.replace("<code>", "`").replace("</code>", "`")


def test_github_gets_summary_output_and_annotations(copied: ProjectFolder, judged: Judged) -> None:
    summary, outputs = copied.write("summary.md", "before\n"), copied.write("outputs", "other=1\n")
    env = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(outputs)}
    done = copied.run("gate", "--format", "github", env=env)
    assert done.code == ExitCode.BLOCKED
    assert summary.read_text(encoding="utf-8").startswith("before\n<!-- evalkit:sticky workflow=shop -->")
    said = dict(line.split("=", 1) for line in outputs.read_text(encoding="utf-8").splitlines())
    assert list(said) == ["other", "verdict", "regressed", "improved", "cost-usd", "run-id"]
    assert said["verdict"] == "BLOCKED"
    counts = judged.broken["counts"]
    assert [int(said[name]) for name in ("regressed", "improved")] == [counts["regressed"], counts["improved"]]
    assert said["run-id"] == judged.broken["candidate_run"]
    opened, *commands = [line for line in done.out.splitlines() if line.startswith("::")]
    closed = commands.pop(0)
    token = re.fullmatch(r"::stop-commands::(evalkit-[0-9a-f]{32})", opened)
    assert token
    assert closed == f"::{token.group(1)}::"
    assert 0 < len(commands) <= 10, "GitHub shows ten a step"
    assert all(re.match(r"::(error|warning)( file=[^:,]+,line=\d+)?::shop: ", line) for line in commands)
    assert done.out.index(closed) < done.out.index(commands[0])


def test_without_github_the_format_is_text_with_annotations(copied: ProjectFolder) -> None:
    plain, github = copied.run("gate"), copied.run("gate", "--format", "github")
    assert github.out.partition("\n")[2].startswith(plain.out.rpartition("\n\n")[0])
    assert "::error" not in plain.out


@pytest.mark.parametrize("wrong", [("run", "nothing"), ("show", "01ZZ"), ("diff", "a", "b"), ("runs", "nothing")])
def test_an_error_leaves_standard_output_empty(copied: ProjectFolder, wrong: tuple[str, ...]) -> None:
    done = copied.run(*wrong)
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert done.err.startswith("error: ")
    assert "fix:" in done.err


def test_a_name_with_terminal_escapes_is_shown_and_not_obeyed(copied: ProjectFolder) -> None:
    for arguments in (("show", "\x1b[2J\u202e01"), ("baseline", "set", "main", "\x1b]0;owned\x07")):
        done = copied.run(*arguments)
        assert done.code == ExitCode.USAGE
        assert not set(done.err) & {"\x1b", "\x07", "\u202e"}
        assert "⟦U+001B⟧" in done.err


@pytest.mark.parametrize("arguments", [("--help",), ("gate", "--format", "json")], ids=lambda value: value[0])
def test_a_reader_that_goes_away_is_no_verdict_and_no_traceback(
    copied: ProjectFolder, arguments: tuple[str, ...]
) -> None:
    """As `| head -1` with `set -o pipefail`: 1 would say BLOCKED, 0 would say PASS."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=copied.path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), errors) == (ExitCode.ERROR, b"")


def test_head_takes_a_line(judged: Judged) -> None:
    line = f"{' '.join(COMMAND)} schema case | head -1; echo ${{PIPESTATUS[1]}}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=judged.folder.path, env=clean_environment(), capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("{\n0\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_changes_no_code(judged: Judged) -> None:
    for stream, arguments, code in (
        ("stdout", ("--help",), ExitCode.ERROR),
        ("stderr", ("rum",), ExitCode.USAGE),
    ):
        with open("/dev/full", "w", encoding="utf-8") as full:
            streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: full}
            done = subprocess.run(
                [*COMMAND, *arguments],
                cwd=judged.folder.path,
                env=clean_environment(),
                check=False,
                timeout=60,
                **streams,
            )
        assert done.returncode == code, stream


def test_a_pipe_is_utf_8_whatever_the_locale(judged: Judged) -> None:
    done = subprocess.run(
        [*COMMAND, "plan"], cwd=judged.folder.path, capture_output=True, check=False, timeout=60,
        env={**clean_environment(), "PYTHONIOENCODING": "latin-1", "LC_ALL": "C", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert "–" in done.stdout.decode()


def on_a_terminal(folder: Path, *arguments: str, columns: int = 100, **env: str) -> tuple[int, str]:
    """Run with a terminal on all streams; its exit code and what was on the screen."""
    parent, child = pty.openpty()
    environment = {key: value for key, value in clean_environment().items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdin=child, stdout=child, stderr=child, close_fds=True,
        env={**environment, "TERM": "xterm-256color", "COLUMNS": str(columns), "CI": "", **env},
    )  # fmt: skip
    os.close(child)
    screen = b""
    while True:
        try:
            read = os.read(parent, 65536)
        except OSError:
            break
        if not read:
            break
        screen += read
    os.close(parent)
    return process.wait(timeout=60), screen.decode("utf-8", "replace").replace("\r\n", "\n")


def test_a_terminal_gets_colours(judged: Judged) -> None:
    code, screen = on_a_terminal(judged.folder.path, "diff", "main", "latest")
    assert code == 0
    assert ESCAPE.search(screen)


def test_colours_can_be_forced_into_a_pipe(judged: Judged) -> None:
    forced = judged.folder.run("diff", "main", "latest", env={"NO_COLOR": "", "FORCE_COLOR": "1"})
    assert ESCAPE.search(forced.out)


def test_a_terminal_that_cannot_show_a_sign_gets_another(judged: Judged) -> None:
    code, screen = on_a_terminal(judged.folder.path, "rum✔", PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert code == ExitCode.USAGE
    assert "No such command 'rum\\u2714'" in screen


def test_a_narrow_terminal_without_colours_loses_no_name(copied: ProjectFolder) -> None:
    code, screen = on_a_terminal(copied.path, "gate", columns=20, NO_COLOR="1")
    assert code == ExitCode.BLOCKED
    assert "\x1b" not in screen
    for word in ("refusal", "answer", "groundedness", "critical cases", "BLOCKED", "address-005"):
        assert word in screen


def test_progress_on_a_terminal_leaves_the_verdict_as_the_last_line(copied: ProjectFolder) -> None:
    code, screen = on_a_terminal(copied.path, "run", "--fresh", "--no-report")
    assert code == ExitCode.BLOCKED
    shown = [line for line in ESCAPE.sub("", screen).replace("\r", "\n").splitlines() if line.strip()]
    assert shown[-1].startswith("BLOCKED: ")
