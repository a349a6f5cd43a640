"""The pages over real HTTP: what they show, and what nobody gets from them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit.view import ViewServer
from evalkit.workflow import load_project
from tests.conftest import clean_environment
from tests.reports.hostile import PAYLOADS

from .conftest import Get, save, verdict


def test_the_first_page_has_the_newest_verdict_of_each_workflow(get: Get, shop: Path) -> None:
    save(shop, verdict(1), verdict(2), verdict(3, workflow="hr", verdict="PASS", sentence="Unchanged."))
    response, text = get("/")
    assert response.status == 200
    assert re.findall(r'<a href="(/workflows/\w+)">\w+</a></h2>', text) == ["/workflows/hr", "/workflows/shop"]
    assert "Sentence 2." in text
    assert "Sentence 1." not in text
    assert "simulated models" in text


def test_nothing_judged_yet_says_what_to_do(get: Get) -> None:
    assert "evalkit run" in get("/")[1]
    assert get("/workflows/shop")[0].status == 200


def test_the_history_has_a_picture_a_rule_with_a_point_and_an_interval_a_run(get: Get, shop: Path) -> None:
    save(shop, *(verdict(number) for number in range(1, 6)))
    text = get("/workflows/shop")[1]
    pictures = dict(re.findall(r"<h2>([^<]+)</h2>\s*(<svg.*?</svg>)", text))
    assert list(pictures) == ["refusal", "cost", "critical cases"]
    assert pictures["refusal"].count("<circle") == 5
    assert "0000001: 91.0% [85.0%, 96.0%] pass" in pictures["refusal"]
    assert "0000001: $0.0110 [$0.0105, $0.0120] pass" in pictures["cost"]
    assert pictures["critical cases"].count("✖") == 5
    xs = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', pictures["refusal"])]
    ys = [float(y) for y in re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)"', pictures["refusal"])]
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)  # the share rises with the runs, and up is less
    rows = re.findall(r"Sentence (\d)\.", text)
    assert rows == ["5", "4", "3", "2", "1"]


def test_a_part_of_the_cases_is_listed_and_is_no_point(get: Get, shop: Path) -> None:
    part = verdict(3, notes=("Only a part of the golden set was run: cases a.",))
    save(shop, verdict(1), verdict(2), part)
    text = get("/workflows/shop")[1]
    assert text.count("<circle") == 4  # of two runs and two rules with a value in range
    assert "some cases only" in text
    assert "Sentence 2." in get("/")[1]


def test_only_the_newest_verdict_on_a_run_counts(get: Get, shop: Path) -> None:
    save(shop, verdict(1), verdict(2, candidate_run=verdict(1).candidate_run))
    data = json.loads(get("/api/workflows/shop")[1])
    assert [item["sentence"] for item in data["verdicts"]] == ["Sentence 2."]


def test_the_data_are_those_of_the_pages(get: Get, shop: Path) -> None:
    save(shop, verdict(1), verdict(2))
    response, text = get("/api/workflows/shop")
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    data = json.loads(text)
    assert data["schema"] == "evalkit.view/1"
    assert [item["run_id"] for item in data["verdicts"]] == [verdict(2).candidate_run, verdict(1).candidate_run]
    point = data["verdicts"][0]["rules"][0]
    assert (point["id"], point["candidate"], point["low"], point["high"]) == ("refusal", 0.92, 0.85, 0.96)
    assert [item["sentence"] for item in json.loads(get("/api/verdicts")[1])["verdicts"]] == ["Sentence 2."]


def test_a_new_verdict_is_seen_without_a_restart(get: Get, shop: Path) -> None:
    save(shop, verdict(1))
    assert "Sentence 1." in get("/")[1]
    save(shop, verdict(2))
    assert "Sentence 2." in get("/")[1]


def test_a_report_is_served_as_the_file_it_is_in_an_origin_of_its_own(get: Get, shop: Path) -> None:
    save(shop, verdict(1))
    reports = load_project(shop).reports
    reports.mkdir(parents=True)
    name = f"{verdict(1).candidate_run}.html"
    (reports / name).write_text("<p>the report</p>", encoding="utf-8")
    os.utime(reports / name, ns=(verdict(1).created_us * 1_000,) * 2)
    (reports / "all of them.html").write_text("<p>another</p>", encoding="utf-8")
    page = get("/")[1]
    assert f'<a href="/reports/{name}">report</a>' in page
    assert '<a href="/reports/all%20of%20them.html">all of them.html</a>' in page
    response, text = get(f"/reports/{name}")
    assert text == "<p>the report</p>"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts allow-downloads; default-src 'none';")
    assert "allow-same-origin" not in policy
    assert get("/reports/all%20of%20them.html")[1] == "<p>another</p>"


def test_a_report_that_no_file_has_or_an_old_one_is_made_from_the_store(get: Get, shop: Path) -> None:
    name = f"{verdict(1).candidate_run}.html"
    save(shop, verdict(1))
    response, text = get(f"/reports/{name}")
    assert response.status == 200
    assert "Sentence 1." in text
    assert response.headers["Content-Security-Policy"].startswith("sandbox allow-scripts")
    reports = load_project(shop).reports
    reports.mkdir(parents=True)
    (reports / name).write_text("<p>of an earlier verdict on the run</p>", encoding="utf-8")
    os.utime(reports / name, ns=(verdict(1).created_us * 1_000 - 1_000,) * 2)
    save(shop, verdict(1, sentence="Judged again.", created_us=verdict(1).created_us + 1))
    assert "Judged again." in get(f"/reports/{name}")[1]
    assert (reports / name).read_text() == "<p>of an earlier verdict on the run</p>", "it only reads"


@pytest.mark.parametrize(
    "path",
    [
        "/reports/../../evalkit.yaml", "/reports/..%2f..%2fevalkit.yaml", "/reports/..%252fevalkit.yaml",
        "/reports//etc/passwd", "/reports/%2fetc%2fpasswd", "/reports/%00", "/reports/", "/reports/link.html",
        "/reports/folder.html", "/reports/secret.txt", "/workflows/none", "/workflows/../../etc/passwd", "/api",
        "/api/",
        "/api/workflows/none", "/api/workflows/shop/x", "/evalkit.yaml", "//evil.example/", "/%2e%2e/%2e%2e/etc/passwd",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_reports(get: Get, shop: Path, path: str) -> None:
    reports = load_project(shop).reports
    reports.mkdir(parents=True)
    (reports / "link.html").symlink_to(shop / "evalkit.yaml")
    (reports / "folder.html").mkdir()
    (reports / "secret.txt").write_text("golden_set", encoding="utf-8")
    response, text = get(path)
    assert response.status == 404
    assert "golden_set" not in text
    assert "root:" not in text
    assert response.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "localhost.:{port}"]
)
def test_another_host_name_gets_nothing(get: Get, server: ViewServer, shop: Path, host: str) -> None:
    save(shop, verdict(1))
    response, text = get("/", Host=host.format(port=server.server_port))
    assert response.status == 421
    assert "Sentence" not in text


def test_two_hosts_or_none_get_nothing(server: ViewServer) -> None:
    port = server.server_port
    for lines in (b"", f"Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n".encode()):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
            assert raw.recv(64).startswith(b"HTTP/1.0 421 ")


def test_localhost_is_this_machine_too(get: Get, server: ViewServer) -> None:
    assert get("/", Host=f"localhost:{server.server_port}")[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "<script>"])
def test_it_only_reads(get: Get, method: str) -> None:
    response, text = get("/", method)
    assert response.status == 501
    assert "<script>" not in text
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


def test_a_head_is_a_page_without_its_body(get: Get) -> None:
    response, text = get("/", "HEAD")
    assert response.status == 200
    assert int(response.headers["Content-Length"]) > 500
    assert text == ""


class _Tags(HTMLParser):
    """All tags, attributes and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


