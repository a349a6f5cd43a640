"""Runs of many calls against a server that counts them, and what must be equal in two of them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit import codec
from evalkit.engine.journal import read_entries, read_head
from evalkit.records import Trace
from evalkit.store.schema import StoredTrial
from tests.conftest import ProjectFolder, clean_environment
from tests.servers import Reply, chat_body, serve

__all__ = ["Calls", "counting_server", "equal_parts", "read_journal", "slow_project", "start", "verdict_of"]

ANSWERS = ("30 days [returns-2026]", "50 euros [delivery-2026]", "I can't help with that.", "14 days")


@dataclass
class Calls:
    """What a server was asked."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    @staticmethod
    def identity(request: dict[str, Any]) -> str:
        """Equal for equal requests: the trial is in the seed."""
        return json.dumps(request, sort_keys=True)

    @property
    def by_request(self) -> Counter[str]:
        """How often each request was made."""
        return Counter(self.identity(request) for request in list(self.seen))


@contextmanager
def counting_server(seconds: float) -> Iterator[tuple[str, Calls]]:
    """A server whose answers follow from the request, so that two runs of it are equal."""

    def answer(request: dict[str, Any]) -> Reply:
        time.sleep(seconds)
        draw = int(hashlib.sha256(Calls.identity(request).encode()).hexdigest(), 16)
        return Reply(chat_body(ANSWERS[draw % len(ANSWERS)]))

    with serve(answer) as (address, seen):
        yield address, Calls(seen)


def slow_project(project: ProjectFolder, address: str, concurrency: int = 2, **keys: Any) -> None:
    """A project whose calls take long enough to be interrupted."""
    project.configure(
        providers={"own": {"kind": "openai", "base_url": address}},
        prices=[{"model": "served-1", "input": 1, "output": 1}],
        concurrency=concurrency,
    )
    project.configure_workflow(model="own:served-1", **{"graders": ["refusal", "answer", "cost"], **keys})


def start(project: ProjectFolder, *arguments: str) -> subprocess.Popen[str]:
    """Start `evalkit` in the project."""
    return subprocess.Popen(
        [sys.executable, "-m", "evalkit", *arguments],
        cwd=project.path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def verdict_of(out: str) -> dict[str, Any]:
    """The verdict of the one workflow in JSON output."""
    verdict: dict[str, Any] = json.loads(out)["workflows"][0]
    return verdict


def equal_parts(verdict: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on when, how often or on how many machines a run was made."""
    moving = ("id", "candidate_run", "baseline_run", "created_us", "commit", "branch", "report", "sql", "latency_us")

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if key not in moving}
        return [plain(item) for item in value] if isinstance(value, list) else value

    kept: dict[str, Any] = plain(verdict)
    return kept


def read_journal(path: Path, redaction: str, keys: Container[str] | None = None) -> Iterator[StoredTrial]:
    """The finished trials of a journal that were masked with the given rules.

    Args:
        path: The journal.
        redaction: Fingerprint of the masking rules.
        keys: Only trials with these keys; default all.
    """
    head = read_head(path)
    if head is None or head.redaction != redaction:
        return
    for entry in read_entries(path, "T"):
        row = entry.head
        if keys is not None and row["trial_key"] not in keys:
            continue
        try:
            trace = codec.decode(Trace, entry.parts[1])
        except codec.ValidationError:
            continue
        yield StoredTrial(trace, row["case_digest"], row["trial_key"], row["source_run"])
