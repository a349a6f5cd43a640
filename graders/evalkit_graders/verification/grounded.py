"""Answers with a verdict of people, graded for groundedness: what the measurements of that grader share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evalkit.grading.verification import Figure, Verification
from evalkit.records import Case, Message, RetrievedDocument, Trace
from evalkit.stats.agreement import auroc, bootstrap
from evalkit_graders.groundedness import Groundedness, check_answer, features_of, fit, value_of

__all__ = [
    "Answers", "Floats", "agreement", "case_and_trace", "cross_fitted", "graded", "read_rows", "verification_by_source",
]  # fmt: skip

_FOLDS, _SEED = 10, 0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """The graded answers, one entry each."""

    task: NDArray[np.str_]
    model: NDArray[np.str_]
    prompt: NDArray[np.str_]
    grounded: NDArray[np.bool_]
    value: Floats
    features: Sequence[dict[str, float]]


def case_and_trace(row: dict[str, Any]) -> tuple[Case, Trace]:
    """A row of the file as a case and the trace of its answer."""
    question, name = row["prompt"] if isinstance(row["prompt"], str) else "", str(row["case_id"])
    documents = tuple(
        RetrievedDocument(f"passage-{rank}", text, rank=rank) for rank, text in enumerate(row["context"], start=1)
    )
    case = Case(name, (Message("user", question),))
    return case, Trace("verification", name, 0, "ok", answer=str(row["response"]), documents=documents)


def graded(rows: Sequence[dict[str, Any]]) -> Answers:
    """Value and features of each answer; one that claims nothing has the value 1."""
    features, values = [], []
    for row in rows:
        claims = check_answer(*case_and_trace(row)).claims
        features.append(features_of(claims))
        values.append(value_of(claims))
    columns = {name: np.array([str(row[name]) for row in rows]) for name in ("task", "model", "case_id")}
    grounded = np.array([bool(row["label_grounded"]) for row in rows])
    return Answers(columns["task"], columns["model"], columns["case_id"], grounded, np.array(values), features)


def cross_fitted(answers: Answers, *, by_model: bool, content_only: bool = False) -> Floats:
    """Probability of each answer by calibrations that saw neither its prompt nor, with ``by_model``, its model."""
    prompts = list(dict.fromkeys(answers.prompt))
    order = np.random.default_rng(_SEED).permutation(len(prompts)) % _FOLDS
    fold_of = dict(zip(prompts, order, strict=True))
    fold = np.array([fold_of[prompt] for prompt in answers.prompt])
    found = np.full(len(answers.prompt), np.nan)
    for task in dict.fromkeys(answers.task.tolist()):
        for part in range(_FOLDS):
            for model in dict.fromkeys(answers.model) if by_model else (None,):
                out = (answers.task == task) & (fold == part)
                rest = (answers.task == task) & (fold != part)
                if model is not None:
                    out, rest = out & (answers.model == model), rest & (answers.model != model)
                if not out.any():
                    continue
                places = np.flatnonzero(rest).tolist()
                truth = [bool(answers.grounded[place]) for place in places]
                calibration = fit([answers.features[place] for place in places], truth, content_only=content_only)
                for place in np.flatnonzero(out).tolist():
                    found[place] = calibration.probability(answers.features[place])
    return found


def agreement(
    answers: Answers,
    value: Floats,
    measure: str,
    *,
    data: tuple[str, str],
    goals: Mapping[str, float],
    note: str = "",
    each: bool = True,
) -> Iterator[Figure]:
    """AUROC of a value against the verdict of people, pooled and by task, intervals by prompt.

    Args:
        answers: The graded answers.
        value: A value for each.
        measure: What the value is.
        data: Name of the measurement, and of the data as a reader knows it.
        goals: What it should reach, by ``pooled`` or task.
        note: How it was done.
        each: Whether to give figures of each task.
    """
    for name in ("pooled", *(dict.fromkeys(answers.task.tolist()) if each else ())):
        places = np.flatnonzero((answers.task == name) | (name == "pooled"))
        truth, values = answers.grounded[places], value[places]
        found = bootstrap(
            lambda drawn, truth=truth, values=values: auroc(truth[drawn], values[drawn]),  # type: ignore[misc]
            len(places), clusters=answers.prompt[places].tolist(), seed=_SEED,
        )  # fmt: skip
        yield Figure.of(
            Groundedness, data[0], found,
            data=f"{data[1]}, {len(places):,} answers" + ("" if name == "pooled" else f" ({name})"),
            measure=f"AUROC {name}, {measure}", goal=goals.get(name), note=note,
        )  # fmt: skip


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a file that have a verdict."""
    return [row for row in pq.read_table(path).to_pylist() if row["label_grounded"] is not None]


def verification_by_source(name: str, file: str, title: str, about: str) -> Verification:
    """A measurement on data of another kind, whose prompts are sources.

    AUROC without training, and of calibrations that are cross-fitted by source.

    Args:
        name: Its name.
        file: The file of the data.
        title: The data as a reader knows it.
        about: The data, its source and licence.
    """

    def measure(folder: Path) -> Iterator[Figure]:
        answers, data = graded(read_rows(folder / file)), (name, title)
        yield from agreement(answers, answers.value, "without training", data=data, goals={}, each=False)
        held = cross_fitted(answers, by_model=False)
        note = "a calibration for each domain, ten folds by source"
        yield from agreement(answers, held, "calibrated, source held out", data=data, goals={}, note=note, each=False)

    return Verification(name=name, graders=(Groundedness.name,), files=(file,), about=about, measure=measure)
