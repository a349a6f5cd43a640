"""`evalkit goldens`: every subcommand through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from evalkit.errors import ExitCode
from evalkit.goldens import dump_jsonl, load
from evalkit.text import log_safe
from tests.conftest import Finished, ProjectFolder, sample_cases

ROOT = Path(__file__).parents[2]
NAMES = ("finance", "hr", "legal", "support")
NEW_CARD = ("--owner", "shop team", "--contact", "shop@example.com")
HOSTILE = "\x1b[31mred\x1b[0m \x9b2J \u202egnol ##[error]x\n::error::y\r"


def safe(done: Finished) -> bool:
    """Nothing in the output that a terminal or a CI log would obey."""
    return all(log_safe(text) == text for text in (done.out, done.err))


def build(project: ProjectFolder, version: str, *options: str, source: str = "cases.jsonl") -> Finished:
    return project.run("goldens", "build", source, "--to", "sets/shop", "--version", version, *options)


@pytest.fixture
def built(project: ProjectFolder) -> ProjectFolder:
    """A project with version 1 of a golden set in `sets/shop`."""
    done = build(project, "1", *NEW_CARD, "--note", "first version")
    assert done.code == 0, done.err
    return project


# ── build ───────────────────────────────────────────────────────────────────────────────


def test_build_writes_a_version_and_a_card_and_says_what_it_built(project: ProjectFolder) -> None:
    done = build(project, "1", *NEW_CARD, "--note", "first version")
    golden = load(project.path / "sets/shop")
    assert done.code == 0
    assert done.err.startswith(
        "note: a new card, sets/shop/card.yaml, says licence LicenseRef-Proprietary and refresh due 2"
    )
    assert done.out == f"shop@1: 24 cases, content {golden.digest}\n"
    card = yaml.safe_load((project.path / "sets/shop/card.yaml").read_text(encoding="utf-8"))
    assert (card["name"], card["owner"], card["contact"]) == ("shop", "shop team", "shop@example.com")
    assert (card["licence"], card["changelog"][0]["note"]) == ("LicenseRef-Proprietary", "first version")


def test_a_second_version_needs_no_owner_and_keeps_the_first(built: ProjectFolder) -> None:
    built.cases(sample_cases(12))
    assert build(built, "2").out.startswith("shop@2: 12 cases, content ")
    assert [load(built.path / "sets/shop", version).table.num_rows for version in ("1", "2")] == [24, 12]
    done = build(built, "2", *NEW_CARD)
    assert done.code == 0
    assert "owner and contact stay as it says" in done.err


def test_the_folder_one_stands_in_gives_the_set_its_name(project: ProjectFolder) -> None:
    done = project.run("goldens", "build", "cases.jsonl", "--to", ".", "--version", "1", *NEW_CARD)
    assert done.out.startswith("project@1: 24 cases")


def test_a_new_card_needs_owner_and_contact(project: ProjectFolder) -> None:
    done = build(project, "1", "--owner", "shop team")
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert "sets/shop has no card yet: give --owner and --contact" in done.err
    assert not (project.path / "sets").exists()


@pytest.mark.parametrize(
    ("version", "text"),
    [("1", "version 1 exists with other content"), ("../2", "a version is a file name"), ("", "a version is a")],
)
def test_a_version_that_cannot_be_is_refused(built: ProjectFolder, version: str, text: str) -> None:
    built.cases(sample_cases(12))
    done = build(built, version)
    assert (done.code, done.out) == (ExitCode.GOLDEN_SET, "")
    assert text in done.err
    assert sorted(file.name for file in (built.path / "sets").rglob("*.*")) == ["1.parquet", "card.yaml"]


def test_cases_with_errors_are_all_named_and_not_built(project: ProjectFolder) -> None:
    cases = sample_cases(8)
    cases[3]["locale"] = "german"
    cases[4]["context"] = [{"id": "d", "text": ""}]
    project.cases(cases)
    done = build(project, "1", *NEW_CARD)
    assert (done.code, done.out) == (ExitCode.GOLDEN_SET, "")
    for text in ("`german` is not a language tag", "context[0]", "cases.jsonl: 2 errors in the cases"):
        assert text in done.err
    assert not (project.path / "sets").exists()


def test_a_source_that_is_missing_or_no_case_is_named(project: ProjectFolder) -> None:
    done = build(project, "1", *NEW_CARD, source="none.jsonl")
    assert (done.code, "none.jsonl: cannot read the file" in done.err) == (ExitCode.GOLDEN_SET, True)
    project.write("bad.jsonl", '{"id": "a", "input": "x"}\n{"id": "b"}\n')
    done = build(project, "1", *NEW_CARD, source="bad.jsonl")
    assert "bad.jsonl:2: the key `input` is missing" in done.err


# ── validate ────────────────────────────────────────────────────────────────────────────


def test_validate_checks_all_sets_of_the_project(project: ProjectFolder) -> None:
    project.cases(sample_cases(18))
    done = project.run("goldens", "validate")
    assert (done.code, done.out.splitlines()[-1]) == (0, "0 errors, 0 warnings, 3 notes")
    assert "intent=personal_data has 3 of at least 8 cases" in done.out
    assert done.err == f"shop: cases@working, 18 cases, content {load(project.path / 'cases.jsonl').digest[:12]}\n"


@pytest.mark.parametrize(
    ("option", "rules"), [("--near-duplicates", set()), ("--no-near-duplicates", {"near-duplicates"})]
)
def test_validate_says_where_near_duplicates_were_not_looked_for(
    project: ProjectFolder, option: str, rules: set[str]
) -> None:
    project.cases(sample_cases(18))
    done = project.run("goldens", "validate", option, "--format", "json")
    assert {found["rule"] for found in json.loads(done.out)} - {"thin-slice"} == rules


def flawed(project: ProjectFolder) -> list[dict[str, Any]]:
    """The project's cases with a warning and an error."""
    cases = sample_cases(18)
    cases[3]["intent"] = ""
    cases[4]["locale"] = "german"
    project.cases(cases)
    return cases


