"""The report in a browser, opened as a file: nothing runs, nothing leaves, everybody can read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from evalkit.gate import Verdict

from .hostile import PAYLOADS, poisoned, rendered

pytestmark = pytest.mark.browser
KINDS = ["PASS", "BLOCKED", "INCONCLUSIVE", "NOT COMPARABLE", "ERROR"]

CONTRASTS = """() => {
  const channel = (value) => { const c = value / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => { const [r, g, b] = numbers(color).map(channel);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const solid = (color) => { const parts = numbers(color); return parts.length < 4 || parts[3] === 1; };
  const behind = (element) => { for (let e = element; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor; if (solid(color)) return color; }
    return matchMedia('(prefers-color-scheme: dark)').matches ? 'rgb(0,0,0)' : 'rgb(255,255,255)'; };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.getClientRects().length || element.closest('title')) continue;
    const style = getComputedStyle(element);
    const color = element.closest('svg') ? style.fill : style.color;
    const [a, b] = [luminance(color), luminance(behind(element))].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) found.push([walker.currentNode.data.trim().slice(0, 40), color, ratio]);
  }
  return found; }"""
STRUCTURE = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const ids = all('[id]').map((e) => e.id);
  return {
    lang: document.documentElement.lang, title: document.title, policy: !!document.querySelector('meta[http-equiv]'),
    landmarks: [all('header').length, all('main').length],
    headings: all('h1,h2,h3,h4').map((e) => Number(e.tagName[1])),
    unnamed: all('summary, a, section, [role=region]').filter((e) => !(e.textContent.trim() || e.ariaLabel)).length,
    tables: all('table').length,
    headed: all('table').filter((t) => [...t.querySelectorAll('thead th')].every((h) => h.scope === 'col')
      && [...t.querySelectorAll('tbody tr')].every((r) => r.querySelectorAll('th[scope=row]').length === 1)).length,
    details: all('details').filter((d) => d.firstElementChild.tagName !== 'SUMMARY').length,
    images: all('svg').filter((s) => s.getAttribute('role') !== 'img' || !s.getAttribute('aria-label')).length,
    repeated: ids.filter((id, place) => ids.indexOf(id) !== place),
    foreign: all('script, img, iframe, object, embed, link, form, input, base, video, audio, style + style').length,
  }; }"""


