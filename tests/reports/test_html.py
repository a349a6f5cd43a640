"""The report as a file: legible without styles, closed to the outside, of bounded size, the same bytes every time."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from evalkit.gate import Verdict

from .hostile import PAYLOADS, poisoned, rendered

KINDS = ["PASS", "BLOCKED", "INCONCLUSIVE", "NOT COMPARABLE", "ERROR"]
VOID = {"meta"}


class Page(HTMLParser):
    """Elements with attributes, whether they close in order, and the text outside of the style sheet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.style = ""
        self.feed(html)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.texts.append(data)


@pytest.mark.parametrize("kind", KINDS)
def test_without_styles_the_verdict_and_the_gate_are_there_in_words(stored: Mapping[str, Verdict], kind: str) -> None:
    verdict = stored[kind]
    page = Page(rendered("html", verdict))
    assert page.open == []
    assert page.text.index(kind) < page.text.index(verdict.sentence)
    assert kind == "PASS" or all(rule.id in page.text and rule.sentence in page.text for rule in verdict.rules)
    assert verdict.candidate_run in page.text
    assert "simulated models" in page.text


@pytest.mark.parametrize("kind", ["BLOCKED", "ERROR"])
@pytest.mark.parametrize("name", PAYLOADS)
def test_no_text_becomes_an_element_or_an_attribute(stored: Mapping[str, Verdict], kind: str, name: str) -> None:
    clean = Page(rendered("html", poisoned(stored[kind], "plain")))
    html = rendered("html", poisoned(stored[kind], PAYLOADS[name]))
    html.encode()
    page = Page(html)
    added = Counter(tag for tag, _ in page.elements) - Counter(tag for tag, _ in clean.elements)
    assert set(added) <= {"del", "ins"}, "a diff may mark more lines, and nothing else may appear"
    known = {attribute for _, attributes in clean.elements for attribute in attributes}
    assert {attribute for _, attributes in page.elements for attribute in attributes} <= known
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", html)


def test_the_policy_allows_its_own_style_sheet_and_nothing_else(stored: Mapping[str, Verdict]) -> None:
    page = Page(rendered("html", stored["BLOCKED"]))
    policy = next(
        values["content"] for _, values in page.elements if values.get("http-equiv") == "Content-Security-Policy"
    )
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert policy is not None
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["style-src"] == f"'sha256-{digest}'"
    assert not rules.keys() & {"script-src", "connect-src", "frame-src", "object-src"}
    assert not [values for _, values in page.elements if "style" in values or "src" in values]
    assert all((values.get("href") or "#").startswith("#") for _, values in page.elements)


def test_ids_are_unique_across_workflows_and_links_lead_to_them(stored: Mapping[str, Verdict]) -> None:
    page = Page(rendered("html", stored["BLOCKED"], replace(stored["BLOCKED"], workflow="other"), stored["PASS"]))
    ids = Counter(values["id"] for _, values in page.elements if "id" in values)
    workflows = {identity for identity in ids if identity and identity.startswith("workflow-")}
    assert workflows == {"workflow-shop", "workflow-other"}
    assert {key: count for key, count in ids.items() if count > 1} == {"workflow-shop": 2}, "the same workflow twice"
    links = [values["href"] for tag, values in page.elements if tag == "a"]
    assert {link.removeprefix("#") for link in links if link} == workflows


def with_cases(verdict: Verdict, count: int, answer: str) -> Verdict:
    """The verdict with so many regressions behind its block."""
    cases = tuple(
        replace(verdict.cases[0], case_id=f"case-{number:04d}", candidate_answer=f"{number} {answer}", question=answer)
        for number in range(count)
    )
    rules = tuple(replace(rule, cases=tuple(case.case_id for case in cases)) for rule in verdict.rules)
    return replace(verdict, cases=cases, rules=rules)


@pytest.mark.parametrize("answer", ["a short answer", "many words in a long answer " * 4_000])
def test_five_thousand_regressions_stay_a_file_that_opens_and_their_number_is_told(
    stored: Mapping[str, Verdict], answer: str
) -> None:
    html = rendered("html", with_cases(stored["BLOCKED"], 5_000, answer))
    assert len(html) < 12_000_000
    page = Page(html)
    shown = sum(values.get("class") == "case" for _, values in page.elements)
    assert "Cases behind the block (5,000)" in page.text
    assert f"{5_000 - shown:,} more are not in this file" in page.text


def test_the_same_report_gives_the_same_bytes(stored: Mapping[str, Verdict]) -> None:
    assert rendered("html", *stored.values()) == rendered("html", *stored.values())


def test_an_interval_with_an_open_end_is_left_out_of_the_chart(stored: Mapping[str, Verdict]) -> None:
    rules = tuple(replace(rule, low=float("-inf")) for rule in stored["BLOCKED"].rules)
    assert "<svg" in rendered("html", stored["BLOCKED"])
    assert "<svg" not in rendered("html", replace(stored["BLOCKED"], rules=rules))


def test_nothing_judged_is_an_error_and_says_so() -> None:
    page = Page(rendered("html"))
    assert "ERROR" in page.text
    assert "No workflow was judged." in page.text


@pytest.mark.parametrize("kind", ["PASS", "BLOCKED"])
def test_a_comparison_is_no_verdict(stored: Mapping[str, Verdict], kind: str) -> None:
    html = rendered("html", stored[kind], judged=False)
    page = Page(html)
    assert page.open == []
    assert "Comparison" in page.text
    for word in ("PASS", "BLOCKED", "What to do", "Dashed: the margin", "no worse than"):
        assert word not in page.text.partition("Integrity")[0], word
    assert "✔" not in page.text
    assert 'class="v-' not in html
