"""A command as a target: the request as JSON on its standard input, the answer on its standard output."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from evalkit.errors import ConfigError
from evalkit.providers.app import AppDialect, AppSpec
from evalkit.providers.base import CallError, ChatRequest, ChatResponse
from evalkit.providers.dialect import Reply
from evalkit.records import Json
from evalkit.strictjson import load_json
from evalkit.text import excerpt, log_safe

__all__ = ["Command"]

_MOST_OUTPUT = 32 * 1024 * 1024
_KEPT_ERRORS = 16 * 1024
_QUOTED = 300
_TIME_TO_DIE = 5.0
_TRY_AGAIN = 75
"""EX_TEMPFAIL of ``sysexits.h``."""
_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})
"""Why a process cannot be started now, but perhaps later."""


class Command:
    """A target that is a program, started for each request without a shell.

    Its standard input is one JSON object, by default ``{"question", "messages", "role", "tenant", "locale",
    "documents"}``. What it prints is the answer: a JSON object where it begins with ``{``, else the text itself. An
    exit code other than 0 makes the trial an error; 75 (EX_TEMPFAIL) asks for another attempt.

    Args:
        name: As configured.
        argv: Program and arguments, or one text that is split as a shell would, with nothing expanded.
        root: The folder in which it runs.
        spec: Template of the request and paths of the answer, which then must be JSON.
        version: Of whatever it depends on that is no file named among its arguments.
        timeout: Seconds for one attempt; then it is killed, with the processes that it has started.
        concurrency: Most processes at once.

    Raises:
        ConfigError: when the command line is empty or cannot be split.
    """

    def __init__(
        self,
        name: str,
        argv: str | Sequence[str],
        root: Path,
        *,
        spec: AppSpec | None = None,
        version: str = "",
        timeout: float = 60.0,
        concurrency: int = 16,
    ) -> None:
        self.name = name
        self._argv = _split(argv)
        self._root = root.resolve()
        self._timeout = timeout
        self._dialect = AppDialect(spec)
        self._only_json = spec is not None and spec.answer is not None
        self._slots = asyncio.Semaphore(concurrency)
        self._identity: Mapping[str, Json] = {
            "kind": "command",
            "argv": list(self._argv),
            "files": _files(self._argv, self._root),
            "version": version,
            **self._dialect.identity,
        }

    @property
    def identity(self) -> Mapping[str, Json]:
        """The command line, the content of the project's files in it, the version, and how it is asked and read."""
        return self._identity

    async def aclose(self) -> None:
        """Nothing to release."""

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Run the command once; the time from its start to its end is the latency.

        Raises:
            CallError: when it cannot be started, fails, takes too long, or prints something else than an answer.
        """
        sent = self._input(request)
        asked = time.perf_counter()
        async with self._slots:
            started = time.perf_counter()
            printed = await self._run(sent)
            spent = time.perf_counter() - started
        try:
            reply = self._read(printed)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise self._error(f"not an answer: {error}", "protocol") from None
        return reply.response(latency_us=round(spent * 1e6), waited_us=round((started - asked) * 1e6))

    def _input(self, request: ChatRequest) -> bytes:
        payload = self._dialect.payload(request, stream=False)
        try:
            return json.dumps(payload, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        except (ValueError, TypeError, RecursionError) as error:
            raise self._error(f"the request cannot be written as JSON: {error}", "protocol") from None

    def _read(self, printed: bytes) -> Reply:
        text = printed.decode("utf-8").rstrip("\r\n")
        if self._only_json or text.lstrip().startswith("{"):
            return self._dialect.reply(load_json(text))
        if not text.strip():
            raise ValueError("it printed nothing")
        return self._dialect.reply(text)

    async def _run(self, sent: bytes) -> bytes:
        transport, talk = await self._started()
        try:
            _hand_over(transport, sent)
            async with asyncio.timeout(self._timeout):
                await talk.ended
        except BaseException as error:
            await _kill(transport, talk)
            if isinstance(error, TimeoutError):
                raise self._error(f"timed out, no end in {self._timeout:g} s", "timeout", retry=True) from None
            if isinstance(error, _TooLongError):
                raise self._error(f"it printed more than {_MOST_OUTPUT:,} bytes", "protocol") from None
            raise
        finally:
            transport.close()
        code = transport.get_returncode()
        if code != 0:
            end = excerpt(log_safe(talk.complaints.decode("utf-8", "replace").strip()[-_QUOTED:]), _QUOTED)
            why = f"{_ended(code)}: {end}" if end else _ended(code)
            raise self._error(why, "target", retry=code == _TRY_AGAIN)
        return bytes(talk.printed)

    async def _started(self) -> tuple[asyncio.SubprocessTransport, _Talk]:
        """Start the process; a call that is cancelled meanwhile ends it, with all that it may have started by then."""
        start = asyncio.ensure_future(self._start())
        try:
            return await asyncio.shield(start)
        except asyncio.CancelledError:
            with suppress(CallError):
                transport, talk = await start
                await _kill(transport, talk)
                transport.close()
            raise

    async def _start(self) -> tuple[asyncio.SubprocessTransport, _Talk]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.subprocess_exec(lambda: _Talk(loop), *self._argv, cwd=self._root, start_new_session=True)
        except (OSError, ValueError) as error:
            passing = isinstance(error, OSError) and error.errno in _PASSING
            raise self._error(_not_started(error), "target", retry=passing, fatal=not passing) from None

    def _error(self, why: str, kind: str, *, retry: bool = False, fatal: bool = False) -> CallError:
        return CallError(f"{excerpt(shlex.join(self._argv), 80)}: {why}", kind=kind, retry=retry, fatal=fatal)


class _TooLongError(Exception):
    pass


def _split(argv: str | Sequence[str]) -> tuple[str, ...]:
    try:
        parts = tuple(shlex.split(argv) if isinstance(argv, str) else argv)
    except ValueError as error:
        raise ConfigError(f"the command line cannot be split: {error}", value=argv) from None
    if not parts or not parts[0]:
        raise ConfigError("the command line is empty", value=argv, fix="write it as command: ./answer.sh")
    if any("\0" in part for part in parts):
        raise ConfigError("the command line holds a null character", value=argv)
    return parts


def _files(argv: Sequence[str], root: Path) -> dict[str, str]:
    """Content hashes of the arguments that are files of the project; of the first file where none is one."""
    found = {part: root / part for part in argv if _is_file(root / part)}
    own = {part: path for part, path in found.items() if path.resolve().is_relative_to(root)}
    hashes = {}
    for part, path in (own or dict(list(found.items())[:1])).items():
        with suppress(OSError), open(path, "rb") as handle:
            hashes[part] = hashlib.file_digest(handle, "sha256").hexdigest()
    return hashes


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


class _Talk(asyncio.SubprocessProtocol):
    """What a process says until it has ended and closed its outputs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.gone: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.printed = bytearray()
        self.complaints = b""
        """The end of its standard error."""

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep what is needed of a piece of output."""
        if fd == 2:
            self.complaints = (self.complaints + data)[-_KEPT_ERRORS:]
        elif len(self.printed) + len(data) <= _MOST_OUTPUT:
            self.printed += data
        elif not self.ended.done():
            self.ended.set_exception(_TooLongError())

    def process_exited(self) -> None:
        """The process has ended; what it has started may go on."""
        self.gone.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The process has ended, and nobody holds its outputs."""
        if not self.ended.done():
            self.ended.set_result(None)


def _not_started(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return f"cannot be started: {error}"
    fixes = {
        errno.ENOENT: "a path is looked for from the project's folder on, a name in PATH",
        errno.EACCES: "make it executable: chmod +x",
        errno.ENOEXEC: "let it begin with #!/bin/sh, or whatever runs it",
    }
    fix = f" ({fixes[error.errno]})" if error.errno in fixes else ""
    return f"cannot be started: {error.strerror or error}{fix}"


def _hand_over(transport: asyncio.SubprocessTransport, sent: bytes) -> None:
    """Write the whole input of a process, which need not read it and may have ended already."""
    stdin = cast("asyncio.WriteTransport | None", transport.get_pipe_transport(0))
    # uvloop raises where asyncio drops what is written to a pipe that the other side has closed
    with suppress(RuntimeError, OSError):
        if stdin is not None and not stdin.is_closing():
            stdin.write(sent)
            stdin.close()


async def _kill(transport: asyncio.SubprocessTransport, talk: _Talk) -> None:
    """End a process and those of its group, which may outlive it."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            transport.kill()
        else:
            os.killpg(transport.get_pid(), signal.SIGKILL)
    # the loop may be closed next, and must not be while it waits for a process
    await asyncio.wait({talk.gone}, timeout=_TIME_TO_DIE)


def _ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"ended by {signal.Signals(-code).name}"
    return f"ended by signal {-code}"
