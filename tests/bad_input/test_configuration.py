"""Files that say what they must not: each is refused with file, key and fix, and its own exit code."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from evalkit.errors import ExitCode
from tests.conftest import Finished, ProjectFolder


def refused(done: Finished, code: ExitCode, *texts: str) -> None:
    """The command failed with this code, said all of this, and printed no result."""
    assert done.code == code, done.err
    for text in texts:
        assert text in done.err
    assert done.err.startswith("error: ")
    assert done.out == ""


def test_an_unknown_key_is_named_with_its_line_and_the_key_that_was_meant(project: ProjectFolder) -> None:
    project.edit("evalkit.yaml", "golden_set: cases.jsonl", "golden_sett: cases.jsonl")
    refused(
        project.run("run"), ExitCode.CONFIG, "evalkit.yaml:3", "unknown key `golden_sett`", "did you mean `golden_set`?"
    )


def test_yaml_that_does_not_parse_is_named_with_its_line(project: ProjectFolder) -> None:
    project.write("evalkit.yaml", "workflows:\n  shop: [\n")
    refused(project.run("run"), ExitCode.CONFIG, "evalkit.yaml:3", "not valid YAML")


def test_a_key_that_occurs_twice_is_refused(project: ProjectFolder) -> None:
    project.edit("evalkit.yaml", "    prompt: prompt.md\n", "    prompt: prompt.md\n    prompt: other.md\n")
    refused(project.run("run"), ExitCode.CONFIG, "occurs twice", "workflows.shop.prompt")


def test_no_project_here_says_how_to_make_one(project: ProjectFolder) -> None:
    (project.path / "evalkit.yaml").unlink()
    refused(project.run("run"), ExitCode.CONFIG, "no evalkit.yaml here or above", "evalkit init")


def test_a_prompt_with_an_undefined_variable_is_refused_before_any_call(project: ProjectFolder) -> None:
    project.edit("prompt.md", "You are a shop assistant.", "You are a shop assistant.\nToday is {{ todday }}.")
    refused(
        project.run("run"), ExitCode.PROMPT, "prompt.md:2", "undefined variable", "todday", "available here: documents"
    )
    assert not list((project.path / ".evalkit" / "runs").iterdir())


def test_a_prompt_that_does_not_parse_is_named_with_its_line(project: ProjectFolder) -> None:
    project.edit("prompt.md", "{% endfor %}", "")
    refused(project.run("run"), ExitCode.PROMPT, "prompt.md", "does not parse")


def test_a_missing_prompt_is_named(project: ProjectFolder) -> None:
    (project.path / "prompt.md").unlink()
    refused(project.run("run"), ExitCode.PROMPT, "evalkit.yaml:4", "no such file: prompt.md")


def test_a_tool_schema_that_is_not_json_schema_is_refused(project: ProjectFolder) -> None:
    tool = {"name": "find", "parameters": {"type": "object", "properties": {"q": {"type": "text"}}}}
    project.write("tools.json", json.dumps([tool]))
    project.configure_workflow(tools="tools.json")
    refused(project.run("run"), ExitCode.TOOL_SCHEMA, "tools.json", "find.parameters", "JSON Schema")


def test_a_policy_rule_that_fails_its_own_test_is_refused(project: ProjectFolder) -> None:
    project.write(
        "policies.yaml",
        "rules:\n"
        "  - id: limit\n"
        "    point: act\n"
        "    when: [{field: arguments.amount, op: gt, value: 100}]\n"
        "    effect: deny\n"
        "    tests:\n"
        "      - {facts: {arguments.amount: 100}, applies: true}\n"
        "      - {facts: {arguments.amount: 5}, applies: false}\n",
    )
    project.configure_workflow(policies=["policies.yaml"])
    refused(project.run("run"), ExitCode.CONFIG, "policies.yaml", "rule `limit` fails its test 1")


def test_a_model_without_a_price_is_an_error_and_not_free(project: ProjectFolder) -> None:
    project.configure(providers={"own": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}})
    project.configure_workflow(model="own:some-model")
    refused(project.run("run"), ExitCode.CONFIG, "no price for this model", "some-model", "prices:")


def test_a_key_that_is_not_in_the_environment_is_asked_for_by_name(project: ProjectFolder) -> None:
    project.configure(
        providers={"own": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "SHOP_KEY"}},
        prices=[{"model": "m", "input": 1, "output": 1}],
    )
    project.configure_workflow(model="own:m")
    refused(project.run("run"), ExitCode.CONFIG, "export SHOP_KEY=")


def test_a_key_in_the_file_is_refused(project: ProjectFolder) -> None:
    project.configure(providers={"own": {"kind": "openai", "base_url": "http://h/v1", "api_key_env": "sk-123-abc"}})
    refused(project.run("run"), ExitCode.CONFIG, "providers.own.api_key_env", "never the key itself")


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ("def broken(:\n", ("cannot be imported", "SyntaxError")),
        ("raise RuntimeError('no licence')\n", ("cannot be imported", "no licence")),
    ],
)
def test_a_grader_file_that_fails_to_import_is_named(
    project: ProjectFolder, source: str, texts: tuple[str, ...]
) -> None:
    project.write("graders/own.py", source)
    refused(project.run("run"), ExitCode.GRADER, "graders/own.py", *texts)


def test_an_unknown_grader_lists_the_known_ones(project: ProjectFolder) -> None:
    project.configure_workflow(graders=["refusal", "politeness"])
    refused(project.run("run"), ExitCode.GRADER, "no grader `politeness`", "graders here: answer, cost")


def test_a_wrong_grader_parameter_is_named(project: ProjectFolder) -> None:
    project.configure_workflow(graders=[{"use": "cost", "params": {"max_usd": "cheap"}}])
    refused(project.run("run"), ExitCode.GRADER, "graders.cost.params.max_usd", "cheap")


def test_a_grader_that_raises_makes_rows_and_an_error_verdict(project: ProjectFolder) -> None:
    project.write(
        "graders/own.py",
        "from dataclasses import dataclass\n"
        "from typing import ClassVar\n"
        "from evalkit import Grade, Grader\n"
        "@dataclass(frozen=True)\n"
        "class Own(Grader):\n"
        "    name: ClassVar[str] = 'own'\n"
        "    version: ClassVar[str] = '1'\n"
        "    def grade(self, case, trace):\n"
        "        if case.id == 'answer-003':\n"
        "            raise ZeroDivisionError('by nothing')\n"
        "        return Grade.check(True)\n",
    )
    project.configure_workflow(graders=["refusal", "own"])
    done = project.run("run", "--set-baseline", "main", "--format", "json")
    assert done.code == ExitCode.ERROR
    verdict = json.loads(done.out)["workflows"][0]
    assert verdict["verdict"] == "ERROR"
    assert "Graders failed: own on 1 case" in verdict["sentence"]
    shown = json.loads(project.run("show", verdict["candidate_run"], "answer-003", "--format", "json").out)
    row = next(score for score in shown["scores"] if score["grader"] == "own")
    assert row["status"] == "error"
    assert "ZeroDivisionError: by nothing" in row["evidence"]["error"]
    assert row["evidence"]["where"].endswith("own.py:10")


def test_a_workflow_without_a_prompt_is_refused(project: ProjectFolder) -> None:
    project.configure_workflow(prompt=None)
    refused(project.run("run"), ExitCode.CONFIG, "no prompt", "prompt: FILE")


def test_an_unset_variable_in_an_address_is_named(project: ProjectFolder) -> None:
    project.configure(providers={"own": {"kind": "openai", "base_url": "${SHOP_URL}/v1"}})
    refused(project.run("run"), ExitCode.CONFIG, "SHOP_URL is not set", "providers.own.base_url")


def test_every_exit_code_is_documented(make_project: Callable[..., ProjectFolder]) -> None:
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    for code in ExitCode:
        assert f"| {int(code)} | `{code.name}` |" in text
