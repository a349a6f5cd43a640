"""Which components differ between two configurations, and their text diffs."""

from __future__ import annotations

import difflib

import pytest

from evalkit.fingerprint import fingerprint
from evalkit.gate.changes import component_changes
from evalkit.records import Component, Configuration


def part(kind: str, name: str, content: str, path: str | None = None) -> Component:
    return Component(kind, name, fingerprint(f"component/{kind}", content), content, path)


def whole(*parts: Component) -> Configuration:
    return Configuration("support", fingerprint("all", [item.fingerprint for item in parts]), parts)


PROMPT = part("prompt", "answer", "Be brief.\nCite.\nRefuse to forge.\n", "prompts/answer.md")
MODEL = part("model", "default", "model: small\nparams: {}\n")


def test_equal_configurations_differ_in_nothing() -> None:
    assert component_changes(whole(PROMPT, MODEL), whole(MODEL, PROMPT)) == ()


def test_a_changed_component_has_both_fingerprints_and_its_diff() -> None:
    now = part("prompt", "answer", "Be brief.\nCite.\n", "prompts/answer.md")
    (change,) = component_changes(whole(PROMPT, MODEL), whole(now, MODEL))
    assert (change.kind, change.name, change.path) == ("prompt", "answer", "prompts/answer.md")
    assert (change.before, change.after) == (PROMPT.fingerprint, now.fingerprint)
    assert change.diff.splitlines() == ["@@ -1,3 +1,2 @@", " Be brief.", " Cite.", "-Refuse to forge."]


def test_added_and_removed_components_are_changes_too() -> None:
    tool = part("tool", "refund", "name: refund\n", "tools/refund.yaml")
    added, removed = component_changes(whole(PROMPT, MODEL), whole(PROMPT, tool))[::-1]
    assert (added.kind, added.before, added.after, added.diff.splitlines()[-1]) == (
        "tool", "", tool.fingerprint, "+name: refund",
    )  # fmt: skip
    assert (removed.kind, removed.before, removed.after) == ("model", MODEL.fingerprint, "")
    assert removed.diff.splitlines()[1:] == ["-model: small", "-params: {}"]


def test_a_component_that_changes_its_kind_is_one_gone_and_one_new() -> None:
    changes = component_changes(whole(part("prompt", "x", "text")), whole(part("tool", "x", "text")))
    assert [(change.kind, bool(change.before), bool(change.after)) for change in changes] == [
        ("prompt", True, False), ("tool", False, True),
    ]  # fmt: skip


def test_diffs_are_those_of_the_standard_library() -> None:
    before = "".join(f"line {number}\n" for number in range(60))
    now = before.replace("line 7\n", "line seven\n").replace("line 50\n", "")
    (change,) = component_changes(whole(part("prompt", "p", before)), whole(part("prompt", "p", now)))
    expected = list(difflib.unified_diff(before.splitlines(), now.splitlines(), n=2, lineterm=""))[2:]
    assert change.diff == "\n".join(expected)


def test_a_long_diff_is_cut_and_says_so() -> None:
    before, now = (part("prompt", "p", "".join(f"{word} {n}\n" for n in range(1000))) for word in ("old", "new"))
    (change,) = component_changes(whole(before), whole(now))
    lines = change.diff.splitlines()
    assert len(lines) == 401
    assert lines[-1] == "… 1601 more lines"


def test_a_huge_component_is_not_compared_line_by_line() -> None:
    before, now = (part("retrieval", "documents", f"{word}\n" * 5_000) for word in ("old", "new"))
    (change,) = component_changes(whole(before), whole(now))
    assert change.diff == "(too long to show: 5,000 lines before, 5,000 now)"


@pytest.mark.parametrize(("before", "now"), [("a\nb\n", "a\r\nb\r\n"), ("a\nb", "a\nb\n"), ("a\nb\n", "a\x0cb\n")])
def test_a_change_of_line_ends_is_seen(before: str, now: str) -> None:
    (change,) = component_changes(whole(part("prompt", "p", before)), whole(part("prompt", "p", now)))
    assert change.diff