def test_findings_go_to_stdout_with_their_case_and_key(project: ProjectFolder) -> None:
    cases = flawed(project)
    done = project.run("goldens", "validate")
    assert done.code == ExitCode.GOLDEN_SET
    header, error, *_, last = done.out.splitlines()
    assert header.split() == ["level", "rule", "where", "finding"]
    assert error.split(maxsplit=4)[:4] == ["error", "locale", f"{cases[4]['id']}:", "locale"]
    assert last.startswith("1 error, 1 warning, ")


def test_findings_as_json_are_all_of_stdout(project: ProjectFolder) -> None:
    cases = flawed(project)
    done = project.run("goldens", "validate", "--format", "json")
    assert done.code == ExitCode.GOLDEN_SET
    assert json.loads(done.out)[0] == {
        "set": "shop",
        "level": "error",
        "rule": "locale",
        "message": "`german` is not a language tag such as de-DE",
        "case_id": cases[4]["id"],
        "key": "locale",
    }
    assert done.err.startswith("shop: ")


@pytest.mark.parametrize(("options", "code"), [((), ExitCode.PASS), (("--strict",), ExitCode.GOLDEN_SET)])
def test_warnings_fail_only_when_that_is_asked_for(
    project: ProjectFolder, options: tuple[str, ...], code: ExitCode
) -> None:
    cases = sample_cases(18)
    cases[3]["intent"] = ""
    project.cases(cases)
    done = project.run("goldens", "validate", *options)
    assert done.code == code
    assert "0 errors, 1 warning" in done.out


def test_several_sets_are_named_in_the_table(project: ProjectFolder) -> None:
    flawed(project)
    (project.path / "other.jsonl").write_bytes((project.path / "cases.jsonl").read_bytes())
    done = project.run("goldens", "validate", "cases.jsonl", "other.jsonl")
    assert done.out.splitlines()[0].split()[0] == "set"
    assert {line.split()[0] for line in done.out.splitlines()[1:-1]} == {"cases.jsonl", "other.jsonl"}
    assert "2 errors" in done.out


def test_a_set_of_no_workflow_is_checked_by_itself_and_that_is_said(built: ProjectFolder, tmp_path: Path) -> None:
    done = built.run("goldens", "validate", "cases.jsonl", "sets/shop")
    told = done.err.splitlines()
    assert (done.code, [line.endswith("without the tools and documents of a workflow") for line in told]) == (
        0,
        [False, True],
    )
    outside = ProjectFolder(tmp_path / "outside")
    outside.write("cases.jsonl", (built.path / "cases.jsonl").read_text(encoding="utf-8"))
    assert outside.run("goldens", "validate", "cases.jsonl").code == 0
    assert outside.run("goldens", "validate").code == ExitCode.CONFIG


