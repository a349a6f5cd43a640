"""Texts that want to be more than text, and verdicts full of them."""

from __future__ import annotations

from dataclasses import replace

from evalkit.gate import Verdict
from evalkit.gate.report import Report, renderer
from evalkit.records import GoldenSetRef

__all__ = ["PAYLOADS", "poisoned", "rendered"]

PAYLOADS = {
    "script": "</script><script>window.PWNED=1</script>",
    "comment": "<!--<script>window.PWNED=1",
    "image": "<img src=http://example.com/x.png onerror=window.PWNED=1>",
    "svg": "<svg onload=window.PWNED=1>",
    "attribute": '"\' autofocus onfocus=window.PWNED=1 x="',
    "closers": "</textarea></style></title></details></table><iframe src=javascript:window.PWNED=1>",
    "template": "{{ 7*7 }}{% raw %}${7*7}",
    "link": "[a](javascript:window.PWNED=1) <http://example.com/a> http://example.com/b www.example.com x@example.com",
    "picture": "![x](http://example.com/x.png)",
    "mention": "@octocat @org/team closes #1 fixes GH-12 org/repo#3 &#64;octocat &commat;octocat",
    "table": "a | b \\| c\n| d | e |\n|---|---|",
    "markdown": "\n\n# heading\n\n- item\n\n> quote\n\n---\n**bold** _em_ ~~gone~~",
    "fence": "```\n~~~~\n`````\n</details>\n# out",
    "details": "\n\n</details>\n\n<h1>out</h1>\n\n",
    "terminal": "\x1b[2J\x1b]8;;http://example.com\x07x\x1b]8;;\x07\x9b31m\x08\x7f",
    "commands": "::error::x\n::set-output name=a::b\n##[error]x ##[group]y",
    "direction": "abc\u202egpj.exe\u2066\u200f\u061c",
    "invisible": "a\u200bb\ufeffc\u00add\u2060e\x00f",
    "lines": "a\u2028b\u2029c\x85d\x0be\x0cf\rg",
    "surrogate": "a\ud800b\udfffc",
    "stacked": "a" + "\u0301" * 200,
    "formula": "=cmd|'/c calc'!A1",
    "path": "../../etc/passwd#case=1&x=%2f",
    "wide": "x" * 5_000,
    "emoji": "👩\u200d👩\u200d👧 مرحبا 漢字 ｆｕｌｌ",
}


def poisoned(verdict: Verdict, text: str) -> Verdict:
    """The verdict with this text wherever a model, a case, a grader, a file or a person can put one."""
    case_ids = {case.case_id: f"{case.case_id} {text}" for case in verdict.cases}
    cases = tuple(
        replace(
            case,
            case_id=case_ids[case.case_id],
            question=text,
            baseline_answer=f"before {text}",
            candidate_answer=f"now {text}",
            baseline_calls=(f"call({text})",),
            candidate_calls=(f"call({text!r})", text),
            route=text,
            baseline_route=text,
            slices={"intent": text, text: "x"},
            graders=tuple(
                replace(item, grader=f"{item.grader} {text}", label=text, evidence={"missing": [text], "error": text})
                for item in case.graders
            ),
        )
        for case in verdict.cases
    )
    rules = tuple(
        replace(
            rule,
            id=f"{rule.id} {text}",
            slice=text,
            sentence=f"{rule.sentence} {text}",
            method=text,
            sql=text,
            cases=tuple(case_ids.get(case_id, case_id) for case_id in rule.cases),
        )
        for rule in verdict.rules
    )
    changes = tuple(
        replace(change, name=text, path=text, diff=f"@@ -1 +1 @@\n-{text}\n+{text}\n {text}")
        for change in verdict.changes
    )
    slices = tuple(replace(item, key=text, value=text, grader=text) for item in verdict.slices)
    routes = tuple(replace(item, route=text) for item in verdict.routes)
    return replace(
        verdict,
        routes=routes,
        sentence=f"{verdict.sentence} {text}",
        notes=(text,),
        baseline_name=text,
        branch=text,
        commit=verdict.commit or "f00dfeedbeef",
        golden_set=GoldenSetRef(text, text, "d" * 64, 24),
        cases=cases,
        rules=rules,
        changes=changes,
        slices=slices,
    )


def rendered(form: str, *verdicts: Verdict, **fields: object) -> str:
    """A report in this form."""
    return renderer(form)(Report(tuple(verdicts), **fields))  # type: ignore[arg-type]
