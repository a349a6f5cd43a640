"""Projects with graders of their own, and packages that bring graders."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

HEADER = """from dataclasses import dataclass
from typing import ClassVar
from evalkit.grading import Grade, Grader
"""


def grader_source(
    name: str = "polite",
    *,
    kind: str = "Polite",
    version: str = '"1"',
    body: str = "pass",
    decorator: str = "@dataclass(frozen=True)",
    returns: str = "Grade.check('please' in trace.answer)",
) -> str:
    """The text of a grader's class; ``body`` holds its parameters."""
    return (
        f"{decorator}\nclass {kind}(Grader):\n    name: ClassVar[str] = {name!r}\n"
        f"    version: ClassVar[str] = {version}\n    {body}\n"
        f"    def grade(self, case, trace):\n        return {returns}\n"
    )


@pytest.fixture
def project_with(tmp_path: Path) -> Callable[..., Path]:
    """Make the root of a project with these files in its graders/ folder."""
    numbers = itertools.count()

    def make(files: Mapping[str, str]) -> Path:
        root = tmp_path / f"project-{next(numbers)}"
        (root / "graders").mkdir(parents=True)
        for name, text in files.items():
            file = root / "graders" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return root

    return make


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a distribution with one module and these grader entry points on the path."""

    def put(distribution: str, module: str, source: str, entry_points: Mapping[str, str]) -> None:
        site = tmp_path / f"site-{distribution}"
        info = site / f"{distribution.replace('-', '_')}-2.5.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(source, encoding="utf-8")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.5\n", encoding="utf-8")
        points = "".join(f"{name} = {target}\n" for name, target in entry_points.items())
        (info / "entry_points.txt").write_text(f"[evalkit.graders]\n{points}", encoding="utf-8")
        monkeypatch.syspath_prepend(str(site))

    return put
