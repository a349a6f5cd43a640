"""`evalkit simulate` from outside: a process that serves, and one that runs a command beside the server."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import pytest

from evalkit.cli.simulate import URL_VARIABLE
from evalkit.simulator import PROFILES
from tests.conftest import ProjectFolder, clean_environment

QUESTION = {"model": "sim-small-1", "messages": [{"role": "user", "content": "How long is the warranty?"}]}
ASKING = f"""
import os, sys, httpx
url = os.environ["{URL_VARIABLE}"]
response = httpx.post(url + "/chat/completions", json={QUESTION!r}, timeout=30, trust_env=False)
print(url, response.headers["x-evalkit-simulated"], response.json()["model"])
sys.exit(7)
"""


@contextmanager
def simulate(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running `evalkit simulate`, killed at the end where it does not end by itself."""
    with subprocess.Popen(
        [sys.executable, "-m", "evalkit", "simulate", *arguments],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def ask(url: str) -> httpx.Response:
    return httpx.post(f"{url}/chat/completions", json=QUESTION, timeout=30, trust_env=False)


@contextmanager
def waiting_client(url: str) -> Iterator[subprocess.Popen[str]]:
    """A client that has sent its question and waits for the answer."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    program = f"""
import json, socket
body = json.dumps({QUESTION!r}).encode()
connection = socket.create_connection(({host!r}, {port}))
connection.sendall(b"POST /v1/chat/completions HTTP/1.1\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(body) + body)
print("sent", flush=True)
connection.recv(1)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as client:
        try:
            yield client
        finally:
            client.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_until_it_is_told_to_stop(number: signal.Signals) -> None:
    with simulate("serve", "--port", "0", "--time-scale", "0") as process:
        said = line_of(process.stderr)
        assert said.startswith("simulated models at http://127.0.0.1:")
        url = said.split()[3]
        response = ask(url)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    body = response.json()
    assert response.headers["x-evalkit-simulated"] == "1"
    assert (body["model"], body["system_fingerprint"][:18]) == ("sim-small-1", "evalkit-simulator-")
    assert (process.returncode, out, err) == (0, "", "answered 1 requests\n")
    with pytest.raises(httpx.ConnectError):
        ask(url)


def test_serve_stops_while_a_client_is_connected_and_waits() -> None:
    """A model that takes its time does not hold up the end."""
    with simulate("serve", "--port", "0", "--time-scale", "100000") as process:
        url = line_of(process.stderr).split()[3]
        with waiting_client(url) as client:
            assert line_of(client.stdout) == "sent\n"
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (0, False)


def test_serve_stops_by_itself() -> None:
    with simulate("serve", "--port", "0", "--max-seconds", "0.1") as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err.splitlines()[1:] == ["time is up", "answered 0 requests"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--host", "0.0.0.0"), "the simulator has no login and listens on loopback only\n  key:   --host"),  # noqa: S104
        (("--host", "::"), "the simulator has no login and listens on loopback only\n  key:   --host"),
        (("--port", "70000"), "no such port\n  key:   --port\n  value: 70000"),
        (("--time-scale", "-1"), "not a factor for times\n  key:   --time-scale"),
    ],
)
def test_serve_refuses_what_cannot_or_should_not_be(
    project: ProjectFolder, arguments: tuple[str, ...], says: str
) -> None:
    done = project.run("simulate", "serve", *arguments)
    assert done.code == 2
    assert done.err.startswith(f"error: {says}")


def test_serve_listens_to_others_when_it_is_told_to() -> None:
    arguments = ("--host", "0.0.0.0", "--allow-remote", "--port", "0", "--time-scale", "0")  # noqa: S104
    with simulate("serve", *arguments) as process:
        url = line_of(process.stderr).split()[3]
        assert ask(url.replace("0.0.0.0", "127.0.0.1")).status_code == 200  # noqa: S104
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


# ── exec ────────────────────────────────────────────────────────────────────────────────────


def test_exec_gives_the_command_the_address_and_takes_its_exit_code() -> None:
    with simulate("exec", "--time-scale", "0", "--", sys.executable, "-c", ASKING) as process:
        out, err = process.communicate(timeout=60)
    url, label, model = out.split()
    assert url.startswith("http://127.0.0.1:")
    assert (label, model) == ("1", "sim-small-1")
    assert (process.returncode, err) == (7, "the simulated models answered 1 requests\n")
    with pytest.raises(httpx.ConnectError):
        ask(url)


def test_exec_leaves_the_options_of_the_command_to_the_command(tmp_path: Path) -> None:
    program = tmp_path / "show.py"
    program.write_text("import sys; print(sys.argv[1:])", encoding="utf-8")
    with simulate("exec", "--", sys.executable, str(program), "--time-scale", "9", "--help", "--", "x") as process:
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "['--time-scale', '9', '--help', '--', 'x']\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_exec_passes_a_signal_on_and_says_by_which_the_command_ended(number: signal.Signals) -> None:
    with simulate("exec", "--", "sh", "-c", "echo started; exec sleep 60") as process:
        assert line_of(process.stdout) == "started\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (128 + number, "the simulated models answered 0 requests\n")


def test_exec_waits_for_a_command_that_ends_in_its_own_way() -> None:
    with simulate("exec", "--", "sh", "-c", "trap 'exit 3' TERM; echo started; sleep 60 & wait") as process:
        assert line_of(process.stdout) == "started\n"
        process.terminate()
        process.wait(timeout=30)
    assert process.returncode == 3


def test_exec_does_not_repeat_a_ctrl_c_that_the_terminal_gives_the_command() -> None:
    """Signals that come close together may count as one, so that a second one shows in some rounds only."""
    counting = """
import signal, time
told = []
signal.signal(signal.SIGINT, lambda *_: told.append(1))
print(0, flush=True)
for number in range(6):
    while len(told) <= number:
        time.sleep(0.01)
    time.sleep(0.1)
    print(len(told), flush=True)
"""
    master, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "evalkit", "simulate", "exec", "--", sys.executable, "-c", counting],
        env=clean_environment(),
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads here
    ) as process:
        try:
            for number in range(6):
                assert line_of(process.stdout) == f"{number}\n"
                os.write(master, b"\x03")
            out, _ = process.communicate(timeout=30)
        finally:
            process.kill()
            os.close(master)
            os.close(terminal)
    assert (process.returncode, out) == (0, "6\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--", "no-such-command-here"), "error: cannot run no-such-command-here: No such file or directory"),
        ((), "Error: Missing argument '-- COMMAND...'."),
    ],
)
def test_exec_without_a_command_that_runs_is_an_error_of_usage(
    project: ProjectFolder, arguments: tuple[str, ...], says: str
) -> None:
    done = project.run("simulate", "exec", *arguments)
    assert done.code == 2
    assert says in done.err


# ── what else there is ──────────────────────────────────────────────────────────────────────


def test_models_lists_what_is_stated(project: ProjectFolder) -> None:
    done = project.run("simulate", "models")
    assert done.code == 0
    for profile in PROFILES:
        (line,) = (line for line in done.out.splitlines() if profile.name in line)
        assert f"{profile.reading:.1%}" in line
        assert profile.description in line


def test_explain_tells_why(project: ProjectFolder) -> None:
    done = project.run("simulate", "explain", "shop", "address-005")
    assert done.code == 0
    assert "rule: disclose the address of another customer" in done.out
