"""A server of a project's verdicts on loopback, and raw HTTP to it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit import codec
from evalkit.gate import RuleResult, Verdict
from evalkit.store import Verdicts
from evalkit.view import ViewServer, serve
from evalkit.workflow import load_project
from tests.conftest import lay_down

Get = Callable[..., tuple[http.client.HTTPResponse, str]]


def verdict(number: int, **keys: object) -> Verdict:
    """The verdict on a run of its own, made in this order."""
    rules = (
        RuleResult("refusal", "pass", "Fine.", kind="drop", n=24, touched=24, baseline=0.9,
                   candidate=0.9 + number / 100, delta=number / 100, low=-0.05, high=0.06, limit=-0.05),
        RuleResult("cost", "pass", "Fine.", kind="increase", unit="dollars", baseline=0.01, candidate=0.011, delta=1.1,
                   low=1.05, high=1.2, limit=1.1),
        RuleResult("critical cases", "block", "Two.", kind="count", unit="count", baseline=0, candidate=2, limit=0),
    )  # fmt: skip
    made = Verdict(
        id=f"{number:026d}", workflow="shop", verdict="BLOCKED", sentence=f"Sentence {number}.",
        candidate_run=f"RUN{number:023d}", baseline_run="B" * 26, baseline_name="main",
        created_us=1_800_000_000_000_000 + number, evalkit="0.1.0", rules=rules, commit=f"{number:07x}{'0' * 33}",
        branch="topic", simulated=True,
    )  # fmt: skip
    return replace(made, **keys)  # type: ignore[arg-type]


def save(root: Path, *verdicts: Verdict) -> None:
    """Put verdicts into the store of a project."""
    for item in verdicts:
        Verdicts(root / ".evalkit").save(item.id, codec.encode(item))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Folder of a project."""
    return lay_down(tmp_path / "shop", count=3).path


@pytest.fixture
def server(shop: Path) -> Iterator[ViewServer]:
    """It serves until the test ends."""
    started = ViewServer(load_project(shop))
    thread = threading.Thread(target=serve, args=(started,))
    thread.start()
    yield started
    started.shutdown()
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def get(server: ViewServer) -> Get:
    """Ask for a path exactly as it is written."""

    def ask(path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, str]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
        connection.close()
        return response, text

    return ask
