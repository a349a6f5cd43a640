"""CPU of a trial over HTTP, against a loop of stock httpx calls to the same server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import yaml

from benchmarks.common import Table, cpu_of, make_project, medians, scratch_folder
from evalkit import RunOptions, load_project, run_project

COUNT = 400
AT_ONCE = 64


@contextmanager
def server() -> Iterator[str]:
    """The simulated models in a process of their own, answering at once."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "evalkit",
            "simulate",
            "serve",
            "--port",
            "0",
            "--time-scale",
            "0",
            "--max-seconds",
            "600",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        yield process.stderr.readline().split(" at ")[1].split(" ")[0]
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


async def bare_loop(address: str, at_once: int) -> None:
    """The same number of calls with httpx as it comes."""
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    payload = {"model": "sim-flawless-1", "messages": [{"role": "user", "content": "How many days?"}]}
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        semaphore = asyncio.Semaphore(at_once)

        async def one() -> None:
            async with semaphore:
                (await client.post(f"{address}/chat/completions", json=payload)).json()

        await asyncio.gather(*(one() for _ in range(COUNT)))


def measure() -> Table:
    """CPU milliseconds a trial at two levels of concurrency."""
    rows = []
    with scratch_folder() as folder, server() as address:
        make_project(folder, COUNT, model="sim:sim-flawless-1")
        config = yaml.safe_load((folder / "evalkit.yaml").read_text(encoding="utf-8"))
        config["providers"] = {"sim": {"kind": "openai", "base_url": address}}
        (folder / "evalkit.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        project = load_project(folder)
        for at_once in (8, AT_ONCE):
            options = RunOptions(fresh=True, concurrency=at_once)
            ours, bare = medians(
                3,
                lambda options=options: cpu_of(lambda: run_project(project, options=options)),  # type: ignore[misc]
                lambda at_once=at_once: cpu_of(lambda: asyncio.run(bare_loop(address, at_once))),  # type: ignore[misc]
            )
            rows.append([at_once, f"{ours / COUNT * 1000:.2f}", f"{bare / COUNT * 1000:.2f}", f"{ours / bare:.2f}"])
    headers = ["at once", "evalkit, ms a trial", "stock httpx loop, ms a call", "ratio"]
    return f"{COUNT} trials over HTTP, everything on", headers, rows
