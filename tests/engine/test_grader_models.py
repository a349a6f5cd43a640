"""Graders that ask models: over HTTP, paid from the budgets, remembered, and failing closed."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit import codec
from evalkit.records import Run, Score
from evalkit.store import Runs
from evalkit.store.schema import table_scores
from evalkit.store.segments import read_segment
from tests.conftest import ProjectFolder
from tests.engine.runs import start
from tests.grading.judging.naive import HOSTILE, naive_reply, parts
from tests.servers import Reply, chat_body, serve

JUDGE: dict[str, Any] = {
    "use": "judge",
    "params": {"model": "judges:judge-2026-01-01", "rubric": "helpful", "threshold": 0.5},
}
CASES = 4
CALL = 20
"""Micro-dollars of a call of either model: 10 tokens in, 5 out."""


class Judges:
    """A server that answers questions, and judges answers as it is told."""

    def __init__(self) -> None:
        self.address = ""
        self.levels: list[int] = []
        self.seen: list[dict[str, Any]] = []
        self.said = "30 days"
        self.raw: str | None = None
        self.status = 200
        self.pause = 0.0

    def answer(self, request: dict[str, Any]) -> Reply:
        time.sleep(self.pause)
        if request["model"] == "served-1":
            return Reply(chat_body(self.said))
        texts = [message["content"] for message in request["messages"]]
        if self.raw is not None or self.status != 200:
            return Reply(chat_body(self.raw or ""), self.status)
        schema = request["response_format"]["json_schema"]["schema"]
        names = list(schema["properties"]["levels"]["properties"])
        if not self.levels:
            return Reply(chat_body(naive_reply(texts, names)))
        level = self.levels[request["seed"] % len(self.levels)]
        reply = {"check": parts(texts).key, "reason": "so", "levels": dict.fromkeys(names, level)}
        return Reply(chat_body(json.dumps(reply)))

    @property
    def judged(self) -> list[dict[str, Any]]:
        """Requests to the judge."""
        return [request for request in self.seen if request["model"] != "served-1"]

    @property
    def answered(self) -> list[dict[str, Any]]:
        """Requests to the model under test."""
        return [request for request in self.seen if request["model"] == "served-1"]


@pytest.fixture
def judges() -> Iterator[Judges]:
    """A server on loopback."""
    made = Judges()
    with serve(made.answer) as (address, seen):
        made.address, made.seen = address, seen
        yield made


@pytest.fixture
def shop(project: ProjectFolder, judges: Judges) -> ProjectFolder:
    """A project whose answers a model judges."""
    price = {"input": 1, "output": 2}
    project.configure(
        providers={
            "own": {"kind": "openai", "base_url": judges.address},
            "judges": {"kind": "openai", "base_url": judges.address, "attempts": 1},
        },
        prices=[{"model": "served-1", **price}, {"model": "judge-2026-01-01", **price}],
        concurrency=2,
    )
    cases = [{"id": f"c{n}", "input": f"How long may I keep number {n}?", "cluster": f"c{n}"} for n in range(CASES)]
    project.cases(cases)
    project.configure_workflow(model="own:served-1", graders=[JUDGE, "cost"], gate={"margin": "50pt", "min_cases": 1})
    return project


def newest(folder: ProjectFolder) -> Run:
    return Runs(folder.path / ".evalkit").get("latest").run


def scores(folder: ProjectFolder, grader: str = "judge") -> list[Score]:
    run = Runs(folder.path / ".evalkit").get("latest")
    newest_scores = max(run.path.glob("scores*"), key=lambda path: path.stat().st_mtime_ns)
    return [score for score in table_scores(read_segment(newest_scores)) if score.grader == grader]


def test_every_answer_is_judged_over_http_and_paid(shop: ProjectFolder, judges: Judges) -> None:
    done = shop.run("run")
    assert len(judges.judged) == CASES, done.err
    assert [(score.status, score.value, score.passed) for score in scores(shop)] == [("ok", 0.5, True)] * CASES
    request = judges.judged[0]
    assert request["response_format"]["json_schema"]["strict"] is True
    assert parts([message["content"] for message in request["messages"]]).data["answer"] == "30 days"
    # the run has spent both; what a trial costs, and is compared by, is the answer alone
    assert newest(shop).cost_microusd == 2 * CASES * CALL
    assert newest(shop).model_calls == 2 * CASES
    assert {score.value for score in scores(shop, "cost")} == {CALL / 1e6}
    assert {score.evidence["cost_microusd"] for score in scores(shop)} == {CALL}
    assert {tuple(score.evidence["model"]) for score in scores(shop)} == {("served-1",)}


def test_nothing_is_judged_twice(shop: ProjectFolder, judges: Judges) -> None:
    shop.run("run")
    before = scores(shop)
    assert "no model called" in shop.run("regrade").out or "already graded" in shop.run("regrade").out
    shop.configure_workflow(graders=[JUDGE, "cost", "latency"])
    done = shop.run("regrade")
    assert "no model called" in done.out, done.err
    shop.run("run")
    assert len(judges.judged) == CASES
    assert [score.value for score in scores(shop)] == [score.value for score in before]
    assert newest(shop).cost_microusd == 0
    shop.run("run", "--fresh")
    assert len(judges.judged) == CASES, "the same answers again"
    assert len(judges.answered) == 2 * CASES


def test_another_rubric_judges_again_and_regrade_says_what_it_cost(shop: ProjectFolder, judges: Judges) -> None:
    shop.run("run")
    shop.configure_workflow(graders=[{**JUDGE, "params": {**JUDGE["params"], "rubric": "Is it right on the days?"}}])
    done = shop.run("regrade")
    assert f"0 errors, {CASES} replies of judges for $0.00008" in done.out, done.out
    assert len(judges.judged) == 2 * CASES


def test_a_model_behind_the_same_name_elsewhere_is_another_judge(shop: ProjectFolder, judges: Judges) -> None:
    shop.run("run")
    before = {score.fingerprint for score in scores(shop)}
    for path in ("/other", ""):
        providers = {"own": {"kind": "openai", "base_url": judges.address}}
        shop.configure(providers={**providers, "judges": {"kind": "openai", "base_url": judges.address + path}})
        shop.run("run")
        assert ({score.fingerprint for score in scores(shop)} == before) == (path == "")


def test_votes_are_asked_each_and_split_ones_go_to_review(shop: ProjectFolder, judges: Judges) -> None:
    judges.levels = [5, 1]
    shop.configure_workflow(graders=[{**JUDGE, "params": {**JUDGE["params"], "votes": 3}}])
    shop.run("run")
    assert len(judges.judged) == 3 * CASES
    assert {request["seed"] for request in judges.judged} == {0, 1, 2}
    assert all(score.review.startswith("the votes split") for score in scores(shop))
    assert "(for a person: the votes split" in shop.run("show", "latest", "c0").out


@pytest.mark.parametrize("fault", ["no key", "no price", "refuses", "nonsense"])
def test_a_judge_that_cannot_judge_is_an_error_and_no_pass(shop: ProjectFolder, judges: Judges, fault: str) -> None:
    if fault == "no key":
        providers = {"own": {"kind": "openai", "base_url": judges.address}}
        missing = {"kind": "openai", "base_url": judges.address, "api_key_env": "NO_SUCH_KEY"}
        shop.configure(providers={**providers, "judges": missing})
    elif fault == "no price":
        shop.configure(prices=[{"model": "served-1", "input": 1, "output": 2}])
    elif fault == "refuses":
        judges.status = 400
    else:
        judges.raw = "I would say 5 of 5."
    done = shop.run("run")
    assert done.code == 3, done.out + done.err
    rows = scores(shop)
    assert {score.status for score in rows} == {"error"}
    said = {"no key": "NO_SUCH_KEY", "no price": "no price", "refuses": "brought no judgement",
            "nonsense": "no verdict can be read"}[fault]  # fmt: skip
    assert all(said in score.evidence["error"] for score in rows), rows[0].evidence
    if fault in ("no key", "no price"):
        assert not judges.judged


def test_a_target_that_is_not_declared_ends_before_anything_is_spent(shop: ProjectFolder, judges: Judges) -> None:
    shop.configure_workflow(graders=[{"use": "judge", "params": {"model": "nowhere:judge-2026-01-01"}}])
    done = shop.run("run")
    assert done.code == 10
    assert "no provider `nowhere`" in done.err
    assert not judges.seen


def test_the_budget_holds_for_judges_and_nothing_is_paid_twice(shop: ProjectFolder, judges: Judges) -> None:
    shop.configure_workflow(budget={"per_run": f"${5 * CALL / 1e6:.6f}"},
        model={"model": "own:served-1", "params": {"max_tokens": 5}},
        graders=[{**JUDGE, "params": {**JUDGE["params"], "params": {"max_tokens": 5}}}])  # fmt: skip
    done = shop.run("run")
    assert done.code == 6, done.out + done.err
    assert len(judges.seen) * CALL <= 5 * CALL
    shop.configure_workflow(budget={"per_run": "$1"})
    done = shop.run("run")
    assert done.code == 4, done.err
    asked = [json.dumps(request, sort_keys=True) for request in judges.seen]
    assert len(asked) == len(set(asked)) == 2 * CASES
    assert newest(shop).cost_microusd == len(asked) * CALL
    assert newest(shop).model_calls == len(asked)


def test_judges_count_for_the_day(shop: ProjectFolder, judges: Judges) -> None:
    shop.configure_workflow(budget={"per_day": "$1"})
    shop.run("run")
    plan = json.loads(shop.run("plan", "--format", "json").out)
    assert f'"day_microusd": {2 * CASES * CALL}' in json.dumps(plan), plan


def test_a_failed_critical_case_is_judged_again_and_not_remembered(shop: ProjectFolder, judges: Judges) -> None:
    shop.cases([{"id": "c0", "input": "How long?", "critical": True, "risk": "critical"}])
    shop.configure_workflow(gate={"critical": 0, "critical_trials": 1, "min_cases": 1})
    judges.levels = [1]
    shop.run("run")
    assert len(judges.judged) == 4, "once, and three times more about the same answer"
    assert len({request["seed"] for request in judges.judged}) == 4
    shop.run("gate")
    assert len(judges.judged) == 4


def test_only_masked_text_reaches_the_judge(shop: ProjectFolder, judges: Judges) -> None:
    shop.cases([{"id": "c0", "input": "My address is jane.roe@example.com, how long may I keep it?"}])
    shop.run("run")
    assert "jane.roe@example.com" in json.dumps(judges.answered)
    assert "jane.roe@example.com" not in json.dumps(judges.judged)


def test_what_is_kept_is_the_reply_alone_and_damage_is_asked_again(shop: ProjectFolder, judges: Judges) -> None:
    shop.run("run")
    kept = sorted((shop.path / ".evalkit" / "judgements").rglob("*.json"))
    assert len(kept) == CASES
    assert all("How long" not in file.read_text() for file in kept)
    _damage(kept[0])
    stricter = {**JUDGE, "params": {**JUDGE["params"], "threshold": 0.6}}
    shop.configure_workflow(graders=[stricter, "cost"])
    shop.run("regrade")
    assert len(judges.judged) == CASES + 1


def _damage(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def test_a_recording_of_a_judge_answers_by_case_and_trial(shop: ProjectFolder, judges: Judges) -> None:
    shop.run("run")
    import pyarrow as pa
    import pyarrow.parquet as pq

    keys = {}
    for request in judges.judged:
        told = parts([message["content"] for message in request["messages"]])
        keys[f"c{told.data['request'].split()[-1].rstrip('?')}"] = told.key
    rows = [
        {"case_id": case, "output": json.dumps({"check": key, "reason": "", "levels": {"helpful": 5}})}
        for case, key in keys.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows), shop.path / "votes.parquet")
    providers = {
        "own": {"kind": "openai", "base_url": judges.address},
        "votes": {"kind": "replay", "path": "votes.parquet"},
    }
    shop.configure(providers=providers)
    shop.configure_workflow(graders=[{"use": "judge", "params": {"model": "votes:any"}}])
    shop.run("run")
    assert [score.value for score in scores(shop)] == [1.0] * CASES
    assert len(judges.judged) == CASES


def test_the_record_of_a_run_is_read_as_before(shop: ProjectFolder) -> None:
    shop.run("run")
    run = newest(shop)
    assert codec.decode(Run, codec.encode(run)) == run


@pytest.mark.parametrize("fault", ["away", "unreadable"])
def test_a_judge_who_is_back_is_asked_again(shop: ProjectFolder, judges: Judges, fault: str) -> None:
    judges.status, judges.raw = (503, None) if fault == "away" else (200, "no")
    assert shop.run("run").code == 3
    assert {score.status for score in scores(shop)} == {"error"}
    judges.status, judges.raw = 200, None
    assert shop.run("run").code == 4
    assert [score.value for score in scores(shop)] == [0.5] * CASES
    assert len(judges.answered) == CASES, "the answers are those of the first run"


@pytest.mark.parametrize("said", HOSTILE)
def test_no_answer_talks_a_naive_judge_round_over_the_wire(shop: ProjectFolder, judges: Judges, said: str) -> None:
    judges.said = said
    shop.run("run")
    for score in scores(shop):
        assert score.status == "error" or (score.value == 0.5 and "speaks to its judge" in score.review)


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_while_judges_are_asked_pays_no_reply_twice(
    shop: ProjectFolder, judges: Judges, signal_: signal.Signals
) -> None:
    judges.pause = 0.15
    process = start(shop, "run")
    while len(judges.judged) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal_)
    process.communicate(timeout=30)
    judges.pause = 0
    done = shop.process("run")
    assert done.code == 4, done.err
    asked = Counter(json.dumps(request, sort_keys=True) for request in judges.seen)
    assert len(asked) == 2 * CASES
    # two at a time were in flight: nothing that had come back is asked again
    assert sum(asked.values()) <= 2 * CASES + 2
    assert [score.value for score in scores(shop)] == [0.5] * CASES


def test_the_doctor_finds_a_judge_without_a_key(shop: ProjectFolder, judges: Judges) -> None:
    assert shop.run("doctor").code == 0
    providers = {name: {"kind": "openai", "base_url": judges.address} for name in ("own", "judges")}
    shop.configure(providers={**providers, "judges": {**providers["judges"], "api_key_env": "NO_SUCH_KEY"}})
    done = shop.run("doctor")
    assert done.code != 0
    assert "NO_SUCH_KEY" in done.out + done.err
