"""A gate that asks its graders to agree with people, and comparisons that cross vendors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml

from evalkit.gate.agreement import agreement_results
from evalkit.gate.vendors import vendor_note, vendors_of
from evalkit.records import Component, Configuration, GraderRef
from evalkit.review import GraderAgreement
from evalkit.stats import Estimate, share
from tests.conftest import GATE, ProjectFolder


def measured(right: int, n: int) -> GraderAgreement:
    return GraderAgreement("judge", "1", "f", n, 0, 0, accuracy=share(right, n))


@pytest.mark.parametrize(
    ("found", "status", "says"),
    [
        (measured(190, 200), "pass", "95% of 200 labels"),
        (measured(100, 200), "inconclusive", "its scores judge nothing"),
        (measured(17, 20), "inconclusive", "more labels would show it"),
        (measured(160, 200), "inconclusive", "more labels will hardly show it"),
        (GraderAgreement("judge", "1", "f", 0, 3, 0), "inconclusive", "3 labels of answers that no stored run holds"),
        (None, "inconclusive", "no answer of it is labelled"),
    ],
)
def test_only_shown_agreement_passes(found: GraderAgreement | None, status: str, says: str) -> None:
    (result,) = agreement_results({"judge": 0.8}, {} if found is None else {"judge": found})
    assert result.status == status
    assert says in result.sentence


def test_the_labels_that_it_names_would_show_it() -> None:
    (result,) = agreement_results({"judge": 0.8}, {"judge": measured(18, 20)})
    more = int(result.sentence.split("about ")[1].split()[0])
    (then,) = agreement_results({"judge": 0.8}, {"judge": measured(round(0.9 * (20 + more)), 20 + more)})
    assert then.status == "pass"


def test_answers_that_belong_together_take_more_labels() -> None:
    def needed(low: float) -> int:
        agreed = GraderAgreement("judge", "1", "f", 200, 0, 0, accuracy=Estimate(0.90, low, 0.95, 200))
        (result,) = agreement_results({"judge": 0.8}, {"judge": agreed})
        assert result.status == "inconclusive"
        return int(result.sentence.split("about ")[1].split()[0])

    assert 0 < needed(0.79) < needed(0.70)


def test_a_run_is_inconclusive_until_people_confirm_the_grader(make_project: Callable[..., ProjectFolder]) -> None:
    folder = make_project(count=60, gate={**GATE, "agreement": {"answer": "80%"}})
    folder.run("run", "--set-baseline", "main", "--no-report", "--quiet")
    open_ = folder.run("run", "--no-report", "--quiet")
    assert open_.code == 5
    assert "answer must agree with people" in open_.out
    folder.run("review", "queue", "--grader", "answer", "--sample", "50", "--export", "q.jsonl")
    filled = (folder.path / "q.jsonl").read_text().replace('"passed": null', '"passed": true')
    folder.write("q.jsonl", filled)
    assert folder.run("review", "add", "q.jsonl").code == 0
    settled = folder.run("run", "--no-report", "--quiet")
    assert settled.code == 0, settled.out
    folder.write("labels/shop.jsonl", (folder.path / "labels/shop.jsonl").read_text().replace("true", "false"))
    wrong = folder.run("run", "--no-report", "--quiet")
    assert wrong.code == 5
    assert "its scores judge nothing" in wrong.out


def test_a_grader_that_is_not_there_is_a_config_error(make_project: Callable[..., ProjectFolder]) -> None:
    folder = make_project(gate={**GATE, "agreement": {"judge": "80%"}})
    done = folder.run("run", "--no-report", "--quiet")
    assert done.code == 10
    assert "gate.agreement.judge" in done.err


@pytest.mark.parametrize("least", ["0%", "100%", "120%"])
def test_a_band_that_nothing_can_reach_is_refused(make_project: Callable[..., ProjectFolder], least: str) -> None:
    folder = make_project(gate={**GATE, "agreement": {"answer": least}})
    assert folder.run("run", "--no-report", "--quiet").code == 10


def configuration(*models: str) -> Configuration:
    parts = (Component("model", f"m{n}", "f", yaml.safe_dump({"model": name})) for n, name in enumerate(models))
    return Configuration("shop", "f", (*parts, Component("prompt", "main", "f", "gpt")))


GRADERS = (GraderRef("refusal", "1", "f"), GraderRef("cost", "1", "f", quality=False))


@pytest.mark.parametrize(
    ("model", "vendor"),
    [
        ("gpt-5-mini-2026-08-01", "OpenAI"), ("o3", "OpenAI"), ("claude-sonnet-4-5", "Anthropic"),
        ("us.anthropic.claude-3-haiku", "Anthropic"), ("gemini-2.5-pro", "Google"), ("meta-llama/Llama-3-70b", "Meta"),
        ("Mixtral-8x7B", "Mistral"), ("mistral-large", "Mistral"), ("qwen2.5-72b", "Alibaba"),
        ("philosopher-1", None), ("sim-large-1", None), ("octopus", None),
    ],
)  # fmt: skip
def test_vendors_by_the_names_of_models(model: str, vendor: str | None) -> None:
    assert vendors_of(configuration(model)) == ({} if vendor is None else {model: vendor})


def test_a_comparison_across_vendors_is_noted_with_the_graders_that_read() -> None:
    (note,) = vendor_note(configuration("gpt-4o"), configuration("claude-3"), GRADERS)
    assert note.status == "note"
    assert "from Anthropic now, from OpenAI before" in note.sentence
    assert "(refusal)" in note.sentence


@pytest.mark.parametrize(
    ("before", "after"), [("gpt-4o", "gpt-5"), ("sim-a", "claude-3"), ("gpt-4o", "sim-a"), ("sim-a", "sim-b")]
)
def test_the_same_or_an_unknown_vendor_is_no_note(before: str, after: str) -> None:
    assert vendor_note(configuration(before), configuration(after), GRADERS) == ()
