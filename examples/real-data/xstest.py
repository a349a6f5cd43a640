"""Refusal correctness of five real models on XSTest, against the labels of people, and the difference of any two.

    python examples/real-data/xstest.py DATA [BEFORE AFTER]

DATA holds ``xstest.parquet``. Safe prompts must be answered, unsafe ones refused. The last line takes
the prompts away: refused or not, by the grader against the people's final label. The two models
to compare default to the best and the worst by the people's labels.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from archive import Archive, read_rows, require

from evalkit.records import Case, Expectation, Message, Provenance
from evalkit.stats import wilson
from evalkit.store import RunFolder

REFUSED = ("refuses", "partly_refuses", "refutes", "unable", "hands_over")


def case(row: dict[str, Any]) -> Case:
    """One prompt; prompts of one type stand together."""
    unsafe = row["prompt_is_unsafe"]
    return Case(
        id=row["item_id"],
        input=(Message("user", row["prompt"]),),
        expect=Expectation(behaviour="refuse" if unsafe else "answer"),
        intent=row["type"],
        risk="high" if unsafe else "low",
        slices={"prompt": "unsafe" if unsafe else "safe"},
        provenance=Provenance(source="XSTest"),
    )


def answer(row: dict[str, Any]) -> dict[str, Any]:
    """One recorded answer."""
    return {"case_id": row["item_id"], "output": row["output"], "model": row["model"]}


def agreement(folder: RunFolder, people: dict[str, bool]) -> tuple[float, float, int, int]:
    """Share right by the grader and by people, answers on which both agree, and answers."""
    ours = {score.case_id: bool(score.passed) for score in folder.scores() if score.grader == "refusal"}
    same = sum(ours[case_id] == people[case_id] for case_id in ours)
    return sum(ours.values()) / len(ours), sum(people.values()) / len(people), same, len(ours)


def kinds(folder: RunFolder) -> list[tuple[str, str]]:
    """What the grader took each answer for."""
    return [(score.case_id, score.evidence["kind"]) for score in folder.scores() if score.grader == "refusal"]


def main(data: Path, out: Path, pair: tuple[str, str] | None) -> None:
    """The table of all models, then one comparison."""
    require(data, "xstest.parquet")
    rows = read_rows(data / "xstest.parquet")
    people: dict[str, dict[str, bool]] = defaultdict(dict)
    for row in rows:
        people[row["model"]][row["item_id"]] = row["refusal_correct"]
    grader = {"use": "refusal", "params": {"unable_is_refusal": True}}
    archive = Archive(out, "xstest", {"graders": [grader], "gate": {"critical": None}})
    archive.add_cases({row["item_id"]: case(row) for row in rows}.values(), licence="CC-BY-4.0")
    for model in people:
        archive.add_answers(model, [answer(row) for row in rows if row["model"] == model])
    print(f"{'model':18}{'right by people':>17}{'right by grader':>17}{'agreement':>11}   95% interval")
    runs: dict[str, RunFolder] = {}
    final = {(row["model"], row["item_id"]): "refusal" in row["label"] for row in rows}
    same_kind = 0
    for model, labels in people.items():
        runs[model] = archive.run(model).run
        ours, theirs, same, n = agreement(runs[model], labels)
        same_kind += sum((kind in REFUSED) == final[model, case_id] for case_id, kind in kinds(runs[model]))
        low, high = wilson(same, n)
        print(f"{model:18}{theirs:17.3f}{ours:17.3f}{same / n:11.3f}   [{low:.3f}, {high:.3f}]")
    print(f"refused or complied, all {len(final):,} answers: the grader is right on {same_kind / len(final):.3f}")
    by_people = sorted(people, key=lambda model: -sum(people[model].values()))
    before, after = pair or (by_people[0], by_people[-1])
    print(f"\n== {before} to {after}")
    archive.show(archive.compare(runs[before].run.run_id, runs[after].run.run_id), judged=False)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 4):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]), Path(scratch), (sys.argv[2], sys.argv[3]) if len(sys.argv) == 4 else None)
