"""The test that is a workflow's verdict, and reports without commands to whoever shows them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.pytest_plugin import evals_of
from evalkit.text import log_safe

__all__ = ["ProjectFile", "VerdictItem", "make_safe"]


class NoPassError(Exception):
    """The verdict is no pass; its text is the report."""


class ProjectFile(pytest.File):
    """An ``evalkit.yaml``: one test a workflow."""

    def collect(self) -> Iterator[VerdictItem]:
        """All workflows of the project.

        Raises:
            Collector.CollectError: when the file is wrong.
        """
        from evalkit.errors import EvalkitError

        try:
            names = evals_of(self.config).project(self.path).names()
        except EvalkitError as error:
            raise self.CollectError(log_safe(str(error))) from None
        for name in names:
            yield VerdictItem.from_parent(self, name=name, explicit=True)


class VerdictItem(pytest.Item):
    """Passes where the verdict on a workflow is a pass.

    Args:
        explicit: It was asked for, and not added to tests of cases.
    """

    def __init__(self, *, explicit: bool, **keys: Any) -> None:
        super().__init__(**keys)
        self.explicit = explicit

    def runtest(self) -> None:
        """Judge the workflow.

        Raises:
            NoPassError: with the whole report.
        """
        result = evals_of(self.config).result(self.path, self.name)
        self.user_properties += [("evalkit_verdict", result.verdict), ("evalkit_run", result.run_id)]
        if result.is_accepted_part:
            pytest.skip(f"no verdict: {log_safe(result.part)}")
        if not result.is_green:
            raise NoPassError(log_safe(evals_of(self.config).explained(result)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The report, without a traceback."""
        if isinstance(excinfo.value, NoPassError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Where it is from."""
        return Path(self.path), None, f"evalkit: {self.name}"


def make_safe(report: pytest.TestReport) -> None:
    """Show what of a failure, and of what was printed, would be a command to a terminal or a CI log."""
    report.sections = [(log_safe(name), log_safe(text)) for name, text in report.sections]
    shown: Any = report.longrepr
    if isinstance(shown, str):
        report.longrepr = log_safe(shown)
    elif isinstance(shown, tuple):  # a skip: file, line, reason
        report.longrepr = (shown[0], shown[1], log_safe(shown[2]))
    crash = getattr(shown, "reprcrash", None)
    if crash is not None:
        crash.message = log_safe(crash.message)
    for _, where, _ in getattr(shown, "chain", ()):
        if where is not None:
            where.message = log_safe(where.message)
    tracebacks = [part[0] for part in getattr(shown, "chain", ())] or [getattr(shown, "reprtraceback", None)]
    for entry in (entry for traceback in tracebacks if traceback is not None for entry in traceback.reprentries):
        entry.lines = [log_safe(line) for line in entry.lines]
        for part in ("reprfuncargs", "reprlocals"):
            held: Any = getattr(entry, part, None)
            if hasattr(held, "lines"):
                held.lines = [log_safe(line) for line in held.lines]
            elif hasattr(held, "args"):
                held.args = [(name, log_safe(text)) for name, text in held.args]