@pytest.mark.parametrize("name", PAYLOADS)
def test_no_text_is_more_than_text(get: Get, shop: Path, name: str) -> None:
    text = PAYLOADS[name].encode("utf-8", "replace").decode()
    rules = tuple(
        rule.__class__(**{**vars(rule), "id": f"{rule.id} {text}", "slice": text}) for rule in verdict(1).rules
    )
    hostile = verdict(1, workflow=text, sentence=text, branch=text, commit=text, became_baseline=text, rules=rules)
    save(shop, hostile, verdict(2, sentence=text, branch=text, commit=text, rules=rules))
    pages = [get("/")[1], get("/workflows/shop")[1]]
    own = re.search(r'<h2><a href="(/workflows/[^"]+)">', pages[0])
    assert own
    response, page = get(own.group(1))
    assert response.status == 200
    for shown in (*pages, page):
        found = _Tags()
        found.feed(shown)
        assert not found.tags & {"script", "img", "iframe", "textarea", "h3", "form", "base", "object"}
        assert not [key for key, _ in found.attributes if key.startswith("on") or key in ("src", "style", "action")]
        assert all(value.startswith("/") for key, value in found.attributes if key == "href")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", shown)


def test_every_page_forbids_what_it_does_not_need(get: Get, shop: Path) -> None:
    save(shop, verdict(1))
    for path in ("/", "/workflows/shop", "/api/verdicts", "/none"):
        headers = get(path)[0].headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Python" not in headers["Server"]


def test_a_broken_verdict_is_named_and_no_page_pretends(get: Get, shop: Path) -> None:
    save(shop, verdict(1))
    (shop / ".evalkit" / "verdicts" / "broken.json").write_text("{", encoding="utf-8")
    response, text = get("/")
    assert response.status == 500
    assert "broken.json" in text


def test_a_port_that_is_taken_is_told(server: ViewServer, shop: Path) -> None:
    with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{server.server_port}"):
        ViewServer(load_project(shop), server.server_port)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_stop(shop: Path, number: int) -> None:
    save(shop, verdict(1))
    command = [sys.executable, "-m", "evalkit", "view", "--port", "0"]
    environment = {**clean_environment(), "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, cwd=shop, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        with urllib.request.urlopen(url, timeout=20) as response:  # noqa: S310 - loopback, as printed
            assert "Sentence 1." in response.read().decode()
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (0, "stopped\n")
