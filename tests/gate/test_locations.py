"""Where a change stands in its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.gate.changes import component_changes
from evalkit.gate.locations import locations
from evalkit.gate.verdict import ComponentChange
from evalkit.records import Component, Configuration


def changed(kind: str, before: str, after: str, path: str | None = "a.md") -> tuple[ComponentChange, ...]:
    """The change as the gate records it."""
    sides = (Configuration("w", "f", (Component(kind, "x", str(text), text, path),)) for text in (before, after))
    return component_changes(*sides)


@given(
    st.lists(st.integers(0, 99).map("line {}".format), min_size=1, max_size=30, unique=True),
    st.integers(0, 29),
    st.sampled_from(["replace", "insert"]),
)
def test_a_prompt_without_its_file_is_found_by_the_diff(lines: list[str], at: int, how: str) -> None:
    at %= len(lines)
    after = [*lines[:at], "NEW", *lines[at + (how == "replace") :]]
    place = locations(changed("prompt", "\n".join(lines), "\n".join(after)))[0]
    assert after[place.line - 1] == "NEW"


def test_a_route_is_looked_up_in_its_file_which_is_written_otherwise(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text("# ours\nroutes:\n  big:\n    escalate_below: 0.45\n", encoding="utf-8")
    change = changed("routes", "escalate_below: 0.55\nroutes: 1\n", "escalate_below: 0.45\nroutes: 1\n", "routes.yaml")
    assert [place.line for place in locations(change, folder=str(tmp_path))] == [4]
    assert [place.line for place in locations(change)] == [1]


def test_where_lines_are_only_gone_it_is_the_one_behind_them(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("one\nthree\n", encoding="utf-8")
    change = changed("prompt", "one\ntwo\nthree\n", "one\nthree\n")
    assert locations(change)[0].line == locations(change, folder=str(tmp_path))[0].line == 2


def test_prompts_come_first_then_routes_and_a_file_once() -> None:
    kinds = [("tool", "t.json"), ("routes", "r.yaml"), ("prompt", "p.md"), ("prompt", "p.md"), ("model", None)]
    changes = tuple(ComponentChange(kind, str(n), path, "a", "b", "") for n, (kind, path) in enumerate(kinds))
    assert [place.path for place in locations(changes, source_root="evals")] == [
        "evals/p.md",
        "evals/r.yaml",
        "evals/t.json",
    ]


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("../prompts/a.md", "evals", ["prompts/a.md"]),
        ("../../etc/passwd", "evals", []),
        ("/etc/passwd", "", []),
        ("./a/./b.md", "", ["a/b.md"]),
        ("", "", []),
    ],
)
def test_no_path_leads_out_of_the_repository(path: str, root: str, expected: list[str]) -> None:
    change = ComponentChange("prompt", "x", path, "a", "b", "")
    assert [place.path for place in locations((change,), source_root=root)] == expected


@given(st.text(max_size=80), st.text(max_size=200))
def test_any_path_and_diff_give_a_line(path: str, diff: str) -> None:
    for place in locations((ComponentChange("prompt", "x", path, "a", "b", diff),), folder="/nowhere"):
        assert place.line >= 1
        assert ".." not in place.path.split("/")
