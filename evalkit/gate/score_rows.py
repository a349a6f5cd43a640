"""Rows of a scores segment as arrays: case, grader, class and value of each score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.errors import StoreError
from evalkit.store.arrays import bits, codes_in, codes_of, dictionary, floats, one_array, take, texts, valid

__all__ = ["CLASSES", "ENCODED", "KEYS", "SAID", "Rows", "classes_and_values"]

Floats = NDArray[np.float64]

KEYS = ("case_id", "grader")
"""What a score is of, but for the trial."""
SAID = ("status", "value", "passed")
"""What a score says."""
ENCODED = ("case_id", "grader", "status")
"""Columns that are read as dictionaries."""
CLASSES = 27
"""A row's class is 9 x status (ok, error, says nothing) + 3 x passed (no, yes, null) + value (null, number, other)."""


@dataclass(frozen=True)
class Rows:
    """Some scores: case, grader, class and value."""

    cases: NDArray[np.int32]
    """Positions in ``case_ids``."""
    case_ids: Any
    graders: NDArray[np.int32]
    """Positions in ``names``."""
    names: Sequence[str]
    classes: NDArray[np.uint8]
    values: Floats

    @classmethod
    def of(cls, batch: pa.RecordBatch, path: Path, *, numbered: bool = True) -> Rows:
        """Scores of a batch; where the cases are not to be numbered, they are all said to be one."""
        case_id, grader = batch.column("case_id"), batch.column("grader")
        graders, names = codes_of(grader)
        if case_id.null_count or grader.null_count:
            raise StoreError("a score names no case or no grader", file=path)
        classes, values = classes_and_values(batch)
        cases, case_ids = codes_in(case_id) if numbered else (np.zeros(len(batch), np.int32), texts([""]))
        return cls(
            cases=cases,
            case_ids=one_array(case_ids, pa.string()),
            graders=graders,
            names=[str(name) for name in names],
            classes=classes,
            values=values,
        )

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """The rows of all parts, one after the other."""
        names = list(dict.fromkeys(name for part in parts for name in part.names))
        places = {name: place for place, name in enumerate(names)}
        moved = [np.asarray([places[name] for name in part.names], np.int32)[part.graders] for part in parts]
        encoded = pa.chunked_array([dictionary(part.cases, part.case_ids) for part in parts]).unify_dictionaries()
        chunks = [codes_in(chunk) for chunk in encoded.chunks]
        cases, case_ids = np.concatenate([codes for codes, _ in chunks]), chunks[-1][1]
        return cls(
            cases=cases,
            case_ids=case_ids,
            graders=np.concatenate(moved),
            names=names,
            classes=np.concatenate([part.classes for part in parts]),
            values=np.concatenate([part.values for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def first(self) -> str:
        """The case of the first row."""
        return str(self.case_ids[int(self.cases[0])])

    def compact(self) -> Rows:
        """The same without the cases that no row is of."""
        cases, case_ids = codes_in(pc.dictionary_encode(take(self.case_ids, self.cases)))
        return replace(self, cases=cases, case_ids=case_ids)

    def pick(self, rows: slice | NDArray[np.intp]) -> Rows:
        """Some of them."""
        return replace(
            self,
            cases=self.cases[rows],
            graders=self.graders[rows],
            classes=self.classes[rows],
            values=self.values[rows],
        )


def classes_and_values(batch: pa.RecordBatch) -> tuple[NDArray[np.uint8], Floats]:
    """The class of each row, see ``CLASSES``, and its value; whatever is stored where there is none."""
    status, value, passed = (batch.column(name) for name in SAID)
    values = floats(one_array(value, pa.float64()))
    codes, names = codes_of(status)
    kinds = {"ok": 0, "not_applicable": 2, None: 2}
    meaning = np.asarray([9 * kinds.get(name, 1) for name in [*names, None]], np.uint8)
    alike = len(names) == 1 and not status.null_count
    found: NDArray[np.uint8] = np.full(len(codes), meaning[0]) if alike else meaning[codes]
    said = bits(passed).view(np.uint8)
    if passed.null_count:
        said = np.where(valid(passed), said, np.uint8(2))
    found += said * np.uint8(3)
    found += valid(value).view(np.uint8) * (2 - np.isfinite(values).view(np.uint8))
    return found, values
