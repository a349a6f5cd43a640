"""How well graders agree with people: measured on labelled data, stated with the grader, and checked against it.

A package that ships graders registers its measurements under the entry point group ``evalkit.verifications`` and
keeps what they came to in ``agreement.yaml`` beside its modules. ``evalkit graders verify`` measures again, ``evalkit
graders show`` prints what is stated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from evalkit.errors import GraderError
from evalkit.grading.contract import Grader
from evalkit.grading.faults import said

if TYPE_CHECKING:
    from evalkit.stats import Estimate

__all__ = ["Figure", "Verification", "differences", "dump_figures", "stated_figures", "verifications"]

ENTRY_POINT_GROUP = "evalkit.verifications"
FILE = "agreement.yaml"
_CLOSE = 5e-4
"""Figures are stated with three digits."""


class Figure(BaseModel):
    """One measured figure of one grader."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    grader: str
    version: str
    verification: str
    """Name of the measurement that it comes from."""
    data: str
    """On what, as a reader knows it: ``XSTest, 1,110 answers of five models``."""
    measure: str
    """What is measured: ``accuracy, any refusal against compliance``."""
    n: int
    value: float
    low: float
    high: float
    goal: float | None = None
    """What it should reach, where a goal is set."""
    note: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is a figure of."""
        return self.grader, self.verification, self.measure

    @classmethod
    def of(
        cls,
        grader: type[Grader] | Grader,
        verification: str,
        found: Estimate,
        *,
        data: str,
        measure: str,
        goal: float | None = None,
        note: str = "",
    ) -> Figure:
        """What was found of a grader as it is now."""
        return cls(
            grader=grader.name, version=grader.version, verification=verification, data=data, measure=measure,
            n=found.n, value=found.value, low=found.low, high=found.high, goal=goal, note=note,
        )  # fmt: skip


@dataclass(frozen=True)
class Verification:
    """A measurement of one or more graders on labelled data."""

    name: str
    graders: tuple[str, ...]
    files: tuple[str, ...]
    """Names of the files that it reads; without one of them it is skipped, and said to be."""
    about: str
    """The data, its source and licence, in a sentence or two."""
    measure: Callable[[Path], Iterable[Figure]]
    """Called with the folder of the data."""

    def missing(self, folder: Path) -> list[str]:
        """The files that are not there."""
        return [name for name in self.files if not (folder / name).is_file()]


def verifications() -> Mapping[str, Verification]:
    """All registered measurements by name.

    Raises:
        GraderError: when one cannot be loaded or is none, or two have one name.
    """
    found: dict[str, Verification] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        try:
            made = point.load()
        except Exception as error:  # somebody's package
            raise GraderError(f"the verification cannot be loaded: {said(error)}", key=point.name) from error
        if not isinstance(made, Verification) or made.name != point.name or made.name in found:
            raise GraderError("not the only Verification of that name", key=point.name, value=point.value)
        found[made.name] = made
    return found


def stated_figures(kind: type[Grader]) -> tuple[Figure, ...]:
    """What the package of a grader's class states of it; nothing for a project's own or where none are stated.

    Raises:
        GraderError: when the file does not hold figures.
    """
    package = kind.__module__.partition(".")[0]
    try:
        file = resources.files(package).joinpath(FILE)
        text = file.read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError, TypeError):
        return ()
    return tuple(figure for figure in read_figures(text, f"{package}/{FILE}") if figure.grader == kind.name)


def read_figures(text: str, file: str) -> tuple[Figure, ...]:
    """Figures of a file's text.

    Raises:
        GraderError: when it does not hold figures.
    """
    try:
        return tuple(Figure.model_validate(row) for row in (yaml.safe_load(text) or {}).get("figures", ()))
    except (yaml.YAMLError, ValidationError, AttributeError, TypeError) as error:
        raise GraderError(f"not the figures of graders: {said(error)}", file=file) from None


def dump_figures(figures: Iterable[Figure]) -> str:
    """The text of a file with these figures, in the order of their keys, rounded to what is stated."""
    rows = [_plain(figure) for figure in sorted(figures, key=lambda figure: figure.key)]
    return "# Written by `evalkit graders verify --write`.\n" + yaml.safe_dump(
        {"figures": rows}, sort_keys=False, allow_unicode=True, width=120
    )


def _plain(figure: Figure) -> dict[str, object]:
    row = figure.model_dump(exclude_defaults=True)
    return {key: round(item, 3) if isinstance(item, float) else item for key, item in row.items()}


def differences(measured: Sequence[Figure], stated: Sequence[Figure]) -> Iterator[str]:
    """What is measured now and stated otherwise, a sentence each."""
    known = {figure.key: figure for figure in stated}
    for figure in measured:
        then = known.get(figure.key)
        name = f"{figure.grader}, {figure.measure} ({figure.verification})"
        if then is None:
            yield f"{name}: measured {figure.value:.3f}, nothing is stated"
        elif then.version != figure.version:
            yield f"{name}: stated for version {then.version}, this is {figure.version}"
        elif then.n != figure.n or abs(then.value - figure.value) > _CLOSE:
            yield f"{name}: stated {then.value:.3f} of {then.n:,}, measured {figure.value:.3f} of {figure.n:,}"