class Opened:
    """A page opened from a file, with what it asked for and what it said."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.file = file
        self.requests: list[str] = []
        self.stopped: list[str] = []
        self.said: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", lambda request: self.stopped.append(f"{request.url} {request.failure}"))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", lambda dialog: self.said.append(dialog.message))
        page.goto(file.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")

    def ask(self, script: str) -> Any:
        return self.page.evaluate(script)


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Any]:
    """Open a report of these verdicts, with every part unfolded."""
    pages: list[Page] = []

    def open_(*verdicts: Verdict, width: int = 1280, scheme: Any = "light") -> Opened:
        file = tmp_path / f"report-{len(pages)}.html"
        file.write_text(rendered("html", *verdicts), encoding="utf-8")
        pages.append(browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme))
        return Opened(pages[-1], file)

    yield open_
    for page in pages:
        page.close()


def everything(verdict: Verdict) -> Verdict:
    """The verdict with every hostile text in it, one after the other."""
    return poisoned(verdict, " ".join(PAYLOADS.values()))


@pytest.mark.parametrize("kind", ["BLOCKED", "ERROR"])
def test_hostile_text_runs_nothing_asks_for_nothing_and_adds_nothing(
    stored: Mapping[str, Verdict], opened: Any, kind: str
) -> None:
    page = opened(everything(stored[kind]))
    assert page.ask("window.PWNED") is None
    assert page.requests == [page.file.as_uri()]
    assert page.said == []
    assert page.ask(STRUCTURE)["foreign"] == 0
    assert page.ask("document.body.innerText.includes('<script>window.PWNED=1</script>')")


def test_the_policy_is_enforced_also_on_a_file(stored: Mapping[str, Verdict], opened: Any) -> None:
    page = opened(stored["BLOCKED"])
    page.ask("""() => {
      const script = document.createElement('script'); script.textContent = 'window.PWNED = 1';
      document.body.append(script);
      document.body.insertAdjacentHTML('beforeend', '<img src="http://127.0.0.1:9/x.png"><p style="color:red">x</p>');
      return fetch('http://127.0.0.1:9/').catch(() => null); }""")
    assert page.ask("window.PWNED") is None
    assert page.ask("getComputedStyle(document.body.lastElementChild).color") != "rgb(255, 0, 0)"
    assert [url for url in page.requests if not url.startswith("file:")] == ["http://127.0.0.1:9/x.png"]
    assert page.stopped == ["http://127.0.0.1:9/x.png csp"], "stopped before it left"
    assert sum("Content Security Policy" in text for text in page.said) >= 4


@pytest.mark.parametrize("kind", KINDS)
def test_structure_tells_a_screen_reader_what_is_what(stored: Mapping[str, Verdict], opened: Any, kind: str) -> None:
    found = opened(stored[kind]).ask(STRUCTURE)
    assert (found["lang"], found["title"], found["landmarks"]) == ("en", f"evalkit: {kind} · shop", [1, 1])
    headings = found["headings"]
    assert headings[:2] == [1, 2]
    assert all(later - earlier <= 1 for earlier, later in pairwise(headings))
    assert found["headed"] == found["tables"]
    assert found["unnamed"] == found["details"] == found["images"] == found["foreign"] == 0
    assert found["repeated"] == []


@pytest.mark.parametrize("width", [360, 1280])
def test_tables_keep_their_roles_at_any_width(stored: Mapping[str, Verdict], opened: Any, width: int) -> None:
    page = opened(stored["BLOCKED"], width=width).page
    for role in ("table", "columnheader", "rowheader", "cell"):
        assert page.get_by_role(role).count() > 0, role
    assert page.get_by_role("main").count() == page.get_by_role("banner").count() == 1


def test_the_keyboard_reaches_and_opens_every_case(stored: Mapping[str, Verdict], opened: Any) -> None:
    page = opened(stored["BLOCKED"]).page
    page.reload()
    closed = page.locator("details.case:not([open]) > summary").first
    name = closed.inner_text()
    for _ in range(100):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "[document.activeElement.innerText, getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert focused[1] != "none", "the focus can be seen"
        if focused[0] == name:
            break
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open") is True


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(stored: Mapping[str, Verdict], opened: Any, width: int) -> None:
    several = [replace(verdict, workflow=f"shop-{number}") for number, verdict in enumerate(stored.values())]
    for verdicts in (several, [everything(stored["BLOCKED"])], [poisoned(stored["INCONCLUSIVE"], PAYLOADS["wide"])]):
        assert opened(*verdicts, width=width).ask("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(stored: Mapping[str, Verdict], opened: Any, scheme: str) -> None:
    several = [replace(verdict, workflow=f"shop-{number}") for number, verdict in enumerate(stored.values())]
    page = opened(*several, scheme=scheme)
    assert page.ask(CONTRASTS) == []
    background = page.ask("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is (scheme == "light")


def test_on_paper_the_verdict_the_gate_and_the_open_cases_remain(stored: Mapping[str, Verdict], opened: Any) -> None:
    page = opened(stored["BLOCKED"]).page
    page.reload()
    page.emulate_media(media="print")
    assert page.get_by_role("heading", name="BLOCKED").is_visible()
    assert page.locator("table.gate").is_visible()
    assert page.locator("details.case[open]").count() == 2
    assert page.locator("details.sql").first.is_hidden()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_without_its_style_sheet_the_report_still_reads(stored: Mapping[str, Verdict], opened: Any) -> None:
    page = opened(stored["BLOCKED"])
    page.ask("document.querySelector('style').remove()")
    text = page.ask("document.body.innerText")
    assert text.index("BLOCKED") < text.index(stored["BLOCKED"].sentence) < text.index("critical cases")
    assert page.page.locator("svg").first.is_visible()
