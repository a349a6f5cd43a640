"""An imitation of GitHub's API on loopback: comments of one pull request, who the token is, and faults on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["BOT", "TOKEN", "Fault", "GitHub", "github"]

TOKEN = "ghs_0123456789abcdef"  # noqa: S105 - nobody's
BOT = {"login": "github-actions[bot]", "type": "Bot"}
LONGEST = 65_536


@dataclass(frozen=True)
class Fault:
    """What is answered instead."""

    status: int
    message: str = "no"
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False
    """Whether what was asked for is done nevertheless, and only its answer lost."""


@dataclass
class GitHub:
    """The state of the pull request, and what was asked of the API."""

    url: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    viewer: str | None = "github-actions[bot]"
    """None: GraphQL refuses to say."""
    pulls: list[dict[str, Any]] = field(default_factory=list)
    fault: Callable[[str, str], Fault | None] = lambda _method, _path: None
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    longest: int = LONGEST

    @property
    def writes(self) -> list[str]:
        """Methods of the requests that change something."""
        return [method for method, path in self.requests if method != "GET" and not path.endswith("/graphql")]

    def say(self, body: str, user: dict[str, str] | None = None) -> dict[str, Any]:
        """Somebody's comment; without a user, the token's."""
        number = 1 + max((item["id"] for item in self.comments), default=0)
        made = {"id": number, "body": body, "user": user or BOT, "html_url": f"https://github.com/c/{number}"}
        self.comments.append(made)
        return made

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        """What the real one answers to the few things that are asked of it."""
        parts = path.strip("/").split("/")
        if path.endswith("/graphql"):
            return (200, {"data": {"viewer": {"login": self.viewer}}}) if self.viewer else (403, {"message": "no"})
        if parts[-1] == "pulls" or parts[-2:-1] == ["commits"]:
            return 200, self.pulls
        if method == "GET":
            size, page = int(query["per_page"][0]), int(query["page"][0])
            return 200, self.comments[size * (page - 1) : size * page]
        if method == "DELETE":
            self.comments = [item for item in self.comments if item["id"] != int(parts[-1])]
            return 204, None
        if len(body["body"]) > self.longest:
            return 422, {"message": f"Body is too long (maximum is {self.longest} characters)"}
        if method == "POST":
            return 201, self.say(body["body"])
        found = next(item for item in self.comments if item["id"] == int(parts[-1]))
        found["body"] = body["body"]
        return 200, found


@contextmanager
def github(hub: GitHub) -> Iterator[GitHub]:
    """Serve it on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            split = urlsplit(self.path)
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            hub.requests.append((self.command, split.path))
            hub.tokens.add(self.headers.get("authorization"))
            fault = hub.fault(self.command, split.path)
            if fault is None or fault.after:
                status, data = hub.answer(self.command, split.path, parse_qs(split.query), body)
            if fault is not None:
                status, data = fault.status, {"message": fault.message}
            content = b"" if data is None else json.dumps(data).encode()
            self.send_response(status)
            for name, value in (fault.headers if fault else {}).items():
                self.send_header(name, value)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
