"""A score without the fingerprint of its grader is not comparable: what changes it, and what does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.grading import Grade, Grader, Grading, grader_ref, make_graders
from evalkit.records import Case, Message, Trace
from tests.grading.conftest import HEADER, grader_source

CASE = Case("c", (Message("user", "?"),))
TRACE = Trace("w", "c", 0, "ok", "yes please")


@dataclass(frozen=True)
class Tuned(Grader):
    name: ClassVar[str] = "tuned"
    version: ClassVar[str] = "1"

    words: tuple[str, ...] = ()
    most: int = 0
    note: str = ""

    def grade(self, case: Case, trace: Trace) -> Grade:
        return Grade.check(True)


def of(name: str, root: Path | None = None, **parameters: Any) -> str:
    return Grading(make_graders([(name, parameters)], root)).refs[0].fingerprint


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(grader_source(version='"2"'), id="version"),
        pytest.param(grader_source(returns="Grade.check(True)"), id="code"),
        pytest.param(grader_source() + "# a comment\n", id="any text of the file"),
        pytest.param(grader_source(body="most: int = 3"), id="parameter"),
    ],
)
def test_a_change_to_a_projects_grader_changes_its_fingerprint(project_with: Callable[..., Path], source: str) -> None:
    before = of("polite", project_with({"polite.py": HEADER + grader_source()}))
    assert of("polite", project_with({"polite.py": HEADER + source})) != before


def test_the_same_grader_in_another_folder_has_the_same_fingerprint(project_with: Callable[..., Path]) -> None:
    files = {"polite.py": HEADER + grader_source()}
    assert of("polite", project_with(files)) == of("polite", project_with(files))


def test_parameters_are_in_the_fingerprint_and_stated_defaults_are_not_another_grader() -> None:
    assert of("cost", max_usd=0.5) != of("cost")
    assert of("cost", max_usd=None) == of("cost")
    assert of("groundedness", min_support=1) == of("groundedness", min_support=1.0)
    assert of("tool_call", ignore=["a", "b"]) != of("tool_call", ignore=["b", "a"])


def test_shipped_graders_differ_from_each_other() -> None:
    names = ["answer", "cost", "groundedness", "latency", "refusal", "tool_call"]
    assert len({of(name) for name in names}) == len(names)


texts = st.text(st.characters(codec=None), max_size=6)
parameters = st.builds(Tuned, st.lists(texts, max_size=3).map(tuple), st.integers(), texts)


@settings(max_examples=200, deadline=None)
@given(parameters, parameters)
def test_fingerprints_are_equal_exactly_when_the_parameters_are(left: Tuned, right: Tuned) -> None:
    assert (grader_ref(left).fingerprint == grader_ref(right).fingerprint) == (left == right)


def test_the_fingerprint_of_all_graders_depends_on_each_and_not_on_their_order() -> None:
    graders = make_graders([("cost", {}), ("refusal", {}), ("answer", {})])
    whole = Grading(graders).fingerprint
    assert Grading(graders[::-1]).fingerprint == whole
    assert Grading(graders[:2]).fingerprint != whole
    assert Grading(make_graders([("cost", {"max_usd": 1}), ("refusal", {}), ("answer", {})])).fingerprint != whole


def test_another_process_computes_the_same_fingerprint() -> None:
    program = (
        "from evalkit.grading import Grading, make_graders\n"
        "print(Grading(make_graders([('refusal', {}), ('tool_call', {'ignore': ['a', 'b']})])).fingerprint)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    printed = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    here = Grading(make_graders([("refusal", {}), ("tool_call", {"ignore": ["a", "b"]})]))
    assert printed.stdout.strip() == here.fingerprint


def test_projects_in_one_process_keep_the_fingerprints_of_their_own_graders(project_with: Callable[..., Path]) -> None:
    first = make_graders([("polite", {})], project_with({"polite.py": HEADER + grader_source()}))
    before = Grading(first).fingerprint
    other = project_with({"polite.py": HEADER + grader_source(returns="Grade.check(False)")})
    second = make_graders([("polite", {})], other)
    assert Grading(first).fingerprint == before
    assert Grading(second).fingerprint != before


def test_a_file_that_is_edited_twice_in_a_moment_is_run_as_it_is_now(project_with: Callable[..., Path]) -> None:
    """Python would take the compiled code of the first text for the second: same size, same second."""
    root = project_with({"polite.py": HEADER + grader_source(returns="Grade.check(False)")})
    before = Grading(make_graders([("polite", {})], root))
    file = root / "graders" / "polite.py"
    stamp = file.stat().st_mtime
    file.write_text(HEADER + grader_source(returns="Grade.check( True)"), encoding="utf-8")
    os.utime(file, (stamp, stamp))
    after = Grading(make_graders([("polite", {})], root))
    assert [grading.grade(CASE, TRACE)[0].passed for grading in (before, after)] == [False, True]
    assert before.fingerprint != after.fingerprint
    assert not (root / "graders" / "__pycache__").exists()


def test_a_grader_reads_a_file_beside_it(project_with: Callable[..., Path]) -> None:
    source = f"from pathlib import Path\nWORD = (Path(__file__).parent / 'word.txt').read_text()\n{HEADER}"
    root = project_with({"word.txt": "yes", "polite.py": source + grader_source(returns="Grade.check(WORD == 'yes')")})
    assert Grading(make_graders([("polite", {})], root)).grade(CASE, TRACE)[0].passed is True
