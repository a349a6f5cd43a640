"""``evalkit graders new``: a grader of the project's own, and its test."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

import click

__all__ = ["command"]


@click.command("new")
@click.argument("name")
@click.option("--async", "is_async", is_flag=True, help="A grader that waits for something, such as a model.")
@click.option("--run", "per_run", is_flag=True, help="A grader that sees all trials of a case, or of a run, together.")
def command(name: str, is_async: bool, per_run: bool) -> None:
    """Lay down a grader NAME of the project's own, and a test that passes. Nothing is overwritten."""
    from evalkit.atomic import write_text
    from evalkit.errors import UsageError
    from evalkit.grading import available
    from evalkit.workflow import find_project

    if is_async and per_run:
        raise UsageError("a grader of runs is not asynchronous", key="--async", fix="give one of --async and --run")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,49}", name) or keyword.iskeyword(name):
        raise UsageError(
            "the name of a grader is lower case letters, digits and _, and no word of Python",
            key="NAME", value=name, fix="for example short_answer",
        )  # fmt: skip
    named = click.get_current_context().find_root().obj
    root = find_project(Path(named) if named else None).parent
    files = {f"graders/{name}.py": _grader(name, is_async, per_run), f"tests/test_{name}.py": _test(name, per_run)}
    there = [file for file in files if (root / file).exists()]
    if there:
        raise UsageError(f"there is already {', '.join(there)}", file=root, fix="choose another name")
    known = available(root)
    if name in known:
        raise UsageError(f"there is already a grader `{name}`", value=known[name].origin, fix="choose another name")
    for file, text in files.items():
        write_text(root / file, text)
        click.echo(f"wrote {file}")
    click.echo(_NEXT.format(name=name))


_NEXT = """
Next:
  pytest tests/test_{name}.py       # passes as it is; write down first what must fail
  evalkit graders show {name}       # what others see of it
  # name it in evalkit.yaml, `graders: [..., {name}]`, then grade what is stored, without a model call:
  evalkit regrade"""


def _grader(name: str, is_async: bool, per_run: bool) -> str:
    kind = "".join(word.capitalize() for word in name.split("_"))
    head = (_OF_RUNS if per_run else _OF_TRIALS).format(name=name, kind=kind)
    return head.replace("    def grade(", "    async def grade(") if is_async else head


def _test(name: str, per_run: bool) -> str:
    return (_TEST_OF_RUNS if per_run else _TEST_OF_TRIALS).format(name=name)


_OF_TRIALS = '''from dataclasses import dataclass
from typing import ClassVar

from evalkit import Case, Grade, Grader, Trace


@dataclass(frozen=True)
class {kind}(Grader):
    """The answer is not longer than allowed."""

    name: ClassVar[str] = "{name}"
    version: ClassVar[str] = "1"

    most_characters: int = 1000

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        size = len(trace.answer)
        return Grade.check(size <= self.most_characters, "too_long", characters=size)
'''
_OF_RUNS = '''from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from evalkit import Case, Grade, RunGrader, Trace


@dataclass(frozen=True)
class {kind}(RunGrader):
    """How much the lengths of a case's answers differ: longest less shortest, in characters."""

    name: ClassVar[str] = "{name}"
    version: ClassVar[str] = "1"
    quality: ClassVar[bool] = False

    def grade_case(self, case: Case, traces: Sequence[Trace]) -> Grade | None:
        sizes = [len(trace.answer) for trace in traces]
        return Grade(float(max(sizes) - min(sizes))) if len(sizes) > 1 else None
'''
_TEST_OF_TRIALS = """from pathlib import Path

from evalkit.testing import grade, make_case, make_grader, make_trace

ROOT = Path(__file__).resolve().parent.parent


def test_a_short_answer_passes() -> None:
    score = grade(make_grader("{name}", root=ROOT), make_case("How long?"), make_trace("30 days."))
    assert score.passed is True


def test_a_long_answer_fails() -> None:
    strict = make_grader("{name}", {{"most_characters": 5}}, root=ROOT)
    score = grade(strict, make_case("How long?"), make_trace("30 days."))
    assert (score.passed, score.label, score.evidence) == (False, "too_long", {{"characters": 8}})
"""
_TEST_OF_RUNS = """from pathlib import Path

from evalkit.testing import grade_run, make_case, make_grader, make_trace

ROOT = Path(__file__).resolve().parent.parent


def test_the_lengths_of_two_answers_are_compared() -> None:
    trials = [make_trace("30 days."), make_trace("30 days, unused.")]
    scores = grade_run(make_grader("{name}", root=ROOT), [(make_case("How long?"), trials)])
    assert [score.value for score in scores] == [8, 8]


def test_one_answer_differs_from_nothing() -> None:
    scores = grade_run(make_grader("{name}", root=ROOT), [(make_case("How long?"), [make_trace("30 days.")])])
    assert [score.status for score in scores] == ["not_applicable"]
"""
