"""From a run to labels of people, and from labels to what is known of a grader: by the command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ConfigError
from evalkit.review import Labels
from evalkit.store import Runs
from tests.conftest import REFUSAL_RULE, ProjectFolder

UNSURE = """
from dataclasses import dataclass
from typing import ClassVar
from evalkit.grading import Grade, Grader

@dataclass(frozen=True)
class Unsure(Grader):
    name: ClassVar[str] = "unsure"
    version: ClassVar[str] = "1"

    def grade(self, case, trace):
        good = "Harbour" not in trace.answer
        return Grade.check(good) if good else Grade(0.4, False, "address", "critical", review="names a street")
"""


@pytest.fixture
def shop(make_project: Callable[..., ProjectFolder]) -> ProjectFolder:
    """Forty cases, six or seven of which give an address away, and a grader that wants those looked at."""
    folder = make_project(count=40, graders=["unsure", "answer"])
    folder.write("graders/unsure.py", UNSURE)
    folder.edit("prompt.md", REFUSAL_RULE, "")
    assert folder.run("run", "--no-report", "--quiet").code in (1, 4)
    return folder


def exported(folder: ProjectFolder, *arguments: str) -> list[dict[str, Any]]:
    done = folder.run("review", "queue", "--export", "queue.jsonl", *arguments)
    assert done.code == 0, done.err
    return [json.loads(line) for line in (folder.path / "queue.jsonl").read_text().splitlines()]


def fill(folder: ProjectFolder, rows: list[dict[str, Any]], good: Callable[[dict[str, Any]], bool]) -> Path:
    for row in rows:
        row["passed"] = good(row)
    return folder.write("filled.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def is_right(row: dict[str, Any]) -> bool:
    return "Harbour" not in row["answer"]


def test_what_graders_are_unsure_of_comes_first_and_drawn_cases_after(shop: ProjectFolder) -> None:
    asked = exported(shop)
    assert [row["why"] for row in asked] == ["names a street"] * len(asked)
    assert 5 <= len(asked) <= 7
    rows = exported(shop, "--sample", "10", "--grader", "unsure")
    drawn = [row for row in rows if row["chosen"] == "random"]
    assert len(drawn) == 10
    assert [row["why"] for row in rows] == sorted((row["why"] for row in rows), reverse=True)
    assert rows == exported(shop, "--sample", "10", "--grader", "unsure")
    other = exported(shop, "--sample", "10", "--grader", "unsure", "--seed", "1")
    assert {row["case_id"] for row in other if row["chosen"] == "random"} != {row["case_id"] for row in drawn}


def test_labelled_answers_leave_the_queue_and_a_person_may_change_her_mind(shop: ProjectFolder) -> None:
    rows = exported(shop)
    fill(shop, rows, lambda _: True)
    done = shop.run("review", "add", "filled.jsonl", "--by", "jo")
    assert (done.code, done.out) == (0, f"unsure: {len(rows)} good, 0 bad\n")
    assert exported(shop) == []
    again = shop.run("review", "label", rows[0]["case_id"], "--grader", "unsure", "--bad", "--by", "jo")
    assert again.code == 0, again.err
    labels = Labels(shop.path).of("shop")
    assert len(labels) == len(rows)
    assert [label.passed for label in labels if label.case_id == rows[0]["case_id"]] == [False]


def test_two_people_who_differ_leave_the_answer_open(shop: ProjectFolder) -> None:
    case_id = exported(shop)[0]["case_id"]
    for name, said in (("jo", "--good"), ("al", "--bad")):
        shop.run("review", "label", case_id, "--grader", "unsure", said, "--by", name)
    assert case_id in {row["case_id"] for row in exported(shop)}


def test_calibrate_states_agreement_bias_threshold_and_the_true_share(shop: ProjectFolder) -> None:
    rows = exported(shop, "--sample", "30", "--grader", "unsure")
    fill(shop, rows, is_right)
    shop.run("review", "add", "filled.jsonl")
    done = shop.run("calibrate", "--format", "json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    (grader,) = found["graders"]
    assert grader["n"] == len(rows)
    assert grader["accuracy"]["value"] == grader["kappa"]["value"] == grader["found"]["value"] == 1.0
    assert grader["bias"]["value"] == 0.0
    assert found["passed"]["unsure"]["labelled"] == 30
    assert found["passed"]["unsure"]["low"] < found["said"]["unsure"] < found["passed"]["unsure"]["high"]
    text = shop.run("calibrate").out
    assert "good, both together" in text
    assert f"unsure 1: {len(rows)} labels" in text


def test_labels_that_disagree_show_as_bias_of_the_slice(shop: ProjectFolder) -> None:
    rows = exported(shop, "--sample", "40", "--grader", "unsure")
    fill(shop, rows, lambda _: False)
    found = json.loads(shop.run("calibrate", "--labels", "filled.jsonl", "--format", "json").out)
    (grader,) = found["graders"]
    refused = sum(not is_right(row) for row in rows)
    assert grader["counts"] == [[0, 0], [40 - refused, refused]]
    assert grader["bias"]["value"] == pytest.approx((40 - refused) / 40)
    assert grader["kappa"] is None or grader["kappa"]["value"] == 0.0
    assert found["passed"]["unsure"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert not (shop.path / "labels").exists()


def test_labels_hold_for_the_same_answer_in_another_run_and_for_no_other(shop: ProjectFolder) -> None:
    fill(shop, exported(shop, "--sample", "40", "--grader", "unsure"), is_right)
    shop.run("review", "add", "filled.jsonl")
    shop.run("run", "--no-report", "--quiet", "--fresh")
    assert json.loads(shop.run("calibrate", "--format", "json").out)["graders"][0]["lost"] == 0
    for path in (shop.path / ".evalkit" / "runs").iterdir():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    shop.edit("prompt.md", "Refuse to:\n", "Refuse to:\n" + REFUSAL_RULE)
    shop.run("run", "--no-report", "--quiet")
    found = json.loads(shop.run("calibrate", "--format", "json").out)["graders"][0]
    assert found["lost"] >= 5
    assert found["n"] + found["lost"] == 40


def test_a_table_from_a_spreadsheet_is_read(shop: ProjectFolder) -> None:
    rows = exported(shop)
    with (shop.path / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["case_id", "passed", "note"])
        writer.writeheader()
        writer.writerows({"case_id": row["case_id"], "passed": "No", "note": "a, b"} for row in rows)
        writer.writerow({"case_id": "answer-000", "passed": "", "note": "not looked at"})
    done = shop.run("review", "add", "labels.csv", "--grader", "unsure")
    assert (done.code, done.out) == (0, f"unsure: 0 good, {len(rows)} bad\n")


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ('{"case_id": "answer-000", "passed": "perhaps", "grader": "unsure"}', 10, "`passed`"),
        ('{"case_id": "answer-000", "grader": "unsure"}', 10, "no row has a label"),
        ('{"case_id": "nowhere", "passed": true, "grader": "unsure"}', 2, "no trial 0 of case `nowhere`"),
        ('{"case_id": "answer-000", "passed": true}', 2, "names no grader"),
        ('{"case_id": "answer-000", "passed": true, "grader": "other"}', 2, "has no grader `other`"),
        ('{"case_id": "answer-000", "passed": true, "grader": "unsure", "output": "0"}', 2, "another answer"),
        ('{"case_id": "answer-000", "passed": true, "trial": -1, "grader": "unsure"}', 10, "trial"),
        ("[1]", 10, "not a JSON object"),
        ("{", 10, "labels.jsonl:1"),
    ],
)
def test_a_wrong_row_is_refused_by_file_and_line(shop: ProjectFolder, line: str, code: int, says: str) -> None:
    shop.write("labels.jsonl", line + "\n")
    done = shop.run("review", "add", "labels.jsonl")
    assert done.code == code, done.err
    assert says in done.err
    assert "labels.jsonl" in done.err or says.startswith("has no grader")
    assert not (shop.path / "labels").exists()


def test_a_damaged_file_of_labels_is_named(shop: ProjectFolder) -> None:
    shop.write("labels/shop.jsonl", '{"grader": "unsure"}\n')
    done = shop.run("calibrate")
    assert done.code == 10
    assert "labels/shop.jsonl" in done.err


def test_a_file_of_labels_in_another_encoding_is_named(tmp_path: Path) -> None:
    labels = Labels(tmp_path)
    labels.path("shop").parent.mkdir()
    labels.path("shop").write_bytes('{"note": "für"}'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"shop\.jsonl: the labels cannot be read"):
        labels.of("shop")


def test_without_labels_calibrate_says_how_to_get_some(shop: ProjectFolder) -> None:
    done = shop.run("calibrate")
    assert done.code == 2
    assert "evalkit review queue" in done.err


def test_hostile_answers_and_notes_stay_one_line(shop: ProjectFolder) -> None:
    case_id = exported(shop)[0]["case_id"]
    note = "a\u2028b\n::error::x\x1b[2J"
    shop.run("review", "label", case_id, "--grader", "unsure", "--bad", "--note", note)
    (label,) = Labels(shop.path).of("shop")
    assert label.note == note


def test_a_grader_that_learns_is_fitted_to_the_labels(make_project: Callable[..., ProjectFolder]) -> None:
    folder = make_project(count=40, graders=["groundedness"], gate={"margin": "5pt"})
    folder.run("run", "--no-report", "--quiet")
    rows = exported(folder, "--sample", "40", "--grader", "groundedness")
    few = folder.run("calibrate", "--grader", "groundedness", "--fit", "learned/g.json")
    assert (few.code, (folder.path / "learned").exists()) == (2, False)
    assert "10 labels of each kind" in few.err
    for place, row in enumerate(rows):
        row["passed"] = place % 2 == 0
    folder.write("filled.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    folder.run("review", "add", "filled.jsonl")
    done = folder.run("calibrate", "--grader", "groundedness", "--fit", "g.json")
    assert done.code == 0, done.err
    folder.configure_workflow(graders=[{"use": "groundedness", "params": {"calibration": "g.json"}}])
    away = Path.cwd()
    assert not (away / "g.json").exists()
    assert folder.process("-C", str(folder.path), "run", "--no-report", "--quiet", folder=away).code == 4
    values = {row.value for row in Runs(folder.path / ".evalkit").get("latest").scores() if row.value is not None}
    assert all(0.3 < value < 0.7 for value in values)
    folder.write("g.json", "{}")
    broken = folder.run("run", "--no-report", "--quiet")
    assert broken.code == 14
    assert "calibration" in broken.err


def test_a_grader_that_learns_nothing_says_so(shop: ProjectFolder) -> None:
    done = shop.run("calibrate", "--grader", "unsure", "--fit", "g.json")
    assert done.code == 2
    assert "learns nothing" in done.err