def test_a_file_of_a_workflows_folder_is_checked_with_its_workflow(built: ProjectFolder) -> None:
    built.configure_workflow(golden_set="sets/shop")
    for path in ("sets/shop", "sets/shop/1.parquet"):
        done = built.run("goldens", "validate", path)
        assert (done.code, "without the tools" in done.err) == (0, False), path


def test_a_project_that_cannot_be_read_is_named_and_fails_unless_a_set_is(project: ProjectFolder) -> None:
    (project.path / "prompt.md").unlink()
    assert project.run("goldens", "validate").code not in (ExitCode.PASS, ExitCode.ERROR)
    done = project.run("goldens", "validate", "cases.jsonl")
    assert done.code == 0
    assert "its tools and documents are not checked" in done.err
    assert "prompt.md" in done.err


def test_an_overdue_refresh_is_a_warning(built: ProjectFolder) -> None:
    file = built.path / "sets/shop/card.yaml"
    card = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump({**card, "refresh_due": "2020-01-31"}), encoding="utf-8")
    done = built.run("goldens", "validate", "sets/shop", "--strict")
    assert done.code == ExitCode.GOLDEN_SET
    assert "a refresh was due on 2020-01-31; ask shop team" in done.out


# ── show ────────────────────────────────────────────────────────────────────────────────


def test_show_tells_what_a_set_holds(built: ProjectFolder) -> None:
    golden = load(built.path / "sets/shop")
    done = built.run("goldens", "show", "sets/shop")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"shop@1 · 24 cases · content {golden.digest}"
    assert lines[1].startswith("owner shop team <shop@example.com> · LicenseRef-Proprietary · refresh due ")
    assert lines[2].endswith(": first version")
    assert lines[3] == "critical 4 · with tool calls 0 · with documents 24 · conversations 0"
    assert "expected  answer 20, refuse 4" in lines
    assert "intent    delivery 12, returns 8, personal_data 4" in lines


def test_show_as_json_holds_the_same_figures(built: ProjectFolder) -> None:
    shown = json.loads(built.run("goldens", "show", "sets/shop", "--format", "json").out)
    assert (shown["name"], shown["version"], shown["cases"]) == ("shop", "1", 24)
    assert shown["digest"] == load(built.path / "sets/shop").digest
    assert (shown["critical"], shown["with_documents"], shown["card"]["owner"]) == (4, 24, "shop team")
    assert shown["counts"]["expected"] == {"answer": 20, "refuse": 4}


def test_show_counts_the_values_that_it_does_not_name(project: ProjectFolder) -> None:
    cases = sample_cases(24)
    for number, case in enumerate(cases):
        case["tags"] = [f"tag-{number}"]
    project.cases(cases)
    last = project.run("goldens", "show", "cases.jsonl").out.splitlines()[-1]
    assert last.startswith("tags ")
    assert (last.count("tag-"), last.endswith(" and 4 more")) == (20, True)


def test_show_prints_one_case_as_json(built: ProjectFolder) -> None:
    wanted = sample_cases(24)[5]
    done = built.run("goldens", "show", "sets/shop", wanted["id"])
    shown = json.loads(done.out)
    assert (shown["id"], shown["input"], shown["critical"]) == (wanted["id"], wanted["input"], True)
    assert "\n" in done.out.strip()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("sets/shop", "adress-005"), "did you mean `address-005`?"),
        (("sets/shop", "absent"), "no case `absent` in shop@1"),
        (("sets/shop", "--version", "9"), "versions in the card: 1"),
        (("sets/none",), "no golden set here"),
    ],
)
def test_show_names_what_is_not_there(built: ProjectFolder, arguments: tuple[str, ...], text: str) -> None:
    done = built.run("goldens", "show", *arguments)
    assert (done.code, done.out) == (ExitCode.GOLDEN_SET, "")
    assert text in done.err


# ── diff ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def changed(built: ProjectFolder) -> ProjectFolder:
    """A second version: one case gone, one new, one changed."""
    cases = sample_cases(25)[1:]
    cases[0]["expect"] = {"facts": [["30 days", "thirty days"]]}
    built.cases(cases)
    assert build(built, "2").code == 0
    return built


