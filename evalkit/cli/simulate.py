"""``evalkit simulate``."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

import click

from evalkit.cli.common import get_project, note, table

__all__ = ["URL_VARIABLE", "command"]

URL_VARIABLE = "EVALKIT_SIMULATOR_URL"


@click.group("simulate")
def command() -> None:
    """Simulated models: rule-based, seeded, free, and labelled as simulated wherever they appear."""


@command.command("models")
def models() -> None:
    """List the simulated models with their stated skill, latency and price."""
    from evalkit.simulator import PROFILES

    rows = [
        [
            p.name,
            f"{p.reading:.1%}",
            f"{p.obedience:.1%}",
            f"{p.tools:.1%}",
            f"{p.latency_ms:g} ms",
            f"${p.input_price}/${p.output_price}",
            p.description,
        ]
        for p in PROFILES
    ]
    headers = ["model", "reads right", "obeys rules", "calls right", "median", "per million in/out", "what it is like"]
    click.echo(table(headers, rows))


@command.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--allow-remote", is_flag=True, help="Allow a host that others can reach: there is no login.")
@click.option("--port", default=8377, show_default=True, help="0 takes a free one.")
@click.option("--time-scale", default=1.0, show_default=True, help="Factor on the stated latencies; 0 answers at once.")
@click.option("--max-seconds", type=float, help="Stop by itself after so long.")
def serve(host: str, allow_remote: bool, port: int, time_scale: float, max_seconds: float | None) -> None:
    """Serve the simulated models as OpenAI Chat Completions until Ctrl-C or SIGTERM.

    The exit code is 0 then.
    """
    asyncio.run(_serve(host, port, time_scale, max_seconds, allow_remote=allow_remote))


async def _serve(host: str, port: int, time_scale: float, max_seconds: float | None, *, allow_remote: bool) -> None:
    from evalkit.simulator import start_server

    signals = _signals()
    async with await start_server(host, port, time_scale=time_scale, allow_remote=allow_remote) as server:
        note(f"simulated models at {server.base_url} (Ctrl-C stops)")
        try:
            await asyncio.wait_for(signals.get(), max_seconds)
        except TimeoutError:
            note("time is up")
        note(f"answered {server.counts['chat']:,} requests")


@command.command("exec", context_settings={"ignore_unknown_options": True})
@click.option("--time-scale", default=1.0, show_default=True, help="Factor on the stated latencies; 0 answers at once.")
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def exec_(time_scale: float, arguments: tuple[str, ...]) -> int:
    """Serve the models on a free port, run COMMAND with EVALKIT_SIMULATOR_URL set, and stop.

    The exit code is that of the command, or 128 + N where signal N ended it.
    """
    return asyncio.run(_exec(time_scale, arguments))


async def _exec(time_scale: float, arguments: tuple[str, ...]) -> int:
    from evalkit.errors import UsageError
    from evalkit.simulator import start_server

    async with await start_server(port=0, time_scale=time_scale) as server:
        signals = _signals()
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments, env={**os.environ, URL_VARIABLE: server.base_url}
            )
        except OSError as error:
            raise UsageError(f"cannot run {arguments[0]}: {error.strerror}") from None
        passing = asyncio.create_task(_pass_on(signals, process))
        code = await process.wait()
        passing.cancel()
        note(f"the simulated models answered {server.counts['chat']:,} requests")
    return code if code >= 0 else 128 - code


def _signals() -> asyncio.Queue[int]:
    """Requests to stop, kept from now on: one that comes before there is a process must not be lost."""
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    return signals


async def _pass_on(signals: asyncio.Queue[int], process: asyncio.subprocess.Process) -> None:
    while True:
        number = await signals.get()
        if number == signal.SIGINT and _in_foreground():
            continue
        with suppress(ProcessLookupError):
            process.send_signal(number)


def _in_foreground() -> bool:
    """Whether a terminal's Ctrl-C reaches the command too, which must not be told twice."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


@command.command("explain")
@click.argument("workflow")
@click.argument("case_id", metavar="CASE")
@click.option("--model", default="", help="Simulated model to ask; default the one that the route takes.")
def explain(workflow: str, case_id: str, model: str) -> None:
    """Tell why a simulated model answers CASE of WORKFLOW as it does, step by step."""
    from evalkit.session import explain_case

    for line in asyncio.run(explain_case(get_project(), workflow, case_id, model)):
        click.echo(line)
