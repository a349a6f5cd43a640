"""The comment on a pull request: verdict first, what to do last, and no text in it is more than text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from markdown_it import MarkdownIt

from evalkit.gate import Verdict

from .hostile import PAYLOADS, poisoned, rendered

GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
COMMENT_LIMIT = 65_536
KINDS = ["PASS", "BLOCKED", "INCONCLUSIVE", "NOT COMPARABLE", "ERROR"]
RUN = "https://github.com/o/r/actions/runs/1"


class Page(HTMLParser):
    """What a comment becomes: its elements with attributes, and the text outside of code."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.texts: list[str] = []
        self.code = 0
        self.feed(GITHUB.render(markdown))
        self.text = "".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.code += tag in ("code", "pre")

    def handle_endtag(self, tag: str) -> None:
        self.code -= tag in ("code", "pre")

    def handle_data(self, data: str) -> None:
        if not self.code:
            self.texts.append(data)

    def count(self, *tags: str) -> int:
        return sum(tag in tags for tag, _ in self.elements)


@pytest.mark.parametrize("kind", KINDS)
def test_the_verdict_stands_first_and_the_next_step_last(stored: Mapping[str, Verdict], kind: str) -> None:
    text = rendered("markdown", stored[kind])
    lines = text.splitlines()
    assert lines[0] == "<!-- evalkit:sticky workflow=shop -->"
    assert re.fullmatch(rf"### . evalkit: {kind} · shop", lines[1])
    steps = re.search(r"^\*\*(What to do|Do one of)\*\*$", text, re.MULTILINE)
    assert (steps is not None) is (kind != "PASS")
    if steps is not None:
        assert text.index("| gate |") < steps.start()


@pytest.mark.parametrize("kind", ["BLOCKED", "ERROR", "INCONCLUSIVE"])
@pytest.mark.parametrize("name", [name for name in PAYLOADS if name != "wide"])
def test_no_text_becomes_markup_a_mention_a_reference_or_a_link(
    stored: Mapping[str, Verdict], kind: str, name: str
) -> None:
    clean = Page(rendered("markdown", poisoned(stored[kind], "plain"), run_url=RUN))
    page = Page(rendered("markdown", poisoned(stored[kind], PAYLOADS[name]), run_url=RUN))
    # a longer diff is folded, which is one fold more; everything else is as it was
    shapes = [[tag for tag, _ in one.elements if tag not in ("details", "summary")] for one in (page, clean)]
    assert shapes[0] == shapes[1]
    assert page.count("details") == page.count("summary")
    assert page.count("details") - clean.count("details") in (0, 1)
    assert [values["href"] for tag, values in page.elements if tag == "a"] == [RUN]
    assert page.count("img", "script", "iframe", "svg", "h1") == 0
    assert not re.search(r"(?<!\w)@\w|#\d|\bGH-\d|://|www\.\w", page.text, re.IGNORECASE)


@pytest.mark.parametrize("name", PAYLOADS)
def test_every_row_of_a_table_keeps_its_columns(stored: Mapping[str, Verdict], name: str) -> None:
    text = rendered("markdown", poisoned(stored["BLOCKED"], PAYLOADS[name]))
    rows = [line for line in text.partition("**What changed**")[0].splitlines() if line.startswith("| ")]
    assert len(rows) == len(stored["BLOCKED"].rules) + 1
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


@pytest.mark.parametrize("name", ["terminal", "commands", "direction", "invisible", "lines", "surrogate"])
def test_nothing_invisible_and_no_log_command_is_left(stored: Mapping[str, Verdict], name: str) -> None:
    text = rendered("markdown", poisoned(stored["BLOCKED"], PAYLOADS[name]))
    text.encode()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert "##[" not in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]


def test_ids_in_a_command_stay_one_word_of_the_shell(stored: Mapping[str, Verdict]) -> None:
    text = rendered("markdown", poisoned(stored["BLOCKED"], "; rm -rf x"))
    line = next(line for line in text.splitlines() if "--cases" in line)
    assert re.search(r"--cases '[^']*; rm -rf x[^']*' --trials", line)


def with_cases(verdict: Verdict, count: int, length: int) -> Verdict:
    """The verdict with so many regressions, each with answers of this length."""
    cases = tuple(
        replace(verdict.cases[0], case_id=f"case-{number:04d}", candidate_answer="`" * length, question="w " * length)
        for number in range(count)
    )
    rules = tuple(replace(rule, cases=tuple(case.case_id for case in cases)) for rule in verdict.rules)
    return replace(verdict, cases=cases, rules=rules)


@pytest.mark.parametrize(("count", "length"), [(5_000, 20), (5_000, 5_000), (3, 100_000)])
def test_however_many_and_long_the_cases_it_fits_and_keeps_what_matters(
    stored: Mapping[str, Verdict], count: int, length: int
) -> None:
    text = rendered("markdown", with_cases(stored["BLOCKED"], count, length))
    assert len(text) < COMMENT_LIMIT
    assert "evalkit: BLOCKED" in text
    assert "| **critical cases** | 0 | 4 | +4 | ✖ blocks: at most 0 |" in text
    assert f"Cases behind the block ({count})" in text
    assert "**What changed**" in text
    assert "-- disclose the address of another customer." in text
    assert "**Do one of**" in text


def test_very_many_workflows_and_rules_are_cut_at_a_line_and_it_says_so(stored: Mapping[str, Verdict]) -> None:
    verdict = poisoned(stored["BLOCKED"], "some words")
    many = replace(verdict, rules=verdict.rules * 4)
    text = rendered("markdown", *[many] * 40)
    assert len(text) < COMMENT_LIMIT
    assert text.endswith("(truncated: the full text is in the report)\n")
    page = Page(text)
    assert page.count("details") == page.count("summary")
    assert "```" not in text


def test_a_comparison_has_no_verdict(stored: Mapping[str, Verdict]) -> None:
    text = rendered("markdown", stored["PASS"], judged=False)
    assert "### evalkit: comparison · shop" in text
    assert "PASS" not in text


def test_nothing_judged_is_an_error() -> None:
    assert "evalkit: ERROR" in rendered("markdown")
    assert "No workflow was judged." in rendered("markdown")
