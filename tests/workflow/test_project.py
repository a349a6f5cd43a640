"""evalkit.yaml and workflow.yaml: both forms, defaults, where files are looked for, the environment."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from evalkit.errors import ConfigError, ExitCode, UsageError
from evalkit.workflow import find_project, load_project, load_workflow

from .world import TOOLS, Make, one_file, write_files

FOLDER_FORM = {
    "evalkit.yaml": """
        workflows:
          a: flows/a
          b: flows/b/own-name.yaml
        graders: [refusal, {use: answer, params: {threshold: 0.5}}]
        gate: {margin: 3pt}
        """,
    "flows/a/workflow.yaml": """
        golden_set: ../../cases/a
        prompts: {short: prompts/short.md, long: {system: prompts/long.md, user: prompts/user.md}}
        models: {cheap: "fake:m-1", dear: {model: "other:org/m:2", params: {temperature: 0}}}
        routes: routes.yaml
        tools: tools
        policies: rules.yaml
        graders: [cost]
        gate: gate.yaml
        """,
    "flows/a/prompts/short.md": "Be brief.",
    "flows/a/prompts/long.md": "Be thorough.",
    "flows/a/prompts/user.md": "Q: {{ question }}",
    "flows/a/routes.yaml": """
        routes: {small: {model: cheap, prompt: short}, large: {model: dear, prompt: long}}
        default: small
        escalate: [{id: cut, from: small, when: {finish_reason: length}, to: large}]
        """,
    "flows/a/tools/money.json": TOOLS,
    "flows/a/tools/notes.txt": "not a tool",
    "flows/a/rules.yaml": "rules: []",
    "flows/a/gate.yaml": "margin: 7pt",
    "flows/b/own-name.yaml": "{golden_set: cases.jsonl, prompt: prompt.md, model: 'fake:m-1'}",
    "flows/b/prompt.md": "Be brief.",
}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    write_files(tmp_path, {name: textwrap.dedent(text).strip("\n") for name, text in FOLDER_FORM.items()})
    return tmp_path


def test_three_keys_are_a_workflow(make: Make, tmp_path: Path) -> None:
    workflow = make()
    assert workflow.name == "w"
    assert workflow.file == tmp_path / "evalkit.yaml"
    assert workflow.golden_path == tmp_path / "cases.jsonl"
    assert list(workflow.prompts) == ["answer"]
    assert workflow.prompts["answer"].system.source == "Be brief."
    assert workflow.model_of("default").model == "fake:m-1"
    assert (workflow.routes.default, list(workflow.routes.routes)) == ("default", ["default"])
    assert (workflow.spec.tool_calls, workflow.spec.max_steps, workflow.spec.trials) == ("native", 6, 1)
    assert (workflow.graders, workflow.tools, workflow.corpus) == ((), (), None)
    assert (workflow.gate.margin, workflow.gate.critical, workflow.gate.alpha) == (0.05, 0, 0.05)


def test_paths_of_a_folder_are_relative_to_its_workflow_file(folders: Path) -> None:
    workflow = load_workflow(load_project(folders), "a")
    assert workflow.golden_path.resolve() == folders / "cases" / "a"
    assert set(workflow.prompts) == {"short", "long"}
    long = workflow.prompts["long"]
    assert long.user is not None
    assert (long.system.source, long.user.source) == ("Be thorough.", "Q: {{ question }}")
    assert workflow.model_of("small").model == "fake:m-1"
    assert (workflow.model_of("large").provider, workflow.model_of("large").name) == ("other", "org/m:2")
    assert [tool.name for tool in workflow.tools] == ["refund", "lookup"]
    assert [grader.use for grader in workflow.graders] == ["cost"]
    assert workflow.gate.margin == pytest.approx(0.07)
    assert workflow.routes.escalate[0].from_ == ("small",)


def test_component_paths_are_seen_from_the_root(folders: Path) -> None:
    workflow = load_workflow(load_project(folders), "a")
    paths = {part.key: part.path for part in workflow.configuration.components}
    assert paths["prompt:long"] == "flows/a/prompts/long.md"
    assert paths["routes:table"] == "flows/a/routes.yaml"
    assert paths["tool:refund"] == "flows/a/tools"
    assert paths["policies:rules"] == "flows/a/rules.yaml"


def test_a_workflow_can_be_a_file_of_any_name_and_takes_the_graders_and_gate_of_the_project(folders: Path) -> None:
    workflow = load_workflow(load_project(folders), "b")
    assert workflow.file == folders / "flows" / "b" / "own-name.yaml"
    assert [(grader.use, grader.params) for grader in workflow.graders] == [
        ("refusal", {}),
        ("answer", {"threshold": 0.5}),
    ]
    assert workflow.gate.margin == pytest.approx(0.03)


def test_both_forms_of_the_same_workflow_are_the_same_configuration(make: Make, folders: Path) -> None:
    in_folder = load_workflow(load_project(folders), "b").configuration
    in_one_file = make().configuration
    assert in_folder.fingerprint == in_one_file.fingerprint
    assert (in_folder.workflow, in_one_file.workflow) == ("b", "w")


def test_an_empty_list_of_graders_is_not_the_default(make: Make) -> None:
    assert make("graders: []", project="graders: [refusal]").graders == ()
    assert [grader.use for grader in make(project="graders: [refusal]").graders] == ["refusal"]


def test_the_project_is_found_from_below_and_by_its_file(folders: Path) -> None:
    assert find_project(folders / "flows" / "a" / "prompts") == folders / "evalkit.yaml"
    assert find_project(folders / "evalkit.yaml") == folders / "evalkit.yaml"
    assert load_project(folders / "flows").root == folders


def test_the_nearest_project_wins(folders: Path) -> None:
    inner = folders / "flows" / "a"
    write_files(inner, {"evalkit.yaml": "workflows: {only: ../b/own-name.yaml}"})
    assert load_project(inner).names() == ("only",)


def test_no_project_anywhere_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_project(tmp_path)
    assert caught.value.exit_code is ExitCode.CONFIG
    assert caught.value.file == str(tmp_path.resolve())
    assert "no evalkit.yaml here or above" in str(caught.value)
    assert "evalkit init" in str(caught.value)


def test_names_are_the_wanted_ones_or_all_in_order(folders: Path) -> None:
    project = load_project(folders)
    assert project.names() == ("a", "b")
    assert project.names(("b",)) == ("b",)
    with pytest.raises(UsageError) as caught:
        project.names(("b", "c"))
    assert caught.value.exit_code is ExitCode.USAGE
    assert "no workflow `c`" in str(caught.value)
    assert "workflows here: a, b" in str(caught.value)


def test_loading_a_workflow_that_is_not_there_says_so(make: Make, tmp_path: Path) -> None:
    make()
    with pytest.raises((ConfigError, UsageError), match="no workflow `other`"):
        load_workflow(load_project(tmp_path), "other")


def test_addresses_come_from_the_environment_and_keys_are_only_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_OF_TEST", "example.org")
    monkeypatch.setenv("KEY_OF_TEST", "sk-hidden")
    monkeypatch.delenv("PORT_OF_TEST", raising=False)
    providers = """
        providers:
          near: {kind: openai, base_url: "http://${HOST_OF_TEST}:${PORT_OF_TEST:-8377}/v1", api_key_env: KEY_OF_TEST}
        """
    spec = load_project(one_file(tmp_path, project=providers)).spec
    assert spec.providers["near"].base_url == "http://example.org:8377/v1"
    assert spec.providers["near"].api_key_env == "KEY_OF_TEST"
    assert "sk-hidden" not in repr(spec)


def test_a_variable_that_is_set_wins_over_its_default_even_when_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_file(tmp_path, project='providers: {near: {kind: openai, base_url: "http://h${SUFFIX_OF_TEST:-/v1}"}}')
    monkeypatch.setenv("SUFFIX_OF_TEST", "/v2")
    assert load_project(tmp_path).spec.providers["near"].base_url == "http://h/v2"
    monkeypatch.setenv("SUFFIX_OF_TEST", "")
    assert load_project(tmp_path).spec.providers["near"].base_url == "http://h"


def test_defaults_of_the_project(tmp_path: Path) -> None:
    project = load_project(one_file(tmp_path))
    assert project.store == tmp_path / ".evalkit"
    assert project.reports == tmp_path / "reports" / "out"
    assert (project.spec.baseline.name, project.spec.baseline.branch, project.spec.concurrency) == ("main", "main", 16)
    assert project.spec.redaction.personal_data is True
    assert project.spec.providers == {}


def test_paths_outside_the_project_stay_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    project = load_project(one_file(root))
    assert project.relative(root / "a" / ".." / "b.md") == Path("b.md")
    assert project.relative(tmp_path / "elsewhere.md") == tmp_path / "elsewhere.md"


@pytest.mark.parametrize("text", ["workflows: {w: w}\n", "\ufeffworkflows: {w: w}\n", "---\nworkflows:\n  w: &x w\n"])
def test_the_spellings_of_yaml_are_the_same_to_us(tmp_path: Path, text: str) -> None:
    write_files(tmp_path, {"evalkit.yaml": text})
    assert load_project(tmp_path).spec.workflows == {"w": "w"}


def test_a_merged_mapping_is_not_a_key_twice(tmp_path: Path) -> None:
    text = "workflows:\n  a: &base {golden_set: g, prompt: p.md, model: 'fake:m'}\n  b: {<<: *base, model: 'fake:n'}\n"
    write_files(tmp_path, {"evalkit.yaml": text, "p.md": "x"})
    project = load_project(tmp_path)
    assert [load_workflow(project, name).model_of("default").name for name in ("a", "b")] == ["m", "n"]
