"""The HTTP server of ``evalkit view``: this machine only, reading only."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from evalkit.errors import EvalkitError, UsageError
from evalkit.text import visible
from evalkit.view.history import History, Judgement
from evalkit.view.pages import index_page, style_digest, workflow_page
from evalkit.workflow import Project

__all__ = ["ViewServer", "serve"]

_LOOPBACK = "127.0.0.1"
_PLAIN = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# A report brings a policy of its own that allows its scripts by their hash. Here it gets an origin of its own too,
# from which it cannot read the pages beside it, and no network.
_REPORT = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_MOST_REPORT = 256 * 1024 * 1024
"""Bytes of a report that is served."""
_MOST_RENDERED = 4
"""Reports that are kept when no file has them."""


class RefusedError(Exception):
    """A request gets no page."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class ViewServer(ThreadingHTTPServer):
    """Serves the verdicts of a project on loopback.

    Args:
        project: The project.
        port: 0 takes a free one.

    Raises:
        UsageError: when the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, project: Project, port: int = 0) -> None:
        try:
            super().__init__((_LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"cannot listen on {_LOOPBACK}:{port}: {error}", fix="another --port; 0 takes a free one"
            ) from None
        self.project = project
        self._history = History(project.store)
        self._lock = threading.Lock()
        self._rendering = threading.Lock()
        self._rendered: dict[tuple[str, int], bytes] = {}

    @property
    def url(self) -> str:
        """Where the first page is."""
        return f"http://{_LOOPBACK}:{self.server_port}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names under which it answers: a page elsewhere that has its own name lead here gets nothing."""
        names = [_LOOPBACK, "localhost"]
        bare = names if self.server_port == 80 else []
        return (*bare, *(f"{name}:{self.server_port}" for name in names))

    def newest(self) -> list[Judgement]:
        """The stored verdicts, newest first."""
        with self._lock:
            return self._history.newest()

    def reports(self) -> dict[str, Path]:
        """Reports by file name: plain files of the reports folder, no links."""
        try:
            with os.scandir(self.project.reports) as found:
                entries = [entry for entry in found if entry.name.endswith(".html")]
                return {entry.name: Path(entry) for entry in entries if entry.is_file(follow_symlinks=False)}
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def rendered(self, item: Judgement) -> bytes:
        """The report of a judged run, made from the store; the last few are kept.

        Raises:
            EvalkitError: when the verdict cannot be read.
        """
        from evalkit.gate.compare import load_verdict
        from evalkit.session import html_report

        key = item.id, item.created_us
        with self._rendering:
            if key not in self._rendered:
                verdict = load_verdict(self.project, item.run_id)
                if verdict is None:
                    raise RefusedError(HTTPStatus.NOT_FOUND, "no such report")
                self._rendered[key] = html_report(self.project, [verdict]).encode()
                while len(self._rendered) > _MOST_RENDERED:
                    del self._rendered[next(iter(self._rendered))]
            return self._rendered[key]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever goes away before the end is no news."""


def serve(server: ViewServer) -> None:
    """Answer until :meth:`ViewServer.shutdown` or an interruption."""
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: ViewServer
    server_version, sys_version = "evalkit", ""
    timeout = 15
    """Seconds that a client may be silent."""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the standard library
        """Nothing: a path is a stranger's text."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """A refusal of the standard library, without the words of the request and with the policy of all pages."""
        self._send(HTTPStatus(code), "text/plain; charset=utf-8", f"{HTTPStatus(code).phrase}\n".encode(), _PLAIN)

    def _answer(self, *, body: bool) -> None:
        try:
            self._check_host()
            content, kind, policy = self._find(urlsplit(self.path).path)
            status = HTTPStatus.OK
        except RefusedError as refusal:
            content, kind, policy = f"{refusal.text}\n".encode(), "text/plain", _PLAIN
            status = refusal.status
        except (EvalkitError, OSError) as error:
            content, kind, policy = f"error: {visible(str(error))}\n".encode(), "text/plain", _PLAIN
            status = HTTPStatus.INTERNAL_SERVER_ERROR
        self._send(status, f"{kind}; charset=utf-8", content, policy, body=body)

    def _send(self, status: HTTPStatus, kind: str, content: bytes, policy: str, *, body: bool = True) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(content))),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if body:
            with suppress(OSError):
                self.wfile.write(content)

    def _check_host(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].strip().lower() not in self.server.hosts:
            raise RefusedError(
                HTTPStatus.MISDIRECTED_REQUEST, f"this is {self.server.url} and answers to no other name"
            )

    def _find(self, path: str) -> tuple[bytes, str, str]:
        """Content, kind and policy of a page.

        Raises:
            RefusedError: where there is none.
        """
        parts = [unquote(part, errors="replace") for part in path.split("/")[1:]]
        routes: dict[tuple[str, int], Callable[..., tuple[bytes, str, str]]] = {
            ("", 1): self._index,
            ("workflows", 2): self._workflow,
            ("reports", 2): self._report,
        }
        if parts[0] == "api":
            return self._api(parts[1:])
        route = routes.get((parts[0], len(parts)))
        if route is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such page")
        return route(*parts[1:])

    def _index(self) -> tuple[bytes, str, str]:
        newest = self.server.newest()
        runs, others = self._report_addresses(newest)
        return _page(index_page(self.server.project.root.name, _latest(newest), runs, others))

    def _workflow(self, name: str) -> tuple[bytes, str, str]:
        newest = self.server.newest()
        return _page(workflow_page(name, self._of(name, newest), self._report_addresses(newest)[0]))

    def _of(self, name: str, newest: list[Judgement]) -> list[Judgement]:
        items = [item for item in newest if item.workflow == name]
        if not items and name not in self.server.project.spec.workflows:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such workflow")
        return items

    def _report_addresses(self, newest: list[Judgement]) -> tuple[dict[str, str], list[tuple[str, str]]]:
        """Addresses of the reports of judged runs, by run, and names and addresses of the other files."""
        runs = {item.run_id: _address(f"{item.run_id}.html") for item in newest}
        others = [name for name in sorted(self.server.reports()) if name.removesuffix(".html") not in runs]
        return runs, [(name, _address(name)) for name in others]

    def _report(self, name: str) -> tuple[bytes, str, str]:
        """The file, where there is one that was written after the verdict; else what the store tells now."""
        path = self.server.reports().get(name)
        item = next((item for item in self.server.newest() if f"{item.run_id}.html" == name), None)
        if item is not None and (path is None or path.stat().st_mtime_ns // 1000 < item.created_us):
            return self.server.rendered(item), "text/html", _REPORT
        if path is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such report")
        # the name may have become a link since it was listed
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as handle:
            if os.fstat(descriptor).st_size > _MOST_REPORT:
                raise RefusedError(HTTPStatus.NOT_FOUND, "the report is too large to be served: open the file")
            return handle.read(), "text/html", _REPORT

    def _api(self, parts: list[str]) -> tuple[bytes, str, str]:
        if parts == ["verdicts"]:
            items = _latest(self.server.newest())
        elif len(parts) == 2 and parts[0] == "workflows":
            items = self._of(parts[1], self.server.newest())
        else:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there are /api/verdicts and /api/workflows/NAME")
        data = {"schema": "evalkit.view/1", "verdicts": [asdict(item) for item in items]}
        return json.dumps(data, indent=1).encode(), "application/json", _PLAIN


def _address(name: str) -> str:
    return f"/reports/{quote(name, safe='')}"


def _page(text: str) -> tuple[bytes, str, str]:
    return text.encode("utf-8", "replace"), "text/html", f"{_PLAIN}; style-src '{style_digest()}'"


def _latest(items: list[Judgement]) -> list[Judgement]:
    """The newest of each workflow, by name; of a part of the cases only where nothing else was judged."""
    found: dict[str, Judgement] = {}
    for item in sorted(items, key=lambda item: item.part):
        found.setdefault(item.workflow, item)
    return [found[name] for name in sorted(found)]
