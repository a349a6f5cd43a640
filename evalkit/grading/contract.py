"""What a grader is: a frozen dataclass with a name, a version and one ``grade`` method.

The smallest::

    @dataclass(frozen=True)
    class MentionsTicket(Grader):
        name: ClassVar[str] = "mentions_ticket"
        version: ClassVar[str] = "1"

        def grade(self, case: Case, trace: Trace) -> Grade:
            return Grade.check("TCK-" in trace.answer)
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar

from evalkit.errors import GraderError
from evalkit.fingerprint import fingerprint
from evalkit.records import Case, GraderRef, Json, Severity, Trace

__all__ = ["Grade", "Grader", "grader_ref"]


@dataclass(frozen=True, slots=True)
class Grade:
    """What a grader returns for one trial."""

    value: float | None
    """The measurement: a share, seconds, dollars."""
    passed: bool | None = None
    """Whether the trial is right by this grader; None where that is no question."""
    label: str = ""
    """The kind of result in one word, for example ``over_refusal``."""
    severity: Severity = "none"
    evidence: Mapping[str, Json] = field(default_factory=dict)
    """What a reviewer needs to see why, and no more."""

    @classmethod
    def check(cls, passed: bool, label: str = "", *, severity: Severity = "none", **evidence: Json) -> Grade:
        """A plain yes or no: the value is 1 or 0. Label and severity say what is wrong, so a pass has neither."""
        return cls(float(passed), passed, "" if passed else label, "none" if passed else severity, evidence)


class Grader(ABC):
    """Base class of graders. Parameters are dataclass fields; the class must not change between calls."""

    name: ClassVar[str]
    """Unique among the graders of a workflow."""
    version: ClassVar[str]
    """Raised whenever the same trace could get another grade."""
    quality: ClassVar[bool] = True
    """True where ``passed`` means that the answer is good: such graders are gated by the margin."""

    @abstractmethod
    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """Grade a finished trial; None where the grader has nothing to say about the case."""


def grader_ref(grader: Grader) -> GraderRef:
    """Name, version and fingerprint (with parameters and the source of the class) of a grader.

    Raises:
        GraderError: when the class is not a frozen dataclass, or its parameters are not JSON.
    """
    kind: Any = type(grader)
    if not _is_frozen(kind):
        raise GraderError("a grader is a frozen dataclass", key=kind.__qualname__, fix="add @dataclass(frozen=True)")
    values = {item.name: getattr(grader, item.name) for item in fields(kind)}
    try:
        digest = fingerprint(
            "grader", {"name": grader.name, "version": grader.version, "params": values, "source": _source(kind)}
        )
    except (TypeError, ValueError) as error:
        raise GraderError(f"a parameter is not JSON: {error}", key=grader.name) from None
    return GraderRef(grader.name, grader.version, digest, grader.quality)


def _is_frozen(kind: Any) -> bool:
    return is_dataclass(kind) and bool(getattr(kind, "__dataclass_params__").frozen)  # noqa: B009


def _source(kind: type) -> str:
    """The text of the module of a grader from a project; graders of a distribution state a version instead."""
    module = inspect.getmodule(kind)
    if module is None or not module.__name__.startswith("evalkit_project_graders."):
        return ""
    return Path(inspect.getfile(kind)).read_text(encoding="utf-8")
