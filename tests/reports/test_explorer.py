"""The explorer of all cases, in a browser: it finds, opens and tells apart; nothing in a text runs or leaves."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from evalkit.gate.details import CaseDetails, CaseIndex, CaseRecord, TrialRecord
from evalkit.gate.report import Report, ReportText, renderer
from evalkit.records import Message

from .conftest import Explored
from .hostile import PAYLOADS, poisoned

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
AXE = Path(os.environ.get("EVALKIT_AXE", ROOT / ".venv" / "axe-core" / "package" / "axe.min.js"))
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
IN_SIGHT = """() => { const box = document.getElementById('x-list').getBoundingClientRect();
  return [...document.querySelectorAll('#x-list [role=option]')].filter((row) => {
    const place = row.getBoundingClientRect();
    return place.bottom > box.top && place.top < box.bottom && row.innerText.trim(); }).length; }"""
EVERYTHING = " ".join(PAYLOADS.values())


@dataclass(frozen=True)
class Hostile:
    """Details whose every text is hostile."""

    real: CaseDetails
    text: str

    @property
    def index(self) -> CaseIndex:
        index = self.real.index
        keys = [replace(key, key=f"{key.key} {self.text}", values=[self.text] * len(key.values)) for key in index.keys]
        return replace(
            index, ids=[self._id(name) for name in index.ids], questions=[self.text] * len(index.ids), keys=keys
        )

    def _id(self, name: str) -> str:
        return f"{name} {self.text}"

    def records(self, case_ids: Sequence[str]) -> Iterator[CaseRecord]:
        names = {self._id(name): name for name in self.real.index.ids}
        for record in self.real.records([names[name] for name in case_ids]):
            case = record.case and replace(record.case, input=(Message("user", self.text),))
            sides = [
                [self._trial(trial, word) for trial in side]
                for word, side in (("old", record.before), ("new", record.now))
            ]
            yield CaseRecord(self._id(record.case_id), case, *sides)

    def _trial(self, trial: TrialRecord, word: str) -> TrialRecord:
        trace = trial.trace
        documents = tuple(
            replace(item, id=self.text, title=self.text, text=f"{word} {self.text}") for item in trace.documents
        )
        messages = tuple(replace(turn, content=f"{word} {self.text}") for turn in trace.messages)
        calls = tuple(replace(call, model=self.text, error=self.text) for call in trace.model_calls)
        scores = [replace(score, label=self.text, evidence={self.text: [self.text]}) for score in trial.scores]
        changed = replace(
            trace, answer=f"{word} {self.text}", documents=documents, messages=messages, model_calls=calls
        )
        return TrialRecord(changed, scores)


class Opened:
    """A report in a page of its own, with what it asked for and said."""

    def __init__(self, page: Page, file: Path, fragment: str = "") -> None:
        self.page = page
        self.said: list[str] = []
        self.requests: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", lambda dialog: self.said.append(dialog.message))
        page.goto(file.as_uri() + fragment)
        page.wait_for_selector("#explorer[data-ready]")

    def case(self) -> str:
        return self.page.locator("#x-pane h3 code").inner_text()

    def press(self, key: str) -> str:
        """The case after a key."""
        before = self.page.locator("#x-pane h3").all_inner_texts()
        self.page.keyboard.press(key)
        for _ in range(100):
            if self.page.locator("#x-pane h3").all_inner_texts() != before:
                break
            self.page.wait_for_timeout(20)
        return self.case()


def rendered(explored: Explored, text: ReportText = "changed", details: CaseDetails | None = None) -> str:
    verdict = explored.verdict
    return renderer("html")(Report((verdict,), details={verdict.id: details or explored.details}, text=text))


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Any]:
    """Open a report in a page of a size and a scheme."""
    pages: list[Page] = []

    def open_(html: str | Path, fragment: str = "", width: int = 1280, scheme: Any = "light") -> Opened:
        file = html if isinstance(html, Path) else tmp_path / f"{len(pages)}.html"
        if not isinstance(html, Path):
            file.write_text(html, encoding="utf-8")
        pages.append(browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme))
        return Opened(pages[-1], file, fragment)

    yield open_
    for page in pages:
        page.close()


def test_the_list_can_be_seen_and_nothing_was_asked_for_or_said(explored: Explored, opened: Any) -> None:
    page = opened(explored.file)
    page.page.locator("#x-list").scroll_into_view_if_needed()
    assert page.page.evaluate(IN_SIGHT) >= 10
    assert page.requests == [explored.file.as_uri()]
    assert page.said == []
    assert page.page.locator("#x-count").inner_text() == "24 of 24 cases"
    assert page.page.locator("#x-status").inner_text().split() == ["▼", "regressed", "4", "=", "unchanged", "20"]


def test_keys_move_open_search_and_take_filters_away(explored: Explored, opened: Any) -> None:
    page = opened(explored.file)
    regressed = [case.case_id for case in explored.verdict.cases if case.status == "regressed"]
    assert page.press("j") == regressed[0]
    assert page.press("j") == regressed[1]
    assert page.press("k") == regressed[0]
    page.page.locator("#x-list").focus()
    last = page.press("End")
    assert last not in regressed
    assert page.press("Home") == regressed[0]
    page.page.keyboard.press("/")
    page.page.keyboard.type("griddle")
    assert page.page.locator("#x-count").inner_text() == "1 of 24 cases"
    page.page.wait_for_url(lambda url: "q=griddle" in url)
    page.page.keyboard.press("Escape")
    assert page.page.locator("#x-count").inner_text() == "24 of 24 cases"
    page.page.keyboard.press("?")
    assert page.page.locator("#x-help").is_visible()


def test_a_link_leads_to_a_case_and_filters(explored: Explored, opened: Any) -> None:
    wanted = explored.verdict.cases[1].case_id
    page = opened(explored.file, f"#case={wanted}&status=regressed&slice=intent%3Dpersonal_data")
    page.page.wait_for_selector("#x-pane .fold")
    assert page.case() == wanted
    assert page.page.locator("#x-count").inner_text() == "4 of 24 cases"
    assert page.page.locator("#x-list [aria-selected=true] code").inner_text() == wanted
    page.page.get_by_role("button", name="regressed").click()
    assert page.page.locator("#x-slice").input_value() == "intent=personal_data"
    other = opened(explored.file, "#case=nothing-of-the-kind")
    assert "not among the cases" in other.page.locator("#x-live").inner_text()


def test_a_case_shows_answers_prompt_documents_trace_and_every_trial(explored: Explored, opened: Any) -> None:
    page = opened(explored.file)
    page.press("j")
    pane = page.page.locator("#x-pane")
    page.page.wait_for_selector("#x-pane .fold")
    assert pane.locator("ins").count() > 0
    assert pane.locator("del").count() > 0
    prompt = pane.locator("details", has_text="Prompt as the model saw it")
    prompt.locator("summary").click()
    assert "- - disclose the address of another customer.\n" in prompt.locator("del").all_text_contents()
    documents = pane.locator("details.fold", has=page.page.get_by_text("Documents (1)", exact=True))
    assert "order-list" in (documents.text_content() or "")
    assert "sim-flawless-1" in pane.get_by_role("region", name="Model calls now").inner_text()
    strip = pane.get_by_role("group", name="Now: trials")
    assert strip.get_by_role("button").all_inner_texts() == ["✖ 1", "✖ 2"]
    strip.get_by_role("button").nth(1).click()
    assert strip.get_by_role("button").nth(1).get_attribute("aria-pressed") == "true"
    assert pane.get_by_role("img").get_attribute("aria-label") == "2 of 2 earlier runs pass"
    page.page.keyboard.press("d")
    assert pane.locator("blockquote", has=page.page.locator("del")).count() == 1, "inline: one text with both"


def test_what_is_not_in_the_file_is_told_and_all_texts_can_be(explored: Explored, opened: Any) -> None:
    quiet = next(name for name in explored.details.index.ids if name.startswith("answer-"))
    without = opened(explored.file, f"#case={quiet}")
    without.page.wait_for_selector("#x-pane h3")
    said = without.page.locator("#x-pane").inner_text()
    assert f"evalkit show {explored.verdict.candidate_run} {quiet}" in said
    assert "texts of unchanged cases" in without.page.locator("#x-left").inner_text()
    whole = opened(rendered(explored, "all"), f"#case={quiet}")
    whole.page.wait_for_selector("#x-pane .fold")
    assert (
        "How many days" in whole.page.locator("#x-pane").inner_text()
        or "From which" in whole.page.locator("#x-pane").inner_text()
    )
    assert whole.page.locator("#x-left").inner_text() == ""


def test_hostile_texts_are_shown_and_do_nothing(explored: Explored, opened: Any) -> None:
    verdict = poisoned(explored.verdict, EVERYTHING)
    report = Report((verdict,), details={verdict.id: Hostile(explored.details, EVERYTHING)}, text="all")
    page = opened(renderer("html")(report))
    for _ in range(4):
        page.press("j")
        page.page.wait_for_selector("#x-pane .fold")
        page.page.evaluate("document.querySelectorAll('#x-pane details').forEach((d) => { d.open = true; })")
    assert page.page.evaluate("window.PWNED") is None
    assert len(page.requests) == 1
    assert page.said == []
    foreign = "#explorer :is(script, img, iframe, object, embed, link, form, style, base, textarea)"
    assert page.page.locator(foreign).count() == 0
    said = page.page.locator("#x-pane").inner_text()
    assert "<script>window.PWNED=1</script>" in said
    assert "U+202E" in said
    assert page.page.evaluate("!/[\\u202a-\\u202e\\u2066-\\u2069\\x00-\\x08\\x1b]/.test(document.body.innerText)")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 1280


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(explored: Explored, opened: Any, scheme: str) -> None:
    if not AXE.exists():
        pytest.fail("there is no axe-core here: run scripts/setup-browser.sh, or leave these out with -m 'not browser'")
    page = opened(explored.file, scheme=scheme)
    page.press("j")
    page.page.wait_for_selector("#x-pane .fold")
    page.page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.page.evaluate(
        "(rules) => axe.run(document, {runOnly: rules}).then((r) => r.violations.map((v) => [v.id, v.nodes[0].html]))",
        RULES,
    )
    assert found == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_pictures_of_it_are_kept_for_people(explored: Explored, opened: Any, width: int, scheme: str) -> None:
    page = opened(explored.file, width=width, scheme=scheme)
    page.press("j")
    page.page.wait_for_selector("#x-pane .fold")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    target = ROOT / "test-output" / "reports" / f"explorer-{width}-{scheme}.png"
    page.page.screenshot(path=target, full_page=True)
    assert target.stat().st_size > 10_000


def test_on_paper_there_is_no_list(explored: Explored, opened: Any) -> None:
    page = opened(explored.file).page
    page.emulate_media(media="print")
    assert page.locator("#explorer").is_hidden()
    assert page.locator("table.gate").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_behind_a_policy_that_allows_nothing_the_first_screen_still_reads(explored: Explored, browser: Browser) -> None:
    content = explored.file.read_bytes()

    class Jenkins(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", "sandbox; default-src 'none'; img-src 'self'; style-src 'self'")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Jenkins)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page()
    try:
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        text = page.locator("body").inner_text()
        assert text.index("BLOCKED") < text.index(explored.verdict.sentence) < text.index("critical cases")
        assert "evalkit show RUN CASE" in text
        assert page.locator("#explorer").is_hidden()
        assert page.locator("svg").first.is_visible()
    finally:
        page.close()
        server.shutdown()
        server.server_close()
