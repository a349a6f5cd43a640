"""The simulated judge: it reads the wire only, counts words, and is labelled as simulated."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from evalkit.grading.judging import BUILT_IN, Judge, Judged, JudgeError
from evalkit.grading.models import ModelQuestion, ModelReply
from evalkit.providers import ChatRequest
from evalkit.records import Message
from evalkit.simulator import Simulator

JUDGED = Judged("How long may I keep it?", documents=({"id": "d", "text": "You may keep it for thirty days."},))


class Simulated:
    """The simulator as the models of a grader."""

    def __init__(self) -> None:
        self.simulator = Simulator()

    async def ask(self, question: ModelQuestion) -> ModelReply:
        response = await self.simulator.complete(
            ChatRequest("sim-judge-1", question.messages, output_schema=question.schema)
        )
        assert response.simulated
        return ModelReply(response.text, response.model, response.finish_reason)

    def forget(self, question: ModelQuestion) -> None:
        """Nothing is remembered."""


def level(answer: str, judged: Judged = JUDGED) -> int:
    found = asyncio.run(Judge(Simulated(), "simulator:sim-judge-1", BUILT_IN["helpful"]).point(judged, answer))
    return found.votes[0].reply.levels["helpful"]


def test_words_of_the_sources_count() -> None:
    assert level("You may keep it for thirty days.") == 5
    assert level("Zebras eat plums.") == 1
    assert level("") == 1
    assert level("Zebras eat plums.", replace(JUDGED, reference="Zebras eat plums.")) == 5


def test_it_prefers_the_same_answer_in_both_orders() -> None:
    judge = Judge(Simulated(), "simulator:sim-judge-1", BUILT_IN["helpful"])
    found = asyncio.run(judge.pair(JUDGED, "thirty days", "Zebras eat plums."))
    assert {(vote.a_first, vote.b_first) for vote in found.votes} == {("a", "a")}
    found = asyncio.run(judge.pair(JUDGED, "thirty days", "thirty days"))
    assert {(vote.a_first, vote.b_first) for vote in found.votes} == {("tie", "tie")}


def test_it_judges_nothing_else() -> None:
    response = asyncio.run(Simulator().complete(ChatRequest("sim-judge-1", (Message("user", "How long?"),))))
    assert response.text.startswith("I judge answers")
    with pytest.raises(JudgeError):
        asyncio.run(Judge(Simulated(), "x:y", BUILT_IN["helpful"], schema=False).point(JUDGED, "30 days"))
