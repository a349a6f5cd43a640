"""The measurements of groundedness on rows made up here in the format of the data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.grading.verification import Figure, Verification
from evalkit.stats.agreement import bootstrap
from evalkit_graders.verification import faithdial, grounded, ragtruth, summedits

WORDS = ("kettle", "toaster", "member", "courier", "warehouse", "invoice", "warranty", "voucher", "parcel", "refund")
MODELS = {"bad": 2, "fair": 3, "good": 12}
STRANGE = "elephants migrate across savannah grasslands seasonally"


def rows(tasks: tuple[str, ...], models: dict[str, int], prompts: int = 48) -> list[dict[str, Any]]:
    """Answers of models, each of which invents a sentence on every so many prompts."""
    found = []
    for task in tasks:
        for prompt in range(prompts):
            source = " ".join(WORDS[(prompt + step) % len(WORDS)] for step in range(7)).capitalize() + "."
            for number, (model, every) in enumerate(models.items()):
                wrong = (prompt + number) % every == 0
                found.append({
                    "case_id": f"{task}-{prompt}", "task": task, "model": model, "prompt": None, "context": [source],
                    "response": f"{source} {STRANGE.capitalize()}." if wrong else source, "label_grounded": not wrong,
                })  # fmt: skip
    return found


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are tested where they are made."""
    monkeypatch.setattr(grounded, "bootstrap", partial(bootstrap, draws=20))


def measured(verification: Verification, folder: Path, made: list[dict[str, Any]]) -> dict[str, Figure]:
    """Figures by what they measure."""
    (name,) = verification.files
    pq.write_table(pa.Table.from_pylist(made), folder / name)
    return {figure.measure: figure for figure in verification.measure(folder)}


def test_ragtruth_ranks_answers_and_finds_the_pairs_of_models(tmp_path: Path) -> None:
    found = measured(ragtruth.VERIFICATION, tmp_path, rows(("QA", "Data2txt"), MODELS))
    assert {figure.grader for figure in found.values()} == {"groundedness"}
    for name in ("pooled", "QA", "Data2txt"):
        assert found[f"AUROC {name}, without training"].value == 1.0
        assert found[f"AUROC {name}, calibrated, prompt held out"].value == 1.0
    assert found["AUROC pooled, without training"].n == 288
    assert found["AUROC QA, calibrated, prompt held out"].goal == 0.86
    right = found["model pairs found with the right sign, without training"]
    assert (right.value, right.n) == (1.0, 4)
    assert found["model pairs found with the wrong sign, without training"].value == 0.0


def test_a_model_that_people_call_better_and_the_grader_worse_is_a_wrong_sign(tmp_path: Path) -> None:
    made = rows(("QA",), MODELS)
    for row in made:
        row["label_grounded"] = not row["label_grounded"]
    found = measured(ragtruth.VERIFICATION, tmp_path, made)
    assert found["AUROC pooled, without training"].value == 0.0
    assert found["model pairs found with the wrong sign, without training"].value == 1.0


@pytest.mark.parametrize("verification", [summedits.VERIFICATION, faithdial.VERIFICATION])
def test_the_other_data_sets_are_measured_where_there_is_a_verdict(verification: Verification, tmp_path: Path) -> None:
    made = rows(("one", "two"), {"some": 2, "others": 3})
    without = [{**row, "label_grounded": None} for row in made[:10]]
    found = measured(verification, tmp_path, made + without)
    assert {figure.n for figure in found.values()} == {192}
    assert {figure.value for figure in found.values()} == {1.0}