def test_diff_names_what_is_new_gone_and_changed_with_both_values(changed: ProjectFolder) -> None:
    done = changed.run("goldens", "diff", "sets/shop", "sets/shop", "--before-version", "1")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "+ answer-024",
        "− answer-000",
        "~ answer-001",
        '    expect.facts: [["30 days"]] → [["30 days","thirty days"]]',
        "shop@1 → shop@2: 1 added, 1 removed, 1 changed, 22 unchanged",
    ]


def test_diff_as_json(changed: ProjectFolder) -> None:
    done = changed.run("goldens", "diff", "sets/shop", "sets/shop", "--before-version", "1", "--format", "json")
    assert json.loads(done.out) == {
        "before": "shop@1",
        "after": "shop@2",
        "added": ["answer-024"],
        "removed": ["answer-000"],
        "changed": [{"case_id": "answer-001", "keys": ["expect.facts"]}],
        "unchanged": 22,
    }


def test_long_values_are_shown_where_they_begin_to_differ(built: ProjectFolder) -> None:
    cases = sample_cases(24)
    for text, version in (("old", "2"), ("new", "3")):
        cases[0]["notes"] = "word " * 100 + text
        built.cases(cases)
        build(built, version)
    done = built.run("goldens", "diff", "sets/shop", "sets/shop", "--before-version", "2")
    line = done.out.splitlines()[1]
    assert line.endswith('word old" → …word word word word new"'), line
    assert len(line) < 160


def test_equal_sets_differ_in_nothing_whatever_they_are_kept_in(built: ProjectFolder) -> None:
    done = built.run("goldens", "diff", "sets/shop", "cases.jsonl")
    assert done.code == 0
    assert done.out == "shop@1 → cases@working: 0 added, 0 removed, 0 changed, 24 unchanged\n"


def test_diff_of_a_missing_version_is_refused(built: ProjectFolder) -> None:
    done = built.run("goldens", "diff", "sets/shop", "sets/shop", "--before-version", "0")
    assert (done.code, done.out) == (ExitCode.GOLDEN_SET, "")
    assert "no version `0`" in done.err


# ── import and export ───────────────────────────────────────────────────────────────────

CSV = 'question,answer,language\n"Within how many days?",30 days,en\n"Is delivery free?",no,en\n'


def test_import_prints_cases_on_stdout_and_notes_on_stderr(project: ProjectFolder) -> None:
    project.write("old.csv", CSV)
    done = project.run("goldens", "import", "old.csv")
    assert done.code == 0
    cases = [json.loads(line) for line in done.out.splitlines()]
    assert sorted(case["input"] for case in cases) == ["Is delivery free?", "Within how many days?"]
    assert done.err.startswith("note: 2 cases have a reference answer but no facts")
    project.write("cases.jsonl", done.out)
    assert project.run("goldens", "validate").code == 0


def test_import_builds_a_set_where_that_is_asked_for(project: ProjectFolder) -> None:
    project.write("old.csv", CSV)
    done = project.run("goldens", "import", "old.csv", "--to", "sets/old", *NEW_CARD)
    assert done.out.startswith("old@imported: 2 cases, content ")
    golden = load(project.path / "sets/old")
    assert golden.card is not None
    assert golden.card.changelog[0].note == "imported from old.csv"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("old.csv", "--from", "xlsx"), ExitCode.GOLDEN_SET, "no such format"),
        (("old.csv", "--from", "promptfoo"), ExitCode.GOLDEN_SET, "no tests here"),
        (("none.csv",), ExitCode.GOLDEN_SET, "cannot read the file"),
        (("old.csv", "--to", "sets/old"), ExitCode.USAGE, "give --owner and --contact"),
        ((), ExitCode.USAGE, "Missing argument 'SOURCE'"),
    ],
)
def test_an_import_that_cannot_be_prints_no_case(
    project: ProjectFolder, arguments: tuple[str, ...], code: ExitCode, text: str
) -> None:
    project.write("old.csv", CSV)
    done = project.run("goldens", "import", *arguments)
    assert (done.code, done.out) == (code, "")
    assert text in done.err
    assert not (project.path / "sets").exists()


def test_export_to_stdout_and_to_a_file_is_the_same(built: ProjectFolder) -> None:
    printed = built.run("goldens", "export", "sets/shop")
    written = built.run("goldens", "export", "sets/shop", "-o", "out/edit.jsonl")
    assert (printed.code, printed.err) == (0, "")
    assert (written.code, written.out, written.err) == (0, "", "wrote out/edit.jsonl\n")
    assert (built.path / "out/edit.jsonl").read_text(encoding="utf-8") == printed.out
    assert [json.loads(line)["id"] for line in printed.out.splitlines()] == sorted(
        case["id"] for case in sample_cases(24)
    )


