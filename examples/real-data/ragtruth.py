"""Groundedness of six real models on the same prompts (RAGTruth), against the labels of people.

    python examples/real-data/ragtruth.py DATA [OUT]

DATA holds ``ragtruth.parquet``. The best model by the people's labels is the baseline, the worst
the candidate: BLOCKED. Not every model answered every prompt here, so each run is of the
prompts that both models answered. The AUROC is the chance that of two answers, one of them grounded by
the people's verdict and one not, the grounded one has the higher value.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from archive import Archive, read_rows, require
from sklearn.metrics import roc_auc_score

from evalkit.records import Case, Document, Expectation, Message, Provenance

TASKS = {
    "QA": None,
    "Summary": "Summarise the document.",
    "Data2txt": "Write a short description of the business from the record.",
}
GATE = {"critical": None, "rules": [{"grader": "groundedness", "metric": "mean", "max_drop": "5pt"}]}


def case(row: dict[str, Any]) -> Case:
    """One prompt with its context."""
    question = row["prompt"] or TASKS[row["task"]] or ""
    context = tuple(Document(f"passage-{number}", text) for number, text in enumerate(row["context"], start=1))
    return Case(
        id=row["case_id"],
        input=(Message("user", question),),
        expect=Expectation(behaviour="answer"),
        context=context,
        intent=row["task"],
        provenance=Provenance(source="RAGTruth"),
    )


def answer(row: dict[str, Any]) -> dict[str, Any]:
    """One recorded answer."""
    return {"case_id": row["case_id"], "output": row["response"], "model": row["model"]}


def graded(out: Path, name: str, rows: list[dict[str, Any]], models: list[str]) -> Archive:
    """A project of the prompts that all the models answered."""
    by_case: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        by_case[row["case_id"]][row["model"]] = row
    shared = [answers for answers in by_case.values() if set(models) <= answers.keys()]
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    archive = Archive(folder, "ragtruth", {"graders": ["groundedness"], "gate": GATE})
    archive.add_cases([case(next(iter(answers.values()))) for answers in shared], licence="MIT")
    for model in models:
        archive.add_answers(model, [answer(answers[model]) for answers in shared])
    return archive


def main(data: Path, out: Path) -> None:
    """The table of all models, then the best against the worst."""
    require(data, "ragtruth.parquet")
    rows = read_rows(data / "ragtruth.parquet")
    people: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        people[row["model"]].append(row["label_grounded"])
    print(f"{'model':20}{'answers':>8}{'grounded by people':>20}{'mean value':>14}{'passed':>8}")
    values: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    for model in sorted(people, key=lambda name: -sum(people[name]) / len(people[name])):
        archive = graded(out, model, rows, [model])
        scores = [score for score in archive.run(model).run.scores() if score.status == "ok"]
        labels = {row["case_id"]: (row["task"], row["label_grounded"]) for row in rows if row["model"] == model}
        for score in scores:
            task, grounded = labels[score.case_id]
            for name in ("all", task):
                values[name].append((grounded, score.value or 0.0))
        support = sum(score.value or 0.0 for score in scores) / len(scores)
        passed = sum(score.passed is True for score in scores) / len(scores)
        share = sum(people[model]) / len(people[model])
        print(f"{model:20}{len(people[model]):8}{share:20.3f}{support:14.3f}{passed:8.3f}")
    print("AUROC of the value against the verdict of people:", end=" ")
    print(", ".join(f"{name} {roc_auc_score(*zip(*pairs, strict=True)):.2f}" for name, pairs in values.items()))
    ranked = sorted(people, key=lambda name: -sum(people[name]) / len(people[name]))
    best, worst = ranked[0], ranked[-1]
    print(f"\n== {best} to {worst}, prompts that both answered")
    archive = graded(out, "best-and-worst", rows, [best, worst])
    archive.run(best, as_baseline=True)
    archive.show(archive.run(worst).verdict)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) == 3 else scratch))
