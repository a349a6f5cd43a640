"""A calibration: the chance that people call an answer grounded, learned from a workflow's own labels.

A logistic regression over a handful of features whose weights may only have the sign that the feature speaks for, where
it speaks for one, so that few labels suffice and nothing is learned that contradicts its meaning. It is kept as JSON:
numbers, no code.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evalkit.errors import GraderError
from evalkit.records import Case, Trace
from evalkit_graders.groundedness.features import FEATURES, STYLE, features_of

__all__ = ["Calibration", "fit", "fit_calibration", "parse", "read"]

Number = Annotated[float, Field(allow_inf_nan=False)]
Floats = NDArray[np.float64]

_FOLDS = 5
_PRIOR = 3.0
"""Variance of the weights' prior, features in standard deviations."""
_FEWEST = 10
"""Labels of each kind without which nothing can be learned."""


class Calibration(BaseModel):
    """Weights of the features, in the order of ``features``, and where people's yes begins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["groundedness"] = "groundedness"
    version: Literal[2] = 2
    features: tuple[str, ...]
    mean: tuple[Number, ...]
    scale: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]
    weights: tuple[Number, ...]
    bias: Number
    threshold: Annotated[float, Field(ge=0, le=1)]
    """An answer passes from this probability on: the one with the best balanced accuracy on labels held out."""
    labels: Annotated[int, Field(ge=0)]
    """Labels that it was fitted to."""
    grounded: Annotated[int, Field(ge=0)]
    """How many of them said grounded."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not set(self.features) <= FEATURES.keys() or len(set(self.features)) != len(self.features):
            raise ValueError(f"features are some of {', '.join(FEATURES)}, each once")
        if not len(self.features) == len(self.mean) == len(self.scale) == len(self.weights) > 0:
            raise ValueError("mean, scale and weights have one number a feature")
        for name, weight in zip(self.features, self.weights, strict=True):
            if weight * FEATURES[name] < 0:
                raise ValueError(f"the weight of {name} has the wrong sign")
        return self

    def probability(self, features: Mapping[str, float]) -> float:
        """The chance that people call an answer with these features grounded."""
        total = self.bias
        for name, mean, scale, weight in zip(self.features, self.mean, self.scale, self.weights, strict=True):
            total += weight * (features[name] - mean) / scale
        return 1.0 / (1.0 + math.exp(-max(-500.0, min(500.0, total))))

    def dump(self) -> str:
        """The text of its file."""
        return self.model_dump_json(indent=2) + "\n"


def read(path: str | Path) -> Calibration:
    """Read a calibration from its file.

    Raises:
        GraderError: when it cannot be read or is no calibration.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GraderError(f"the calibration cannot be read: {error}", file=path) from None
    try:
        return parse(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or None
        message = problem["msg"].removeprefix("Value error, ")
        raise GraderError(f"not a calibration: {message}", file=path, key=where) from None


@lru_cache(maxsize=64)
def parse(text: str) -> Calibration:
    """The calibration of a file's text."""
    return Calibration.model_validate_json(text)


def fit(
    features: Sequence[Mapping[str, float]],
    labels: Sequence[bool],
    groups: Sequence[Hashable] | None = None,
    *,
    content_only: bool = False,
) -> Calibration:
    """Fit a calibration.

    Args:
        features: Features of each answer, of :func:`features_of`.
        labels: Whether people called it grounded.
        groups: Key of each answer's prompt: answers to one prompt are held out together for the threshold.
        content_only: Whether to leave out what may tell who wrote the answer, for a comparison of models.

    Raises:
        ValueError: with fewer than ten labels of either kind, or lengths that differ.
    """
    truth = np.asarray(labels, bool)
    keys = list(groups) if groups is not None else list(range(len(truth)))
    if not len(features) == len(truth) == len(keys):
        raise ValueError("features, labels and groups have one entry an answer")
    positive = int(truth.sum())
    if min(positive, len(truth) - positive) < _FEWEST:
        raise ValueError(f"at least {_FEWEST} labels of each kind are needed, got {positive} of {len(truth)} grounded")
    names = tuple(name for name in FEATURES if not (content_only and name in STYLE))
    signs = tuple(FEATURES[name] for name in names)
    table = np.array([[row[name] for name in names] for row in features], np.float64)
    mean, scale = table.mean(axis=0), table.std(axis=0)
    scale[scale < 1e-9] = 1.0
    scaled = (table - mean) / scale
    weights = _weights(scaled, truth, signs)
    return Calibration(
        features=names,
        mean=tuple(map(float, mean)),
        scale=tuple(map(float, scale)),
        weights=tuple(float(weight) + 0.0 for weight in weights[:-1]),
        bias=float(weights[-1]),
        threshold=_threshold(truth, _held_out(scaled, truth, keys, signs)),
        labels=len(truth),
        grounded=positive,
    )