def test_export_takes_the_version_asked_for(changed: ProjectFolder) -> None:
    assert "answer-000" in changed.run("goldens", "export", "sets/shop", "--version", "1").out
    assert "answer-000" not in changed.run("goldens", "export", "sets/shop").out
    assert changed.run("goldens", "export", "sets/shop", "--version", "0").code == ExitCode.GOLDEN_SET


@pytest.mark.parametrize("name", NAMES)
def test_parquet_to_json_lines_to_parquet_keeps_the_content(name: str, tmp_path: Path) -> None:
    project = ProjectFolder(tmp_path)
    committed = load(ROOT / "goldensets" / name)
    assert project.run("goldens", "export", str(ROOT / "goldensets" / name), "-o", "edit.jsonl").code == 0
    done = project.run("goldens", "build", "edit.jsonl", "--to", name, "--version", committed.version, *NEW_CARD)
    assert done.out == f"{name}@{committed.version}: {committed.ref.cases} cases, content {committed.digest}\n"
    again = load(tmp_path / name)
    assert again.ref == committed.ref
    assert again.cases == committed.cases
    rebuilt = pq.read_table(tmp_path / name / f"{committed.version}.parquet").to_pylist()
    # the committed file is from before cases could say what the answer must match
    assert [row["expect"].pop("match") for row in rebuilt] == [None] * len(rebuilt)
    assert rebuilt == pq.read_table(ROOT / "goldensets" / name / f"{committed.version}.parquet").to_pylist()


# ── hostile text ────────────────────────────────────────────────────────────────────────


@pytest.fixture
def hostile(project: ProjectFolder) -> ProjectFolder:
    """Golden sets whose texts, ids, names and keys would move a terminal's cursor or command a CI log."""
    cases = sample_cases(24)
    for case in cases[:2]:
        case |= {"id": case["id"] + HOSTILE, "input": case["input"] + HOSTILE, "intent": HOSTILE, "locale": HOSTILE}
        case |= {"tags": [HOSTILE], "slices": {HOSTILE: HOSTILE}, "variables": {HOSTILE: case["id"]}}
    project.cases(cases)
    cases[0]["variables"] = {HOSTILE: 2}
    project.write("other.jsonl", "".join(json.dumps(case) + "\n" for case in cases[1:] + sample_cases(25)[-1:]))
    project.write("one.jsonl", json.dumps(cases[0]) + "\n")
    project.write("old.csv", f'id,input,critical,"{HOSTILE}"\nx,"{HOSTILE}",no,{"t" * 200}\n')
    return project


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "cases.jsonl"),
        ("show", "cases.jsonl", "--format", "json"),
        ("show", "cases.jsonl", "answer-000" + HOSTILE),
        ("show", "cases.jsonl", "answer-00" + HOSTILE),
        ("validate",),
        ("validate", "cases.jsonl", "other.jsonl"),
        ("validate", "--format", "json"),
        ("diff", "cases.jsonl", "other.jsonl"),
        ("diff", "cases.jsonl", "one.jsonl"),
        ("diff", "cases.jsonl", "other.jsonl", "--format", "json"),
        ("build", "cases.jsonl", "--to", "sets/shop", "--version", "1", *NEW_CARD),
        ("export", "cases.jsonl"),
        ("import", "cases.jsonl"),
        ("import", "old.csv"),
    ],
    ids=lambda arguments: " ".join(arguments[:1] + arguments[2:])[:30].encode("ascii", "replace").decode(),
)
def test_hostile_text_does_not_reach_the_terminal_raw(hostile: ProjectFolder, arguments: tuple[str, ...]) -> None:
    done = hostile.run("goldens", *arguments)
    assert done.code != ExitCode.ERROR
    assert any(part in done.out + done.err for part in ("⟦U+001B⟧", r"\u001b")), done
    assert safe(done), done


def test_a_case_with_hostile_text_comes_back_from_what_is_shown(hostile: ProjectFolder) -> None:
    golden = load(hostile.path / "cases.jsonl")
    exported = hostile.run("goldens", "export", "cases.jsonl").out
    assert exported == dump_jsonl(golden.cases)
    hostile.write("again.jsonl", exported)
    assert load(hostile.path / "again.jsonl").digest == golden.digest
