"""RAGTruth: groundedness of six models' answers against the verdicts of people.

Figures of a calibration are cross-fitted: ten folds by prompt, a calibration of each task for itself as a workflow has
its own, and with ``generator held out`` the answers of the graded model are not fitted to either.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import stats

from evalkit.grading.verification import Figure, Verification
from evalkit.stats.agreement import share
from evalkit_graders.groundedness import Groundedness
from evalkit_graders.verification.grounded import Answers, Floats, agreement, cross_fitted, graded, read_rows

__all__ = ["VERIFICATION"]

FILE = "ragtruth.parquet"
DATA = ("ragtruth", "RAGTruth, six models")
_GOALS = {"pooled": 0.86, "QA": 0.86, "Summary": 0.72, "Data2txt": 0.82}
_LEVEL = 0.05
_EFFECT = 0.03
"""Least difference of the mean value that counts between two models."""


@dataclass(frozen=True)
class Pair:
    """Two models on the prompts of one task that both answered."""

    task: str
    people: float
    """Difference of the share that people call grounded."""
    significant: bool
    grader: float
    """Difference of the mean value."""
    p: float


def model_pairs(answers: Answers, value: Floats) -> list[Pair]:
    """All pairs: exact McNemar on the verdicts of people, a paired z test on the values."""
    found = []
    for task in dict.fromkeys(answers.task.tolist()):
        by_model: dict[str, dict[str, int]] = {}
        for place in np.flatnonzero(answers.task == task):
            by_model.setdefault(str(answers.model[place]), {})[str(answers.prompt[place])] = int(place)
        for one, two in combinations(sorted(by_model), 2):
            shared = sorted(by_model[one].keys() & by_model[two].keys())
            if len(shared) < 2:
                continue
            left = np.array([by_model[one][prompt] for prompt in shared])
            right = np.array([by_model[two][prompt] for prompt in shared])
            people = answers.grounded[left].astype(int) - answers.grounded[right].astype(int)
            changed = int((people != 0).sum())
            exact = stats.binomtest(int((people > 0).sum()), changed).pvalue if changed else 1.0
            diff = value[left] - value[right]
            error = float(diff.std(ddof=1)) / math.sqrt(len(diff))
            p = float(2 * stats.norm.sf(abs(diff.mean()) / error)) if error else 1.0
            found.append(Pair(task, float(people.mean()), bool(exact < _LEVEL), float(diff.mean()), p))
    return found


def _pairs(answers: Answers, value: Floats, measure: str, *, goal: bool) -> Iterator[Figure]:
    pairs = model_pairs(answers, value)
    real = [pair for pair in pairs if pair.significant]
    fires = [pair for pair in pairs if pair.p < _LEVEL and abs(pair.grader) >= _EFFECT]
    right = sum(pair.significant and pair.people * pair.grader > 0 for pair in fires)
    wrong = sum(pair.significant and pair.people * pair.grader < 0 for pair in fires)
    other = sum(not pair.significant for pair in fires)
    rule = f"paired z, p < {_LEVEL}, mean difference at least {_EFFECT}; people: exact McNemar on the same prompts"
    for name, count, many, best in (
        ("found with the right sign", right, len(real), 22 / 24 if goal else None),
        ("found with the wrong sign", wrong, len(real), None),
        ("fires where people see none", other, len(pairs) - len(real), None),
    ):
        if many:
            yield Figure.of(
                Groundedness, "ragtruth", share(count, many),
                data=f"RAGTruth, {len(pairs)} pairs of models, {len(real)} significant",
                measure=f"model pairs {name}, {measure}", goal=best, note=rule,
            )  # fmt: skip


def measure(folder: Path) -> Iterator[Figure]:
    """AUROC without training, cross-fitted, with the generator held out; pairs of models."""
    answers = graded(read_rows(folder / FILE))
    yield from agreement(answers, answers.value, "without training", data=DATA, goals={})
    held = cross_fitted(answers, by_model=False)
    note = "a calibration for each task, ten folds by prompt"
    yield from agreement(answers, held, "calibrated, prompt held out", data=DATA, goals=_GOALS, note=note)
    strict = cross_fitted(answers, by_model=True)
    title, note = "calibrated, prompt and generator held out", f"{note}, without the model's own answers"
    yield from agreement(answers, strict, title, data=DATA, goals={"Data2txt": 0.65}, note=note)
    plain = cross_fitted(answers, by_model=True, content_only=True)
    title_plain = "calibrated on content only, prompt and generator held out"
    yield from agreement(answers, plain, title_plain, data=DATA, goals={}, note=note)
    yield from _pairs(answers, answers.value, "without training", goal=True)
    yield from _pairs(answers, strict, title, goal=False)
    yield from _pairs(answers, plain, title_plain, goal=False)


VERIFICATION = Verification(
    name="ragtruth",
    graders=("groundedness",),
    files=(FILE,),
    about="Answers of six models to questions, summaries and descriptions of records, each span without support"
    " marked by people (RAGTruth test part, MIT). Nothing is shipped that was fitted to it.",
    measure=measure,
)
