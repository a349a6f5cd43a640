"""The configuration's fingerprint: what it must feel, and what it must not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.fingerprint import combine
from evalkit.workflow import Workflow

from .world import TOOLS, Make, changed_components

WORKFLOW = """\
description: Answers questions.
prompts:
  short: {system: prompts/short.md}
  long: {system: prompts/long.md, user: prompts/user.md}
models:
  small: {model: "fake:m-1", params: {temperature: 0}}
  large: {model: "fake:m-2"}
routes: routes.yaml
retrieval: {k: 4}
tools: tools.json
policies: rules.yaml
contract: {inputs: A question., allowed_tools: [refund, lookup]}
graders: [cost]
gate: {margin: 5pt}
"""
FILES = {
    "prompts/short.md": "Be brief.",
    "prompts/long.md": "Be thorough. {% include 'parts/rules.md' %}",
    "prompts/parts/rules.md": "Stay polite.",
    "prompts/user.md": "Q: {{ question }}",
    "routes.yaml": """\
classify: {intent: [{label: money, any: refund}]}
routes: {small: {model: small, prompt: short}, large: {model: large, prompt: long}}
default: small
rules: [{id: money-to-large, when: {intent: money}, route: large}]
""",
    "tools.json": TOOLS,
    "rules.yaml": """\
rules:
  - id: limit
    point: act
    tools: refund
    when: [{field: arguments.amount, op: gt, value: 100}]
    effect: deny
    message: Too much.
    tests:
      - {facts: {tool: refund, arguments.amount: 101}, applies: true}
      - {facts: {tool: refund, arguments.amount: 100}, applies: false}
