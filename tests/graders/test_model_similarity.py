"""Similarity by a local encoder: the network looks each word up in a table, so the cosine can be computed beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import GraderError
from evalkit.records import Score

from .made import case, grader, score, trace
from .tiny_models import SIZE, VOCABULARY, WORDS, cue_model, encoder_model, word_embeddings

TABLE = np.random.default_rng(7).normal(size=(SIZE, 6)).astype(np.float32)
TEXTS = st.lists(st.sampled_from(WORDS[:-1]), min_size=1, max_size=40).map(" ".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return word_embeddings(tmp_path_factory.mktemp("similarity"), TABLE)


def graded(folder: Path, reference: str | None, answer: str, **params: Any) -> Score:
    made = grader("model_similarity", **{"model": str(folder), "threshold": 0.5, **params})
    return score(made, case(answer=reference), trace(answer))


def expected(reference: str, answer: str) -> float:
    def mean(text: str) -> Any:
        ids = [VOCABULARY[word] for word in ("[CLS]", *text.split(), "[SEP]")]
        return TABLE[ids].astype(np.float64).mean(axis=0)

    one, other = mean(reference), mean(answer)
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@settings(deadline=None, max_examples=50)
@given(TEXTS, TEXTS)
def test_the_value_is_the_cosine_of_the_means(
    tmp_path_factory: pytest.TempPathFactory, reference: str, answer: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "table"
    if not folder.is_dir():
        word_embeddings(folder, TABLE)
    found = graded(folder, reference, answer)
    assert found.value == pytest.approx(expected(reference, answer), abs=2e-6)
    assert found.passed is ((found.value or 0) >= 0.5)
    assert found.label == ("" if found.passed else "dissimilar")


def test_equal_texts_are_alike_and_order_counts_for_nothing_here(folder: Path) -> None:
    assert graded(folder, "the red kettle", "The RED kettle").value == pytest.approx(1.0)
    assert graded(folder, "the red kettle", "kettle red the").value == pytest.approx(1.0)


def test_the_first_token_may_be_the_embedding(folder: Path) -> None:
    """Here it is the same row of the table for every text."""
    assert graded(folder, "sorry", "red kettle", pooling="first").value == pytest.approx(1.0)


def test_long_texts_are_embedded_to_their_end(folder: Path) -> None:
    start, end = "the shop opens " * 20, "red kettle costs twelve euros " * 20
    assert graded(folder, start + end, start + end, max_tokens=16).value == pytest.approx(1.0)
    cut = graded(folder, start, start + end, max_tokens=16).value
    assert cut is not None
    assert cut < 0.99


def test_the_prefix_stands_before_both_texts(folder: Path) -> None:
    found = graded(folder, "red kettle", "blue shop", prefix="sorry ")
    assert found.value == pytest.approx(expected("sorry red kettle", "sorry blue shop"), abs=2e-6)


def test_without_a_reference_nothing_is_graded_and_silence_is_like_nothing(folder: Path) -> None:
    assert graded(folder, None, "red kettle").status == "not_applicable"
    assert graded(folder, " … ", "red kettle").status == "not_applicable"
    silent = graded(folder, "red kettle", "…")
    assert (silent.passed, silent.label, silent.value) == (False, "no_answer", 0.0)


def test_there_is_no_threshold_by_default(folder: Path) -> None:
    with pytest.raises(GraderError, match="required") as caught:
        grader("model_similarity", model=str(folder))
    assert caught.value.key == "graders.model_similarity.params.threshold"


def test_safetensors_of_an_encoder_without_a_head(tmp_path: Path) -> None:
    folder = encoder_model(tmp_path, "bert", "", ())
    assert graded(folder, "red kettle", "red kettle").value == pytest.approx(1.0)
    different = graded(folder, "red kettle", "the shop opens monday").value
    assert different is not None
    assert different < 0.9999


def test_a_classifier_gives_no_embeddings(tmp_path: Path) -> None:
    folder = cue_model(tmp_path, ("no", "yes"), {"sorry": 1.0})
    assert "a vector for each token" in graded(folder, "red", "blue").evidence["error"]