def fit_calibration(
    answers: Iterable[tuple[Case, Trace]],
    labels: Sequence[bool],
    groups: Sequence[Hashable] | None = None,
    *,
    content_only: bool = False,
) -> Calibration:
    """Fit a calibration to graded trials.

    Args:
        answers: Cases with their traces.
        labels: Whether people called each answer grounded.
        groups: Key of each answer's prompt; by default the id of its case.
        content_only: As for :func:`fit`.

    Raises:
        ValueError: as :func:`fit`.
    """
    from evalkit_graders.groundedness.grader import check_answer  # the grader reads calibrations too

    pairs = list(answers)
    rows = [features_of(check_answer(case, trace).claims) for case, trace in pairs]
    keys = groups if groups is not None else [case.id for case, _ in pairs]
    return fit(rows, labels, keys, content_only=content_only)


def _weights(scaled: Floats, truth: NDArray[np.bool_], signs: Sequence[int]) -> Floats:
    """Most probable weights and bias, each weight of its feature's sign."""
    from scipy.optimize import minimize

    side = np.where(truth, 1.0, -1.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        margin = side * (scaled @ weights[:-1] + weights[-1])
        slope = -side / (1.0 + np.exp(np.clip(margin, -500, 500)))
        value = float(np.logaddexp(0, -margin).sum() + (weights[:-1] ** 2).sum() / (2 * _PRIOR))
        return value, np.append(scaled.T @ slope + weights[:-1] / _PRIOR, slope.sum())

    bounds = [(0.0 if sign > 0 else None, 0.0 if sign < 0 else None) for sign in (*signs, 0)]
    found: Floats = minimize(loss, np.zeros(scaled.shape[1] + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    return found


def _held_out(scaled: Floats, truth: NDArray[np.bool_], keys: Sequence[Hashable], signs: Sequence[int]) -> Floats:
    """Probabilities of each answer by weights fitted without its group; all by one fit where groups are too few."""
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    order = np.random.default_rng(0).permutation(len(places))
    fold = np.array([order[places[key]] % _FOLDS for key in keys])
    margins = np.zeros(len(truth))
    for part in range(_FOLDS):
        out = fold == part
        rest = truth[~out]
        enough = rest.any() and not rest.all()
        weights = _weights(scaled[~out], rest, signs) if enough else _weights(scaled, truth, signs)
        margins[out] = scaled[out] @ weights[:-1] + weights[-1]
    probabilities: Floats = 1.0 / (1.0 + np.exp(-np.clip(margins, -500, 500)))
    return probabilities


def _threshold(truth: NDArray[np.bool_], probability: Floats) -> float:
    """The middle between two neighbouring probabilities that parts the labels with the best balanced accuracy."""
    order = np.argsort(probability, kind="stable")
    sorted_truth, values = truth[order], probability[order]
    below = np.arange(len(truth) + 1)
    grounded_below = np.append(0, np.cumsum(sorted_truth))
    right = (truth.sum() - grounded_below) / truth.sum() + (below - grounded_below) / (~truth).sum()
    cuts = np.concatenate([[0.0], (values[:-1] + values[1:]) / 2, [1.0]])
    return float(cuts[int(np.argmax(right))])
