"""The data of the explorer as bytes: whole, the same every time, of bounded size, complete about what is left out."""

from __future__ import annotations

import base64
import json
import re
import zlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from evalkit.gate.report import Report, renderer
from evalkit_reports.blocks import LineStore, pack
from evalkit_reports.explorer import explore

from .conftest import Explored

TEXTS = st.lists(st.text(alphabet=st.characters(codec="utf-8")))


def unpacked(text: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(text)))


@given(TEXTS)
def test_texts_come_back_from_their_lines(texts: list[str]) -> None:
    store = LineStore()
    found = [store.add(text)["l"] for text in texts]
    lines = [line for block in store.finish() for line in unpacked(block)]
    assert len(set(lines)) == len(lines), "each line is kept once"
    for text, runs in zip(texts, found, strict=True):
        mine = [
            line for first, count in zip(runs[::2], runs[1::2], strict=True) for line in lines[first : first + count]
        ]
        assert "\n".join(mine) == text


@given(st.text())
def test_any_text_can_be_packed_and_has_no_sign_that_html_minds(text: str) -> None:
    packed = pack([text])
    assert re.fullmatch(r"[A-Za-z0-9+/]+=*", packed)
    assert unpacked(packed) == [re.sub("[\ud800-\udfff]", "\ufffd", text)]


def test_the_columns_say_what_the_verdict_says(explored: Explored) -> None:
    verdict, index = (
        explored.verdict,
        unpacked(explore(explored.verdict, explored.details, "changed", 10**7).blocks["index"]),
    )
    counts = dict(zip(index["statuses"], index["counts"], strict=True))
    assert {name: counts[name] for name in ("regressed", "improved", "unchanged")} == {
        "regressed": verdict.counts.regressed,
        "improved": verdict.counts.improved,
        "unchanged": verdict.counts.unchanged,
    }
    changed = [case.case_id for case in verdict.cases]
    assert index["ids"][: len(changed)] == changed, "worst first, as in the verdict"
    assert sorted(index["ids"]) == sorted(explored.details.index.ids)
    assert [run["worst"][0] for run in index["past"]] == ["A", "A"]
    refusal = next(grader for grader in index["graders"] if grader["name"] == "refusal")
    assert refusal["table"] == [0.0, 1.0]
    assert (refusal["before"][0], refusal["now"][0]) == ("B", "A")


def test_the_records_hold_both_sides_of_every_case_in_order(explored: Explored) -> None:
    records = list(explored.details.records(explored.details.index.ids))
    assert [record.case_id for record in records] == sorted(explored.details.index.ids)
    for record in records:
        assert record.case is not None
        assert [trial.trace.trial for trial in record.now] == [trial.trace.trial for trial in record.before] == [0, 1]
        assert {score.grader for score in record.now[1].scores} >= {"refusal", "cost", "latency"}


def test_texts_that_find_no_room_are_left_out_in_words(explored: Explored) -> None:
    whole = explore(explored.verdict, explored.details, "all", 10**7)
    assert (whole.with_text, list(whole.left_out)) == (24, [])
    changed = explore(explored.verdict, explored.details, "all", whole.size // 2)
    assert changed.with_text == 4
    assert "texts of unchanged cases" in " ".join(changed.left_out)
    none = explore(explored.verdict, explored.details, "all", 1)
    assert (none.with_text, set(none.blocks)) == (0, {"index"})
    assert "0 worst cases" in " ".join(none.left_out)


def test_the_same_report_gives_the_same_bytes(explored: Explored) -> None:
    verdict = explored.verdict
    report = Report((verdict,), details={verdict.id: explored.details}, text="all")
    assert renderer("html")(report) == renderer("html")(report)
    assert len(re.search(r"<script>(.*?)</script>", renderer("html")(report), re.DOTALL)[1]) < 32_000  # type: ignore[index]


def test_without_its_runs_a_report_says_what_it_lacks(explored: Explored) -> None:
    verdict = explored.verdict
    html = renderer("html")(Report((verdict,), left_out={verdict.id: "run X is not in the store"}))
    assert "run X is not in the store" in html
    assert "<script" not in html
