"""Votes are asked for, repaired once, and put together."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from evalkit.errors import BudgetError, ProviderError
from evalkit.grading.judging import BUILT_IN, Judge, Judged, JudgeError
from evalkit.grading.models import ModelQuestion, ModelReply
from evalkit.stats.judges import PairVotes
from tests.grading.judging.naive import Naive, contents, parts

HELPFUL = BUILT_IN["helpful"]
JUDGED = Judged("How long?")


def level(number: int) -> str:
    return json.dumps({"check": "KEY", "reason": f"it is {number}", "levels": {"helpful": number}})


def better(name: str) -> str:
    return json.dumps({"check": "KEY", "reason": name, "better": name})


def test_each_vote_is_another_draw_of_one_question() -> None:
    models = Naive([level(1), level(5), level(3)])
    found = asyncio.run(Judge(models, "x:y", HELPFUL, {"temperature": 1}, votes=3).point(JUDGED, "30 days"))
    assert [vote.reply.value for vote in found.votes] == [0.0, 1.0, 0.5]
    assert [question.draw for question in models.asked] == [0, 1, 2]
    assert len({replace(question, draw=0, messages=question.messages).messages for question in models.asked}) == 1
    assert {json.dumps(question.params) for question in models.asked} == {'{"temperature": 1}'}


def test_both_orders_are_asked_and_votes_are_of_the_answers() -> None:
    models = Naive([better("answer_1"), better("answer_1")])
    found = asyncio.run(Judge(models, "x:y", HELPFUL).pair(JUDGED, "one", "two"))
    shown = [parts(contents(question.messages)).data for question in models.asked]
    assert [(data["answer_1"], data["answer_2"]) for data in shown] == [("one", "two"), ("two", "one")]
    assert found.votes == [PairVotes("a", "b")]


def test_a_reply_that_cannot_be_read_is_asked_for_once_more_and_not_repeated() -> None:
    models = Naive(["I would say 5. [[5]]", level(4)])
    found = asyncio.run(Judge(models, "x:y", HELPFUL).point(JUDGED, "30 days"))
    assert found.votes[0].reply.levels == {"helpful": 4}
    assert len(found.votes[0].replies) == 2
    first, second = (contents(question.messages) for question in models.asked)
    assert second[:-1] == first
    assert "could not be read" in second[-1]
    assert "[[5]]" not in second[-1]


def test_two_replies_that_cannot_be_read_are_a_fault() -> None:
    models = Naive(["no", level(4).replace("KEY", "bcdf")])
    with pytest.raises(JudgeError, match='from two replies of x:y: "check" was not the key'):
        asyncio.run(Judge(models, "x:y", HELPFUL).point(JUDGED, "30 days"))
    assert models.forgotten == models.asked


def test_a_reply_that_was_cut_off_is_no_verdict() -> None:
    class Cut(Naive):
        async def ask(self, question: ModelQuestion) -> ModelReply:
            return replace(await super().ask(question), finish_reason="length")

    with pytest.raises(JudgeError, match="cut off at the limit of tokens"):
        asyncio.run(Judge(Cut(), "x:y", HELPFUL).point(JUDGED, "30 days"))


def test_a_spent_budget_goes_before_other_faults_and_what_is_under_way_is_finished() -> None:
    finished = []

    class Failing(Naive):
        async def ask(self, question: ModelQuestion) -> ModelReply:
            if question.draw == 0:
                raise ProviderError("no answer")
            if question.draw == 1:
                raise BudgetError("spent")
            await asyncio.sleep(0.01)
            finished.append(question.draw)
            return await super().ask(question)

    with pytest.raises(BudgetError):
        asyncio.run(Judge(Failing(), "x:y", HELPFUL, votes=3).point(JUDGED, "30 days"))
    assert finished == [2]


def test_a_target_without_schemas_is_sent_none() -> None:
    models = Naive()
    asyncio.run(Judge(models, "x:y", HELPFUL, schema=False).point(JUDGED, "30 days"))
    asyncio.run(Judge(models, "x:y", HELPFUL).point(JUDGED, "30 days"))
    assert models.asked[0].schema is None
    assert models.asked[1].schema is not None
    assert models.asked[1].schema["required"] == ["check", "reason", "levels"]
