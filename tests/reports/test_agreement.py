"""All five forms of a stored verdict say the same: verdict, rules, figures, cases."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import unescape
from xml.etree import ElementTree as ET

import pytest

from evalkit.errors import ExitCode
from evalkit.gate import Verdict
from evalkit.gate.report import renderers
from evalkit.gate.words import amount
from tests.conftest import lay_down
from tests.servers import Reply, chat_body, serve

from .conftest import latest
from .hostile import PAYLOADS, rendered

KINDS = ["BLOCKED", "INCONCLUSIVE", "NOT COMPARABLE", "ERROR"]
FORMS = ["html", "json", "junit", "markdown", "terminal"]


def flat(html: str) -> str:
    """The text of a page, cells separated by blanks."""
    body = html.partition("</style>")[2]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_there_are_five_forms_for_people_and_one_for_code_scanning() -> None:
    assert renderers() == sorted([*FORMS, "sarif"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_of_the_gate_is_the_same_in_all_forms(stored: Mapping[str, Verdict], kind: str) -> None:
    data = json.loads(rendered("json", stored[kind]))["workflows"][0]
    html, markdown = flat(rendered("html", stored[kind])), rendered("markdown", stored[kind])
    terminal = rendered("terminal", stored[kind], width=200)
    names = [test.get("name") for test in ET.fromstring(rendered("junit", stored[kind]).encode()).iter("testcase")]  # noqa: S314
    for rule in data["rules"]:
        figures = [amount(rule[key], rule["unit"]) for key in ("baseline", "candidate")]
        pattern = r"\W+".join([re.escape(rule["id"]), *map(re.escape, figures)])
        for form, text in (("html", html), ("markdown", markdown), ("terminal", terminal)):
            assert re.search(pattern, text), (form, rule["id"], figures)
        assert rule["id"] in names


@pytest.mark.parametrize("kind", KINDS)
def test_sentence_and_number_of_cases_are_the_same_in_all_forms(stored: Mapping[str, Verdict], kind: str) -> None:
    verdict = stored[kind]
    texts = {form: rendered(form, verdict) for form in FORMS}
    texts["html"] = flat(texts["html"])
    texts["json"] = json.dumps(json.loads(texts["json"]), ensure_ascii=False)
    texts["markdown"] = re.sub(r"\\|\u200b|\*\*", "", texts["markdown"])
    assert all(kind in text and verdict.sentence in unescape(text) for text in texts.values())
    headings = {
        form: re.findall(r"[Cc]ases (behind the block|with errors|that got worse) \((\d+)\)", texts[form])
        for form in ("html", "markdown", "terminal")
    }
    assert len({tuple(found) for found in headings.values()}) == 1, headings


def test_hostile_ids_answers_and_file_names_of_a_real_run_reach_every_form_as_text(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project = lay_down(tmp_path_factory.mktemp("hostile"))
    payload = " ".join(
        PAYLOADS[name] for name in ("script", "image", "mention", "terminal", "commands", "direction", "fence")
    )
    lines = project.path.joinpath("cases.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [json.loads(line) for line in lines]
    cases[0]["id"] = "<b>@octocat|`x`"
    cases[0]["intent"] = "<i>slice|"
    project.cases(cases)
    project.write("p'<b>@x.md", project.path.joinpath("prompt.md").read_text(encoding="utf-8"))
    project.configure_workflow(prompt="p'<b>@x.md")
    project.run("run", "--set-baseline", "main", "--no-report")
    with serve(lambda _: Reply(chat_body(payload))) as (address, _):
        project.configure(
            providers={"own": {"kind": "openai", "base_url": address, "attempts": 2}},
            prices=[{"model": "served-1", "input": 1, "output": 1}],
        )
        project.configure_workflow(model="own:served-1")
        done = project.run("run", "--report", "out.html", "--junit", "out.xml")
    assert done.code == ExitCode.BLOCKED, done.err
    verdict = latest(project)
    assert "<b>@octocat|`x`" in {case.case_id for case in verdict.cases}
    html = project.path.joinpath("out.html").read_text(encoding="utf-8")
    assert "<b>@" not in html
    own = re.findall(r'<script(?:| type="application/octet-stream" id="w0-[a-z]+\d*")>', html)
    assert html.count("<script") == len(own)
    assert own.count("<script>") == 1
    assert html.count("<img") == 0
    ET.parse(project.path / "out.xml")  # noqa: S314 - written by the command under test
    for form in ("terminal", "markdown"):
        shown = rendered(form, verdict)
        assert "\x1b" not in shown
        assert "##[" not in shown
    assert json.loads(rendered("json", verdict))["workflows"][0]["cases"][0]["candidate_answer"] == payload
