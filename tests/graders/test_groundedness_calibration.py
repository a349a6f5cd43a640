"""Calibrations: fitted to labels, kept as JSON, checked when read, and part of the grader's fingerprint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from evalkit.errors import GraderError
from evalkit.grading import grader_ref, make_graders
from evalkit.records import Case, Message, Trace
from evalkit.stats.agreement import auroc
from evalkit_graders.groundedness import FEATURES, STYLE, Calibration, fit, fit_calibration
from evalkit_graders.groundedness.calibration import read

from .made import case, grader, score, trace

GOOD = "You can return an unused kettle within 30 days of delivery."
BAD = "Elephants migrate across savannah grasslands seasonally."
MADE = Calibration(
    features=tuple(FEATURES), mean=(1.0,) * 8, scale=(0.5,) * 8,
    weights=(-1.0, -0.5, 0.0, 0.5, 0.0, -1.0, 0.0, 0.0), bias=0.2,
    threshold=0.5, labels=40, grounded=20,
)  # fmt: skip


def rows(n: int, seed: int) -> tuple[list[dict[str, float]], list[bool]]:
    """Features whose sum, by the sign of each, decides the label with some noise."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(n, len(FEATURES)))
    labels = rng.random(n) < expit(table @ np.array(list(FEATURES.values()), float))
    return [dict(zip(FEATURES, map(float, row), strict=True)) for row in table], [bool(item) for item in labels]


def test_a_fit_agrees_with_an_independent_logistic_regression() -> None:
    features, labels = rows(400, seed=1)
    table = np.array([list(row.values()) for row in features])
    scaled = (table - table.mean(axis=0)) / table.std(axis=0)
    oracle = LogisticRegression(C=3.0, tol=1e-8, max_iter=1000).fit(scaled, labels)
    found = fit(features, labels)
    assert found.weights == pytest.approx(oracle.coef_[0], abs=1e-3)
    expected = oracle.predict_proba(scaled)[:, 1]
    assert [found.probability(row) for row in features] == pytest.approx(expected, abs=1e-3)
    assert (found.labels, found.grounded) == (400, sum(labels))


def test_a_weight_never_has_the_wrong_sign() -> None:
    features, labels = rows(200, seed=2)
    turned = fit(features, [not label for label in labels])
    held = [weight for name, weight in zip(turned.features, turned.weights, strict=True) if FEATURES[name]]
    assert held == pytest.approx([0.0] * (len(FEATURES) - 1))


def test_what_tells_who_wrote_an_answer_is_learned_either_way_and_can_be_left_out() -> None:
    features, _ = rows(200, seed=5)
    for turned in (False, True):
        labels = [(row["claims"] > 0) is not turned for row in features]
        found = dict(zip(FEATURES, fit(features, labels).weights, strict=True))
        assert (found["claims"] > 1) is not turned
        plain = fit(features, labels, content_only=True)
        assert set(plain.features) == FEATURES.keys() - STYLE
        longer = [{**row, "claims": row["claims"] + 1} for row in features]
        assert [plain.probability(row) for row in longer] == [plain.probability(row) for row in features]


def test_the_threshold_parts_labels_that_can_be_parted() -> None:
    features, _ = rows(200, seed=3)
    labels = [row["risk"] < 0 for row in features]
    found = fit(features, labels, [number // 4 for number in range(200)])
    said = [found.probability(row) >= found.threshold for row in features]
    assert np.mean(np.array(said) == np.array(labels)) > 0.95


@pytest.mark.parametrize(
    ("labels", "message"),
    [([True] * 40, "at least 10 labels of each kind"), ([True] * 30 + [False] * 9, "one entry an answer")],
)
def test_too_few_labels_and_wrong_lengths_are_refused(labels: list[bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(rows(40, seed=4)[0], labels)


def answered(number: int, text: str) -> tuple[Case, Trace]:
    """A case of its own with this answer."""
    return Case(f"case-{number}", (Message("user", "How long?"),)), trace(text, documents=(GOOD,))


def test_a_calibration_is_fitted_to_cases_and_traces_and_used_by_the_grader(tmp_path: Path) -> None:
    answers = [answered(number, f"{GOOD} Item {number}." if number % 2 else f"{BAD} {GOOD}") for number in range(40)]
    labels = [bool(number % 2) for number in range(40)]
    found = fit_calibration(answers, labels)
    path = tmp_path / "calibration.json"
    path.write_text(found.dump(), encoding="utf-8")
    assert read(path) == found
    calibrated = grader("groundedness", calibration=str(path))
    good = score(calibrated, case(), trace(GOOD, documents=(GOOD,)))
    bad = score(calibrated, case(), trace(f"{BAD} {GOOD}", documents=(GOOD,)))
    assert good.value is not None
    assert bad.value is not None
    assert (good.passed, bad.passed) == (True, False)
    assert good.value > found.threshold > bad.value
    values = [score(calibrated, one, two).value or 0.0 for one, two in answers]
    assert auroc(labels, values) == 1.0


def test_a_changed_calibration_is_another_grader(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(MADE.dump(), encoding="utf-8")
    before = grader_ref(make_graders([("groundedness", {"calibration": str(path)})])[0])
    path.write_text(MADE.model_copy(update={"bias": 0.3}).dump(), encoding="utf-8")
    after = grader_ref(make_graders([("groundedness", {"calibration": str(path)})])[0])
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [1.0, -0.5, 0.0, 0.5, 0.0, -1.0, 0.0, 0.0]}, "weight of risk has the wrong sign"),
        ({"weights": [-1.0]}, "one number a feature"),
        ({"features": ["length"] * 8}, "features are some of"),
        ({"scale": [0.0] * 8}, "greater than 0"),
        ({"bias": "NaN"}, "finite"),
        ({"threshold": 2}, "less than or equal to 1"),
        ({"version": 1}, "Input should be 2"),
        ({"code": "import os"}, "Extra inputs"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(json.loads(MADE.dump()) | change), encoding="utf-8")
    with pytest.raises(GraderError, match=message) as caught:
        read(path)
    assert caught.value.file == str(path)
    with pytest.raises(GraderError, match=message):
        make_graders([("groundedness", {"calibration": str(path)})])


def test_a_calibration_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GraderError, match="cannot be read"):
        make_graders([("groundedness", {"calibration": str(tmp_path / "none.json")})])
