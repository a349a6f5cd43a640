"""The published JSON Schemas say what the files are: they take every file of this repository and no misspelled key."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from evalkit import codec
from evalkit.cli.schema import SCHEMAS, schema_of
from evalkit.goldens import case_to_json, load
from evalkit.store import Runs
from tests.conftest import ProjectFolder
from tests.store.conftest import Judged

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "evalkit/cli/templates/init"
FILES = [
    ("project", ROOT / "evalkit.yaml"),
    ("project", TEMPLATE / "evalkit.yaml"),
    *(("workflow", path) for path in sorted(ROOT.glob("workflows/*/workflow.yaml"))),
    *(("routes", path) for path in sorted(ROOT.glob("workflows/*/routes.yaml"))),
    *(("policies", path) for path in sorted(ROOT.glob("workflows/*/policies/*.yaml"))),
    *(("card", path) for path in sorted(ROOT.glob("goldensets/*/card.yaml"))),
]
SETS = sorted(path.parent for path in ROOT.glob("goldensets/*/card.yaml"))
OPEN = {"params", "facts", "models", "prompts", "workflows"}
"""Objects whose keys are the user's own."""


def read(path: Path) -> Any:
    """A YAML file as an editor hands it to a JSON Schema: dates are text."""
    return json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), default=str))


def objects(data: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Paths of all objects in a value."""
    if isinstance(data, dict):
        yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from objects(value, *path, key)


def with_key(data: Any, path: tuple[str | int, ...], key: str) -> Any:
    """A copy with one more key in the object at a path."""
    changed = copy.deepcopy(data)
    place = changed
    for step in path:
        place = place[step]
    place[key] = "x"
    return changed


def test_there_are_files_of_every_kind() -> None:
    assert {kind for kind, _ in FILES} == set(SCHEMAS) - {"gate", "case", "trace"}
    assert len(FILES) >= 20
    assert len(SETS) == 4


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_command_prints_a_schema_that_is_one(project: ProjectFolder, name: str) -> None:
    done = project.run("schema", name)
    assert (done.code, done.err) == (0, "")
    schema = json.loads(done.out)
    assert schema == schema_of(name)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("kind", "path"), FILES, ids=[str(path.relative_to(ROOT)) for _, path in FILES])
def test_every_committed_file_fits_and_no_misspelled_key_does(kind: str, path: Path) -> None:
    data, validator = read(path), Draft202012Validator(schema_of(kind))
    assert list(validator.iter_errors(data)) == []
    for place in objects(data):
        if place and place[-1] in OPEN:
            continue
        assert not validator.is_valid(with_key(data, place, "promt")), f"{place} takes a key that nothing reads"


@pytest.mark.parametrize("folder", SETS, ids=lambda path: path.name)
def test_every_case_of_the_golden_sets_fits_as_people_write_it(folder: Path) -> None:
    validator = Draft202012Validator(schema_of("case"))
    for case in load(folder).cases:
        assert list(validator.iter_errors(case_to_json(case))) == [], case.id
        assert validator.is_valid(codec.plain(case)), case.id


def test_the_cases_that_init_lays_down_fit() -> None:
    validator = Draft202012Validator(schema_of("case"))
    lines = (TEMPLATE / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines) if not validator.is_valid(json.loads(line))] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "a"},
        {"id": "a", "input": "x", "expect": {"behavior": "refuse"}},
        {"id": "a", "input": "x", "expect": {"behaviour": "refuses"}},
        {"id": "a", "input": [{"role": "user", "text": "x"}]},
        {"id": "a", "input": "x", "critcal": True},
        {"id": "a", "input": "x", "context": [{"id": "d"}]},
        {"id": "a", "input": "x", "risk": "huge"},
        {"id": "a", "input": "x", "expect": {"facts": [7]}},
    ],
    ids=json.dumps,
)
def test_a_wrong_case_is_refused_by_the_schema_as_by_evalkit(project: ProjectFolder, wrong: dict[str, Any]) -> None:
    assert not Draft202012Validator(schema_of("case")).is_valid(wrong)
    project.cases([wrong])
    assert project.run("plan").code == 11


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("grader", ["refusal"]),
        ("golden_sets", "x"),
        ("gate", {"margins": "5pt"}),
        ("gate", {"rules": [{"grade": "x"}]}),
    ],
)
def test_a_misspelled_key_of_an_inline_workflow_is_refused_by_both(
    project: ProjectFolder, key: str, value: Any
) -> None:
    validator = Draft202012Validator(schema_of("project"))
    file = project.path / "evalkit.yaml"
    assert list(validator.iter_errors(read(file))) == []
    project.configure_workflow(**{key: value})
    assert not validator.is_valid(read(file))
    assert project.run("plan").code == 10


def test_a_workflow_is_a_folder_or_its_keys() -> None:
    validator = Draft202012Validator(schema_of("project"))
    assert validator.is_valid({"workflows": {"a": "workflows/a"}})
    assert not validator.is_valid({"workflows": {}})
    assert not validator.is_valid({"workflows": {"a": 7}})
    assert not validator.is_valid({})


def test_a_gate_is_refused_with_a_unit_that_is_none() -> None:
    validator = Draft202012Validator(schema_of("gate"))
    assert validator.is_valid({"margin": "5pt", "critical": 0, "cost": "+10%", "p95": "8s"})
    for wrong in ({"margin": "five"}, {"p95": "8 parsecs"}, {"critical": -1}, {"rules": [{"max_drop": "3pt"}]}):
        assert not validator.is_valid(wrong), wrong


def test_a_stored_trace_fits(judged: Judged) -> None:
    validator = Draft202012Validator(schema_of("trace"))
    traces = list(Runs(judged.store).get("latest").traces())
    assert [trace.case_id for trace in traces if not validator.is_valid(codec.plain(trace))] == []