""",
}


@dataclass(frozen=True)
class Edit:
    """A text replaced in a file; the components that must differ afterwards."""

    name: str
    file: str
    old: str
    new: str
    changes: set[str] = field(default_factory=set)


EDITS = [
    Edit("prompt", "prompts/short.md", "brief", "terse", {"prompt:short"}),
    Edit("white space of a prompt", "prompts/short.md", "Be brief.", "Be brief. ", {"prompt:short"}),
    Edit("user template", "prompts/user.md", "Q:", "Question:", {"prompt:long"}),
    Edit("included file", "prompts/parts/rules.md", "polite", "rude", {"prompt:long"}),
    Edit("model pin", "workflow", "fake:m-1", "fake:m-3", {"model:small"}),
    Edit("provider", "workflow", '"fake:m-1"', '"other:m-1"', {"model:small"}),
    Edit("parameter", "workflow", "temperature: 0", "temperature: 1", {"model:small"}),
    Edit("a number written otherwise", "workflow", "temperature: 0", "temperature: 0.0", {"model:small"}),
    Edit("a model more", "workflow", "routes: routes.yaml", '  huge: "fake:m-9"\nroutes: routes.yaml', {"model:huge"}),
    Edit("word of a classifier", "routes.yaml", "any: refund", "any: money", {"routes:table"}),
    Edit("name of a route rule", "routes.yaml", "money-to-large", "renamed", {"routes:table"}),
    Edit("default route", "routes.yaml", "default: small", "default: large", {"routes:table"}),
    Edit("number of documents", "workflow", "{k: 4}", "{k: 5}", {"retrieval:documents"}),
    Edit("words of a tool", "tools.json", '"name": "lookup"', '"name": "lookup", "description": "x"', {"tool:lookup"}),
    Edit("schema of a tool", "tools.json", '"required": ["amount"]', '"required": []', {"tool:refund"}),
    Edit("side effect of a tool", "tools.json", '"money"', '"write"', {"tool:refund"}),
    Edit("policy limit", "rules.yaml", "value: 100", "value: 100.5", {"policies:rules"}),
    Edit("policy message", "rules.yaml", "Too much.", "No.", {"policies:rules"}),
    Edit("policy effect", "rules.yaml", "effect: deny", "effect: needs_approval", {"policies:rules"}),
    Edit("promise", "workflow", "A question.", "A mail.", {"contract:contract"}),
    Edit("allowed tools", "workflow", "[refund, lookup]", "[lookup]", {"contract:contract"}),
    Edit("no tool allowed", "workflow", "[refund, lookup]", "[]", {"contract:contract"}),
    Edit("form of the calls", "workflow", "graders:", "tool_calls: json\ngraders:", {"contract:contract"}),
    Edit("steps", "workflow", "graders:", "max_steps: 7\ngraders:", {"contract:contract"}),
    # what follows is not part of what answers
    Edit("description", "workflow", "Answers questions.", "Answers all questions."),
    Edit("owner", "workflow", "graders:", "owner: somebody\ngraders:"),
    Edit("graders", "workflow", "[cost]", "[cost, latency]"),
    Edit("gate", "workflow", "5pt", "3pt"),
    Edit("budget", "workflow", "graders:", 'budget: {per_run: "$5"}\nslo: {p95: 8s}\ngraders:'),
    Edit("trials", "workflow", "graders:", "trials: 3\ngraders:"),
    Edit("canary", "workflow", "graders:", "canary: {share: 1%}\ngraders:"),
    Edit("golden set", "workflow", "graders:", "golden_version: 2.0.0\ngraders:"),
    Edit("a default written out", "workflow", "{k: 4}", "{source: case, k: 4, k1: 1.2, b: 0.75}"),
    Edit("another default written out", "workflow", "graders:", "max_steps: 6\ngraders:"),
    Edit("a default in the routes", "routes.yaml", "default: small", "default: small\nescalate: []"),
    Edit("comments and order", "routes.yaml", "default: small\n", "# why not\ndefault:   'small'\n"),
    Edit("a default of a tool", "tools.json", '"name": "lookup",', '"side_effect": "read", "name": "lookup",'),
    Edit("test of a policy", "rules.yaml", "arguments.amount: 101", "arguments.amount: 5000"),
    Edit("one policy as a list", "workflow", "policies: rules.yaml", "policies: [rules.yaml]"),
]  # fmt: skip


def build(make: Make, files: dict[str, str] | None = None, **more: Any) -> Workflow:
    given = {**FILES, **(files or {})}
    keys = given.pop("workflow", WORKFLOW)
    return make(keys, files=given, **more)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name.replace(" ", "-"))
def test_an_edit_changes_its_component_and_no_other(make: Make, edit: Edit) -> None:
    before = build(make)
    text = {**FILES, "workflow": WORKFLOW}[edit.file]
    assert edit.old in text
    after = build(make, {edit.file: text.replace(edit.old, edit.new, 1)})
    assert changed_components(before, after) == edit.changes
    same = before.configuration.fingerprint == after.configuration.fingerprint
    assert same is (not edit.changes)


def test_the_same_files_give_the_same_fingerprint_wherever_they_lie(make: Make, tmp_path: Path) -> None:
    before = build(make)
    moved = {name.replace("prompts/", "texts/"): text for name, text in FILES.items()}
    after = build(make, {**moved, "workflow": WORKFLOW.replace("prompts/", "texts/")})
    assert before.configuration.fingerprint == after.configuration.fingerprint
    assert [part.path for part in before.configuration.components] != [
        part.path for part in after.configuration.components
    ]


def test_the_configuration_is_the_sum_of_its_components(make: Make) -> None:
    configuration = build(make).configuration
    keys = [part.key for part in configuration.components]
    assert keys == sorted(keys)
    assert set(keys) == {
        "contract:contract", "model:large", "model:small", "policies:rules", "prompt:long", "prompt:short",
        "retrieval:documents", "routes:table", "tool:lookup", "tool:refund",
    }  # fmt: skip
    digests = [part.fingerprint for part in configuration.components]
    assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in digests)
    assert configuration.fingerprint == combine("configuration/1", zip(keys, digests, strict=True))


def test_a_component_shows_what_it_is(make: Make) -> None:
    contents = {part.key: part.content for part in build(make).configuration.components}
    assert contents["prompt:short"] == "Be brief."
    assert "Stay polite." in contents["prompt:long"]
    assert "Q: {{ question }}" in contents["prompt:long"]
    assert "temperature: 0" in contents["model:small"]
    assert "value: 100" in contents["policies:rules"]
    assert "applies" not in contents["policies:rules"]
    assert "- amount" in contents["tool:refund"]


def test_what_a_provider_is_belongs_to_the_model(make: Make) -> None:
    plain = build(make)
    local = build(make, identity=lambda name: {"kind": "openai", "base_url": f"http://{name}"})
    other = build(make, identity=lambda _: {"kind": "openai", "base_url": "http://elsewhere"})
    assert changed_components(plain, local) == {"model:small", "model:large"}
    assert changed_components(local, other) == {"model:small", "model:large"}


def test_one_prompt_and_one_model_have_a_short_and_a_long_form(make: Make) -> None:
    files = {"p.md": "x"}
    short = make("prompt: p.md\nmodel: 'fake:m'", files=files)
    long = make("prompts: {answer: {system: p.md}}\nmodels: {default: {model: 'fake:m', params: {}}}", files=files)
    assert short.configuration.fingerprint == long.configuration.fingerprint


@pytest.mark.parametrize(
    ("column", "value", "name"),
    [
        ("text", "14 days", "retrieval:documents"),
        ("title", "T", "retrieval:documents"),
        ("date", "2026-01-01", "retrieval:documents"),
        ("kind", "mail", "retrieval:documents"),
        ("tenant", "a", "retrieval:documents"),
        ("embedding", [1.0], None),
    ],
)
def test_a_document_of_the_corpus_is_part_of_the_retrieval(
    make: Make, tmp_path: Path, column: str, value: Any, name: str | None
) -> None:
    before = with_corpus(make, tmp_path, {})
    after = with_corpus(make, tmp_path, {column: value})
    assert changed_components(before, after) == ({name} if name else set())


@pytest.mark.parametrize(("column", "value"), [("roles", ["agent"]), ("trusted", False), ("tenant", "")])
def test_who_may_read_a_document_is_part_of_the_retrieval(make: Make, tmp_path: Path, column: str, value: Any) -> None:
    before = with_corpus(make, tmp_path, {})
    after = with_corpus(make, tmp_path, {column: value})
    assert changed_components(before, after) == {"retrieval:documents"}


def with_corpus(make: Make, folder: Path, change: dict[str, Any], *, backwards: bool = False) -> Workflow:
    rows: list[dict[str, Any]] = [{"id": "a", "text": "30 days", **change}, {"id": "b", "text": "free"}]
    rows = rows[::-1] if backwards else rows
    columns = {column: [row.get(column) for row in rows] for column in {"id", "text", *change}}
    pq.write_table(pa.table(columns), folder / "c.parquet")
    return make("retrieval: {source: corpus, corpus: c.parquet}")


def test_the_order_of_the_corpus_does_not_matter(make: Make, tmp_path: Path) -> None:
    forwards, backwards = with_corpus(make, tmp_path, {}), with_corpus(make, tmp_path, {}, backwards=True)
    assert forwards.configuration.fingerprint == backwards.configuration.fingerprint


def test_the_place_of_the_corpus_does_not_matter_but_its_search_does(make: Make, tmp_path: Path) -> None:
    first = with_corpus(make, tmp_path, {})
    (tmp_path / "c.parquet").rename(tmp_path / "moved.parquet")
    moved = make("retrieval: {source: corpus, corpus: moved.parquet}")
    assert changed_components(first, moved) == set()
    assert changed_components(moved, make("retrieval: {source: corpus, corpus: moved.parquet, b: 0.5}")) == {
        "retrieval:documents"
    }


def test_a_user_template_is_not_the_same_as_its_text_in_the_system_prompt(make: Make) -> None:
    apart = make("prompt: {system: s.md, user: u.md}", files={"s.md": "A", "u.md": "B"})
    together = make("prompt: s.md", files={"s.md": "A\n=== user ===\nB"})
    assert changed_components(apart, together) == {"prompt:answer"}


def test_two_tools_of_the_same_content_are_two_components(make: Make) -> None:
    tools = json.dumps([{"name": "a"}, {"name": "b"}])
    workflow = make("tools: t.json", files={"t.json": tools})
    digests = {part.key: part.fingerprint for part in workflow.configuration.components}
    assert digests["tool:a"] != digests["tool:b"]
