"""Golden sets that must not be run."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from evalkit.errors import ExitCode
from evalkit.goldens import from_cases, load_jsonl
from evalkit.goldens.goldenset import write_parquet
from tests.bad_input.test_configuration import refused
from tests.conftest import ProjectFolder, sample_cases


def parquet(project: ProjectFolder) -> Path:
    """The project's golden set as a Parquet file, configured."""
    file = project.path / "cases.parquet"
    write_parquet(from_cases("cases", "1", load_jsonl(project.path / "cases.jsonl")).table, file)
    project.configure_workflow(golden_set="cases.parquet")
    return file


def test_a_truncated_parquet_file_is_refused(project: ProjectFolder) -> None:
    file = parquet(project)
    assert project.run("run").code == ExitCode.NOT_COMPARABLE
    file.write_bytes(file.read_bytes()[:-200])
    refused(project.run("run"), ExitCode.GOLDEN_SET, "cases.parquet", "not a readable Parquet file", "restore it")


def test_a_foreign_parquet_file_is_refused_with_its_columns(project: ProjectFolder) -> None:
    pd.DataFrame({"question": ["a"], "answer": ["b"]}).to_parquet(parquet(project))
    refused(
        project.run("run"), ExitCode.GOLDEN_SET, "not a golden set", "columns missing: id", "question, answer", "import"
    )


def test_something_that_is_no_parquet_at_all_is_refused(project: ProjectFolder) -> None:
    parquet(project).write_text("case,answer\n1,2\n", encoding="utf-8")
    refused(project.run("run"), ExitCode.GOLDEN_SET, "not a readable Parquet file")


def test_duplicate_ids_are_refused(project: ProjectFolder) -> None:
    cases = sample_cases(6)
    project.cases([*cases, cases[2]])
    refused(project.run("run"), ExitCode.GOLDEN_SET, "the case id occurs twice", cases[2]["id"])


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_set_is_refused(project: ProjectFolder, text: str) -> None:
    project.write("cases.jsonl", text)
    refused(project.run("run"), ExitCode.GOLDEN_SET, "no cases")


def test_a_missing_set_is_named(project: ProjectFolder) -> None:
    (project.path / "cases.jsonl").unlink()
    refused(project.run("run"), ExitCode.GOLDEN_SET, "cases.jsonl", "no golden set here", "goldens build")


def test_an_unknown_key_in_a_case_is_named_with_its_line(project: ProjectFolder) -> None:
    cases = sample_cases(3)
    cases[1]["expct"] = {}
    project.cases(cases)
    refused(project.run("run"), ExitCode.GOLDEN_SET, "cases.jsonl:2", "unknown key `expct`", "evalkit schema case")


def test_a_line_that_is_no_json_is_named(project: ProjectFolder) -> None:
    project.write("cases.jsonl", json.dumps(sample_cases(1)[0]) + "\n{broken\n")
    refused(project.run("run"), ExitCode.GOLDEN_SET, "cases.jsonl:2", "not valid JSON")


def test_a_lone_surrogate_in_a_case_is_refused(project: ProjectFolder) -> None:
    case = {**sample_cases(1)[0], "input": "a\ud800b"}
    project.write("cases.jsonl", json.dumps(case) + "\n")
    refused(project.run("run"), ExitCode.GOLDEN_SET, "cases.jsonl:1", "lone surrogate")


def test_a_version_whose_content_was_changed_is_refused(project: ProjectFolder) -> None:
    build = ("goldens", "build", "cases.jsonl", "--to", "sets/shop", "--owner", "shop", "--contact", "a@example.com")
    assert project.run(*build, "--version", "1.0").code == 0
    project.configure_workflow(golden_set="sets/shop")
    assert project.run("run").code == ExitCode.NOT_COMPARABLE
    project.cases(sample_cases(12))
    other = from_cases("shop", "1.0", load_jsonl(project.path / "cases.jsonl"))
    write_parquet(other.table, project.path / "sets/shop/1.0.parquet")
    refused(project.run("run"), ExitCode.GOLDEN_SET, "1.0.parquet", "not what the card states", "build a new version")


def test_a_set_that_differs_from_the_baselines_is_not_comparable(project: ProjectFolder) -> None:
    project.run("run", "--set-baseline", "main")
    project.cases(sample_cases(25))
    done = project.run("run")
    assert done.code == ExitCode.NOT_COMPARABLE
    assert "The golden set differs" in done.out


def test_validate_finds_what_is_wrong_and_fails(project: ProjectFolder) -> None:
    cases = sample_cases(8)
    cases[3]["locale"] = "german"
    cases[4]["expect"]["citations"] = ["nowhere"]
    project.cases(cases)
    done = project.run("goldens", "validate")
    assert done.code == ExitCode.GOLDEN_SET
    assert "`german` is not a language tag" in done.out
    assert "cites `nowhere`" in done.out
    assert "2 errors" in done.out
