"""A command as a target: what it reads and prints, how it may fail, and that nothing of it is left running."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ConfigError
from evalkit.providers import CallError, ChatRequest, ChatResponse, Provider, RequestedCall
from evalkit.providers.app import AnswerSpec, AppDialect, AppSpec
from evalkit.providers.command import Command
from evalkit.records import Message, Usage


@pytest.fixture(autouse=True, params=["asyncio", "uvloop"])
def loops(request: pytest.FixtureRequest) -> Iterator[None]:
    """Processes are the part in which event loops differ: every test runs on both."""
    if request.param == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    yield
    asyncio.set_event_loop_policy(None)


ASKED = ChatRequest("m", (Message("user", "Wie lange, größer? '; $(id)"),), context={"role": "customer"})


def script(folder: Path, text: str, name: str = "answer.sh") -> Path:
    """An executable shell script."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def ask(argv: Any, root: Path, request: ChatRequest = ASKED, **options: Any) -> ChatResponse:
    return asyncio.run(Command("command", argv, root, **options).complete(request))


def fail(argv: Any, root: Path, request: ChatRequest = ASKED, **options: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        ask(argv, root, request, **options)
    return caught.value


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def is_running(pid: int) -> bool:
    """Whether a process runs: one that has ended, and that nobody has asked about, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ── what it reads and prints ────────────────────────────────────────────────────────────────


def test_it_reads_one_json_object_and_prints_a_text(tmp_path: Path) -> None:
    script(tmp_path, "cat > seen.json\nprintf '30 days\\n\\n'")
    response = ask("./answer.sh", tmp_path)
    assert isinstance(Command("command", "./answer.sh", tmp_path), Provider)
    assert (response.text, response.finish_reason, response.final) == ("30 days", "stop", True)
    assert (response.usage.source, response.timed) == ("none", True)
    assert response.latency_us > 0
    seen = (tmp_path / "seen.json").read_text(encoding="utf-8")
    assert seen.endswith("}\n")
    assert json.loads(seen) == AppDialect().payload(ASKED, stream=False)


def test_what_begins_with_a_brace_is_json_in_the_envelopes_names(tmp_path: Path) -> None:
    data = {
        "answer": "30 days",
        "tool_calls": [{"name": "lookup", "arguments": {"n": 1}}],
        "input_tokens": 3,
        "cost": 0.5,
    }
    response = ask(python(f"print({json.dumps(data)!r})"), tmp_path)
    assert response.text == "30 days"
    assert response.tool_calls == (RequestedCall("lookup", {"n": 1}),)
    assert (response.usage, response.cost_microusd) == (Usage(3, 0), 500_000)


def test_request_and_answer_may_be_mapped(tmp_path: Path) -> None:
    spec = AppSpec(request={"prompt": "{{ question }}"}, answer=AnswerSpec(text="[0].said"))
    echo = "import json, sys; print(json.dumps([{'said': json.load(sys.stdin)['prompt'] * 2}]))"
    assert ask(python(echo), tmp_path, spec=spec).text == ASKED.messages[0].content * 2


@pytest.mark.parametrize("text", ["[1, 2]", '"quoted," she said', "null", "  indented\n\nlines  ", "größer"])
def test_any_other_text_is_the_answer_as_it_stands(tmp_path: Path, text: str) -> None:
    assert ask(python(f"import sys; sys.stdout.buffer.write({text.encode()!r})"), tmp_path).text == text


def test_arguments_reach_it_as_they_are_and_no_shell_sees_them(tmp_path: Path) -> None:
    show = "import sys; print(sys.argv[1:])"
    argv = f"{sys.executable} -c '{show}' 'two words' \"$HOME\" ';' '*' '$(id)'"
    assert ask(argv, tmp_path).text == "['two words', '$HOME', ';', '*', '$(id)']"


def test_it_runs_in_the_projects_folder_with_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "kettles")
    monkeypatch.chdir("/")
    assert ask(["sh", "-c", 'echo "$SHOP $(pwd -P)"'], tmp_path).text == f"kettles {tmp_path.resolve()}"


def test_it_need_not_read_what_it_is_given(tmp_path: Path) -> None:
    long = ChatRequest("m", (Message("user", "x" * 2_000_000),))
    assert ask(["sh", "-c", "exec <&-; echo done"], tmp_path, long).text == "done"


def test_much_output_on_both_sides_does_not_block(tmp_path: Path) -> None:
    text = (
        "import sys; sys.stderr.write('e' * 3_000_000); print('o' * 3_000_000); sys.stdout.write(sys.stdin.read()[:9])"
    )
    long = ChatRequest("m", (Message("user", "x" * 2_000_000),))
    assert len(ask(python(text), tmp_path, long).text) == 3_000_000 + 1 + 9


# ── failing ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "why", "retry"),
    [
        ("echo 'no such \x1b[2J order' >&2; exit 3", "exit code 3: no such ", False),
        ('echo \'{"answer": "x"}\'; exit 1', "exit code 1", False),
        ("kill -SEGV $$", "ended by SIGSEGV", False),
        ("exit 75", "exit code 75", True),
    ],
)
def test_an_exit_code_is_an_error_whatever_was_printed(tmp_path: Path, body: str, why: str, retry: bool) -> None:
    script(tmp_path, body)
    fault = fail("./answer.sh", tmp_path)
    assert (fault.kind, fault.retry, fault.fatal) == ("target", retry, False)
    assert str(fault).startswith(f"./answer.sh: {why}")
    assert "\x1b" not in str(fault)


def test_of_a_long_complaint_the_end_is_told(tmp_path: Path) -> None:
    fault = fail(python("import sys; sys.stderr.write('x' * 100_000 + ' Error: the last word'); sys.exit(1)"), tmp_path)
    assert str(fault).endswith("Error: the last word")
    assert len(str(fault)) < 500


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        (b"", "it printed nothing"),
        (b" \n\n", "it printed nothing"),
        (b'{"answer": "x"', "not an answer: "),
        (b'{"answer": 5}', "`answer` is no text"),
        (b'{"answer": "x", "cost": NaN}', "NaN is no JSON number"),
        (b'{"answer": "x"} and more', "Extra data"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "nested more than 100 levels deep"),
        (b"\xff\xfe", "can't decode byte 0xff"),
    ],
)
def test_what_is_no_answer_is_an_error_of_protocol(tmp_path: Path, printed: bytes, why: str) -> None:
    fault = fail(python(f"import sys; sys.stdout.buffer.write({printed!r})"), tmp_path)
    assert (fault.kind, fault.retry) == ("protocol", False)
    assert why in str(fault)


def test_where_paths_are_given_a_text_is_no_answer(tmp_path: Path) -> None:
    fault = fail(["echo", "30 days"], tmp_path, spec=AppSpec(answer=AnswerSpec(text="said")))
    assert fault.kind == "protocol"


def test_output_without_end_is_cut_off(tmp_path: Path) -> None:
    fault = fail(["yes"], tmp_path, timeout=60)
    assert (fault.kind, str(fault)) == ("protocol", "yes: it printed more than 33,554,432 bytes")


def test_a_request_that_no_json_can_hold_is_an_error(tmp_path: Path) -> None:
    lone = ChatRequest("m", (Message("user", "\ud800"),))
    assert "the request cannot be written as JSON" in str(fail("cat", tmp_path, lone))


@pytest.mark.parametrize(
    ("argv", "mode", "why"),
    [
        ("./nowhere.sh", 0o755, "No such file or directory (a path is looked for from the project's folder on"),
        ("no-such-command-anywhere", 0o755, "No such file or directory"),
        ("./answer", 0o644, "Permission denied (make it executable: chmod +x)"),
        (".", 0o755, "Permission denied"),
    ],
)
def test_what_cannot_be_started_ends_the_run(tmp_path: Path, argv: Any, mode: int, why: str) -> None:
    path = tmp_path / "answer"
    path.write_text("no interpreter named")
    path.chmod(mode)
    fault = fail(argv, tmp_path)
    assert (fault.kind, fault.retry, fault.fatal) == ("target", False, True)
    assert why in str(fault)


# ── nothing is left running ─────────────────────────────────────────────────────────────────

FAMILY = "sleep 60 & echo $! > child; echo $$ > parent; wait"


def pids(folder: Path) -> list[int]:
    return [int(text) for name in ("parent", "child") if (text := _read(folder / name))]


def _read(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    return ""


def all_end(processes: list[int]) -> bool:
    deadline = time.monotonic() + 20
    while any(map(is_running, processes)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(is_running, processes))


def test_one_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    fault = fail(["sh", "-c", FAMILY], tmp_path, timeout=1)
    assert (fault.kind, fault.retry) == ("timeout", True)
    assert "timed out, no end in 1 s" in str(fault)
    assert len(pids(tmp_path)) == 2
    assert all_end(pids(tmp_path))


def test_a_child_that_holds_the_output_open_is_killed_when_the_time_is_up(tmp_path: Path) -> None:
    fault = fail(["sh", "-c", "sleep 60 & echo $! > child; echo x"], tmp_path, timeout=1)
    assert fault.kind == "timeout"
    assert len(pids(tmp_path)) == 1
    assert all_end(pids(tmp_path))


def test_one_that_ignores_signals_is_killed_too(tmp_path: Path) -> None:
    fail(["sh", "-c", f"trap '' TERM INT HUP; {FAMILY}"], tmp_path, timeout=1)
    assert len(pids(tmp_path)) == 2
    assert all_end(pids(tmp_path))


def test_cancelling_the_call_kills_it_with_its_children(tmp_path: Path) -> None:
    async def run() -> None:
        task = asyncio.create_task(Command("command", ["sh", "-c", FAMILY], tmp_path).complete(ASKED))
        while len(pids(tmp_path)) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert all_end(pids(tmp_path))


def test_cancelling_while_it_is_started_leaves_nothing_either(tmp_path: Path) -> None:
    async def run() -> None:
        target = Command("command", ["sh", "-c", FAMILY], tmp_path)
        for turns in range(12):
            task = asyncio.create_task(target.complete(ASKED))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert all_end(pids(tmp_path))

    asyncio.run(run())


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    target = Command("command", ["sh", "-c", "echo x"], tmp_path)
    slow = Command("command", ["sh", "-c", "sleep 60"], tmp_path, timeout=0.05)

    async def run() -> tuple[int, int]:
        await target.complete(ASKED)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            await target.complete(ASKED)
            with contextlib.suppress(CallError):
                await slow.complete(ASKED)
        await asyncio.sleep(0.1)
        return before, len(list(Path("/proc/self/fd").iterdir()))

    before, after = asyncio.run(run())
    assert after <= before


def test_no_more_run_at_once_than_allowed(tmp_path: Path) -> None:
    target = Command(
        "command", ["sh", "-c", "mkdir busy && sleep 0.02 && rmdir busy && echo x"], tmp_path, concurrency=1
    )

    async def run() -> list[ChatResponse]:
        return await asyncio.gather(*(target.complete(ASKED) for _ in range(4)))

    responses = asyncio.run(run())
    assert [response.text for response in responses] == ["x"] * 4
    assert max(response.waited_us for response in responses) >= 40_000


# ── which program it is ─────────────────────────────────────────────────────────────────────


def test_the_identity_is_that_of_the_command_and_its_files(tmp_path: Path) -> None:
    script(tmp_path, "echo a")
    (tmp_path / "conf.yaml").write_text("a: 1")

    def identity(argv: Any = f"{sys.executable} ./answer.sh conf.yaml", **options: Any) -> str:
        return json.dumps(dict(Command("command", argv, tmp_path, **options).identity), sort_keys=True)

    first = identity()
    assert identity() == first
    assert str(tmp_path) not in first
    others = [
        identity("./answer.sh conf.yaml"),
        identity(version="2"),
        identity(spec=AppSpec(request={"q": "{{ question }}"})),
    ]
    script(tmp_path, "echo b")
    others.append(identity())
    (tmp_path / "conf.yaml").write_text("a: 2")
    others.append(identity())
    assert len({first, *others}) == 6


def test_of_a_command_from_elsewhere_the_program_itself_counts(tmp_path: Path) -> None:
    elsewhere = script(tmp_path, "echo a")
    root = tmp_path / "project"
    root.mkdir()
    first = Command("command", [str(elsewhere)], root).identity
    script(tmp_path, "echo b")
    assert Command("command", [str(elsewhere)], root).identity != first


@pytest.mark.parametrize(
    ("argv", "why"),
    [("", "is empty"), ("  ", "is empty"), ([], "is empty"), ("a 'b", "cannot be split"), ("a \0", "holds a null")],
)
def test_what_is_no_command_line_is_refused(tmp_path: Path, argv: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=f"the command line {why}"):
        Command("command", argv, tmp_path)
