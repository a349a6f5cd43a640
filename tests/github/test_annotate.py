"""Annotations are commands of ours, and no text of a verdict can be one."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from evalkit.gate import RuleResult
from evalkit.gate.report import Report
from evalkit.github import annotate, escape_data, escape_property, shielded
from evalkit.text import log_safe
from tests.reports.comment_shapes import SHAPES

PIECES = (
    "::", "##[", "\r", "\n", "\x1b[2J", "%0A", "%25", "error", "set-output name=a", "stop-commands", ",", ":", "=",
    "\u2028", "\x85", "\x0b", "\x0c", "\u202e", "\ud800", "]", " ", "\t", "add-mask", "a", "é", "👩\u200d👧",
)  # fmt: skip
HOSTILE = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))


def runner_lines(output: str) -> list[str]:
    """Lines as the runner reads them: .NET ends one at CR, LF or both."""
    return re.split(r"\r\n|\r|\n", output)


def commands(output: str) -> list[str]:
    """Commands that the runner would obey: `::name…::` at the start of a line, `##[name…]` anywhere in one."""
    stopped, found = "", []
    for line in runner_lines(output):
        text = line.lstrip()
        if stopped:
            if text.startswith(f"::{stopped}::"):
                stopped = ""
            continue
        v2 = re.match(r"::(\S+?)( [^:]*(?:%3A[^:]*)*)?::(.*)", text)
        if v2:
            found.append(v2.group(1))
            stopped = v2.group(3) if v2.group(1) == "stop-commands" else ""
        elif "##[" in line:
            found.append("##[")
    return found


def poisoned(text: str, rules: int = 3) -> Report:
    report = SHAPES["blocked-critical"]()
    verdict = report.verdicts[0]
    bad = tuple(replace(verdict.rules[0], id=f"{n}{text}", sentence=f"{text}{n}") for n in range(rules))
    changed = tuple(replace(change, path=text or "x", name=text, diff=f"+{text}") for change in verdict.changes)
    return replace(report, verdicts=(replace(verdict, workflow=text, rules=bad, changes=changed, sentence=text),))


@given(HOSTILE)
def test_each_line_is_one_command_of_ours_whatever_the_text(text: str) -> None:
    for line in annotate(poisoned(text)):
        assert commands(line) == ["error"]
        assert len(runner_lines(line)) == 1
        assert "##[" not in line
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]", line)
        properties = re.match(r"::error(?: file=([^:,=]+(?:=[^:,]*)?),line=(\d+))?::", line)
        assert properties or line.startswith("::error file="), line
        line.encode()


@given(HOSTILE)
def test_an_escaped_property_ends_neither_itself_nor_the_command(text: str) -> None:
    shown = escape_property(text)
    assert not set(shown) & set(":,\r\n")
    assert runner_lines(escape_data(text)) == [escape_data(text)]


@given(st.lists(HOSTILE, max_size=8).map("\n".join))
def test_between_the_two_commands_nothing_is_obeyed(text: str) -> None:
    shown = shielded(text)
    assert commands(f"{shown}::error::seen\n") == ["stop-commands", "error"]
    assert commands(log_safe(text)) == [], "and it is no command without them either"


def test_the_word_that_ends_the_shield_is_another_each_time() -> None:
    assert shielded("x") != shielded("x")


def test_nine_are_shown_and_the_tenth_says_how_many_more() -> None:
    lines = annotate(poisoned("x", rules=9))
    assert len(lines) == 9
    lines = annotate(poisoned("x", rules=25))
    assert len(lines) == 10
    assert lines[-1] == "::error::16 more of the gate's rules decide: see the job summary"


def test_errors_come_before_warnings() -> None:
    report = SHAPES["blocked-critical"]()
    verdict = report.verdicts[0]
    open_rules = tuple(RuleResult(f"r{n}", "inconclusive", f"open {n}") for n in range(12))
    lines = annotate(replace(report, verdicts=(replace(verdict, rules=(*open_rules, verdict.rules[0])),)))
    assert [line.partition(" ")[0] for line in lines[:2]] == ["::error", "::warning"]


def test_they_stand_on_the_first_changed_line_of_the_prompt() -> None:
    line = annotate(SHAPES["blocked-critical"]())[0]
    told = "support: 5 critical cases failed; 0 allowed. (changed too: evals/routes.yaml)"
    assert line == f"::error file=evals/prompts/system.md,line=13::{told}"


def test_a_pass_has_none() -> None:
    for name in ("pass", "pass-unchanged", "pass-with-notes"):
        assert annotate(SHAPES[name]()) == []
