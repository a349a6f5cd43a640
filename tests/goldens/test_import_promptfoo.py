"""promptfoo's tests become cases; nothing in them is run, rendered or fetched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.goldens import from_cases, validate
from evalkit.goldens.importers import import_cases
from evalkit.records import Document, Expectation, Message, Provenance
from tests.goldens.importing import lines, one, problem, write

SUITE = """
description: a suite
prompts: [file://prompt.txt]
providers: [openai:gpt-4.1-mini]
assertionTemplates:
  polite: {type: not-icontains, value: damn}
defaultTest:
  vars: &common {company: Acme, answer_style: short}
  metadata: {category: refund}
  assert:
    - {type: latency, threshold: 5000}
    - $ref: '#/assertionTemplates/polite'
tests:
  - description: the usual question
    vars: {<<: *common, question: 'May I send it back?', context: 30 days, answer_style: long}
    assert:
      - {type: equals, value: yes}
      - {type: icontains, value: 30 days}
      - {type: contains-all, value: [free, 7.0]}
      - {type: contains-any, value: 'refund, "money, back"'}
      - {type: not-contains-any, value: [never, no way]}
      - {type: llm-rubric, value: is polite}
      - {type: javascript, value: 'process.exit(1)'}
      - type: assert-set
        assert: [{type: contains, value: label}]
      - {type: assert-set, threshold: 0.5, assert: [{type: contains, value: maybe}]}
  - vars: {question: 'How do I pick a lock?'}
    threshold: 0.5
    metadata: {id: lock, category: safety, risk: high, critical: true, tags: [a, b]}
    options: {disableDefaultAsserts: true}
    assert:
      - type: is-refusal
      - {type: llm-rubric, value: refuses}
      - {type: is-valid-openai-tools-call}
"""


def test_a_promptfoo_suite_becomes_cases(tmp_path: Path) -> None:
    cases, notes = import_cases(write(tmp_path, "promptfooconfig.yaml", SUITE))
    usual, lock = cases
    assert usual.input == (Message("user", "May I send it back?"),)
    assert usual.context == (Document("doc-1", "30 days"),)
    assert usual.variables == {"company": "Acme", "answer_style": "long"}
    assert (usual.notes, usual.intent) == ("the usual question", "refund")
    assert usual.expect == Expectation(
        facts=(("yes",), ("30 days",), ("free",), ("7",), ("refund", "money, back"), ("label",)),
        forbidden=("damn", "never", "no way"),
        answer="yes",
    )
    assert lock.expect == Expectation("refuse")
    assert (lock.id, lock.intent, lock.risk, lock.critical, lock.tags) == ("lock", "safety", "high", True, ("a", "b"))
    for note in (
        "2 assertions of type llm-rubric were not taken over",
        "1 assertion of type javascript was not taken over",
        "1 assertion of type latency was not taken over",
        "1 assertion of type assert-set was not taken over",
        "1 assertion of type is-valid-openai-tools-call was not taken over",
        "the threshold of 1 test was not taken over: all that it expects must hold",
        "prompts and providers were not taken over: they belong to the workflow",
    ):
        assert note in notes
    assert not [finding for finding in validate(from_cases("s", "1", cases)) if finding.level == "error"]


@pytest.mark.parametrize("name", ["question", "query", "input", "message", "prompt", "user_input", "Question", "topic"])
def test_the_users_message_goes_by_several_names(tmp_path: Path, name: str) -> None:
    case = one(write(tmp_path, "tests.json", json.dumps([{"vars": {name: "hi", "documents": ["d"]}}])))
    assert (case.input[0].content, case.variables) == ("hi", {})
    assert case.context == (Document("doc-1", "d"),)


def test_the_forms_of_a_test_file_mean_the_same(tmp_path: Path) -> None:
    tests = [{"vars": {"input": "a"}, "assert": [{"type": "contains", "value": "x"}]}, {"vars": {"input": "b"}}]
    files = {
        "list.yaml": json.dumps(tests),
        "list.json": json.dumps(tests),
        "config.json": json.dumps({"tests": tests}),
        "tests.jsonl": lines(*tests),
    }
    found = []
    for name, content in files.items():
        cases, _ = import_cases(write(tmp_path, name, content))
        found.append([replace(case, provenance=Provenance()) for case in cases])
    assert found[0][0].expect.facts == (("x",),)
    assert all(cases == found[0] for cases in found)


def test_scalars_are_read_as_promptfoo_reads_them(tmp_path: Path) -> None:
    content = "- vars: {question: no, at: 12:30, day: 2026-03-01, code: 0123, rate: 1e3, flag: true, none: null}\n"
    case = one(write(tmp_path, "t.yaml", content))
    assert case.input[0].content == "no"
    assert case.variables == {
        "at": "12:30", "day": "2026-03-01", "code": "0123", "rate": 1000.0, "flag": True, "none": None,
    }  # fmt: skip


def test_lists_of_texts_among_the_vars_are_spread_out(tmp_path: Path) -> None:
    test = {"vars": {"question": ["a", "b"], "lang": ["de", "fr"], "n": [1, 2]}, "metadata": {"id": "x"}}
    cases, notes = import_cases(write(tmp_path, "t.json", json.dumps([test])))
    assert [(case.input[0].content, case.variables["lang"]) for case in cases] == [
        ("a", "de"), ("a", "fr"), ("b", "de"), ("b", "fr"),
    ]  # fmt: skip
    assert {tuple(case.variables["n"]) for case in cases} == {(1, 2)}
    assert len({case.id for case in cases}) == 4
    assert any("each combination" in note for note in notes)
    whole = {"vars": {"question": "a", "lang": ["de", "fr"]}, "options": {"disableVarExpansion": True}}
    assert one(write(tmp_path, "t.json", json.dumps([whole]))).variables == {"lang": ["de", "fr"]}


@pytest.mark.parametrize(
    ("assertion", "note"),
    [
        ({"type": "contains", "value": "{{expected}}"}, "the value is a template"),
        ({"type": "equals", "value": {"a": 1}}, "1 assertion of type equals was not taken over"),
        ({"type": "contains", "value": "x", "transform": "output.x"}, "the output is transformed first"),
        ({"type": "contains", "value": "x", "weight": 0}, "it never fails a test"),
        ({"type": "regex", "value": "x+"}, "1 assertion of type regex was not taken over"),
        ({"type": "not-contains-all", "value": ["x"]}, "1 assertion of type not-contains-all was not taken over"),
        ({"type": "python", "value": "file://check.py"}, "1 assertion of type python was not taken over"),
    ],
)
def test_an_assertion_that_cannot_be_kept_is_noted(tmp_path: Path, assertion: object, note: str) -> None:
    cases, notes = import_cases(
        write(tmp_path, "t.json", json.dumps([{"vars": {"question": "hi {{name}}"}, "assert": [assertion]}]))
    )
    assert cases[0].expect == Expectation()
    assert any(note in line for line in notes)
    assert any("holds a template" in line for line in notes)
    assert any("whatever it says" in line for line in notes)


ENDLESS = """assertionTemplates: {x: &x {type: assert-set, assert: [$ref: '#/assertionTemplates/x']}}
tests:
- {vars: {input: a}, assert: [*x]}
"""


@pytest.mark.parametrize(
    ("content", "line", "key", "message"),
    [
        ("tests: file://tests.csv\n", 1, "tests", "the tests stand elsewhere"),
        ("tests:\n  - vars: {input: a}\n  - file://more.yaml\n", 3, "tests[1]", "a test must stand here itself"),
        ("tests:\n  - {path: file://make.py, config: {}}\n", 2, "tests[0]", "a test must stand here itself"),
        ("prompts: [a]\n", None, "tests", "no tests here"),
        ("just text\n", None, "tests", "no tests here"),
        ("tests: []\n", None, None, "holds no cases"),
        ("tests:\n- vars: {input: a}\n- vars: {input: file://q.txt}\n", 3, "tests[1].vars.input", "another file"),
        ("tests:\n- vars: {input: a, c: [x, file://q.txt]}\n", 2, "tests[0].vars.c", "another file"),
        ("tests:\n- vars: file://vars.yaml\n", 2, "tests[0].vars", "must be an object"),
        ("defaultTest: file://d.yaml\ntests: [{vars: {input: a}}]\n", 1, "defaultTest", "must be an object"),
        ("tests:\n- vars: {one: a, two: b}\n", 2, "tests[0].vars", "no var holds the user's message"),
        ("tests:\n- vars: {}\n", 2, "tests[0].vars", "no var holds the user's message"),
        ("tests:\n- vars: {input: {a: 1}}\n", 2, "tests[0].vars.input", "this must be a text"),
        ("tests:\n- vars: {input: ''}\n", 2, "tests[0].input[0]", "the message is empty"),
        ("- vars: {input: a}\n  assert: {type: equals}\n", 1, "tests[0].assert", "this must be a list"),
        ("- vars: {input: a}\n  assert: [equals]\n", 1, "tests[0].assert[0]", "an assertion is an object"),
        ("- vars: {input: a}\n  assert: [{value: x}]\n", 1, "tests[0].assert[0].type", "has no type"),
        ("- vars: {input: a}\n  assert: [{type: contains}]\n", 1, "tests[0].assert[0].value", "has no value"),
        ("- vars: {input: a}\n  assert: [{type: contains, value: file://x.txt}]\n", 1, "tests[0].assert[0].value",
         "another file"),
        ("- vars: {input: a}\n  assert: [{$ref: '#/assertionTemplates/x'}]\n", 1, "tests[0].assert[0].$ref",
         "no such assertion template"),
        ("- vars: {input: a}\n  assert: [{type: is-refusal}, {type: not-is-refusal}]\n", 1, "tests[0].assert",
         "both is-refusal and not-is-refusal"),
        (ENDLESS, 3, "tests[0].assert[0].assert[0]", "assertion sets in more than 5 levels"),
        ("- vars: {input: a}\n- vars: {input: a}\n", 2, "tests[1]", "asks the same as tests[0]"),
        ("- vars: {input: a}\n  metadata: {risk: p1}\n", 1, "tests[0].metadata.risk", "not one of the known values"),
        ("- vars: {input: a, input: b}\n", 1, "input", "the key occurs twice"),
        ("- vars: {input: a, 1: b}\n", 1, "[0].vars", "a key must be text"),
        ("- vars:\n    input: .nan\n", 2, "[0].vars.input", "NaN and infinity"),
        ("- vars: {input: !!binary YQ==}\n", 1, "[0].vars.input", "type bytes"),
        ('- vars: {input: "\\ud800"}\n', 1, "[0].vars.input", "lone surrogate"),
        ("- vars: {input: a\n", 2, None, "not valid YAML"),
        ("- &a [*a]\n", 1, "[0][0]", "nested deeper"),
        ("[" * 3000, None, None, "nested deeper"),
        ("- vars: {input: a, n: !!int x}\n", None, None, "not valid YAML"),
        ("---\na: 1\n---\nb: 1\n", 3, None, "not valid YAML"),
        ("- vars: {input: \x01}\n", None, None, "not valid YAML"),
        ("# nothing\n", None, None, "the file is empty"),
    ],
)  # fmt: skip
def test_a_bad_suite_is_refused_and_the_error_says_where(
    tmp_path: Path, content: str, line: int | None, key: str | None, message: str
) -> None:
    error = problem(write(tmp_path, "t.yaml", content))
    assert message in error.message
    assert error.line == line
    assert (error.key or "").startswith(key or "")


def test_yaml_cannot_make_objects(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    attack = f"- vars:\n    input: !!python/object/apply:os.system ['touch {mark}']\n"
    error = problem(write(tmp_path, "t.yaml", attack))
    assert "could not determine a constructor" in error.message
    assert error.line == 2
    assert not mark.exists()


def test_yaml_that_grows_without_end_is_refused(tmp_path: Path) -> None:
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "values" in problem(write(tmp_path, "t.yaml", "\n".join(layers))).message


def test_lists_that_multiply_without_measure_are_refused(tmp_path: Path) -> None:
    test = {"vars": {"input": [f"q{n}" for n in range(200)], "other": [f"o{n}" for n in range(200)]}}
    assert "40,000 cases" in problem(write(tmp_path, "t.json", json.dumps([test]))).message
