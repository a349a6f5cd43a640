"""Asking a judge: several votes, both orders, one repair of a reply that cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from evalkit.errors import BudgetError
from evalkit.grading.judging.prompts import Judged, Prompt, pair_prompt, point_prompt
from evalkit.grading.judging.replies import PairReply, PointReply, UnreadableReplyError, read_pair, read_point
from evalkit.grading.judging.rubrics import Rubric
from evalkit.grading.models import GraderModels, ModelQuestion, ModelReply
from evalkit.records import Json
from evalkit.stats.judges import Choice, PairVotes

__all__ = ["Judge", "JudgeError", "PairJudgement", "PointJudgement", "Vote"]

T = TypeVar("T")


class JudgeError(ValueError):
    """A judge has replied, twice, with something that cannot be read."""


@dataclass(frozen=True, slots=True)
class Vote(Generic[T]):
    """One vote, with the replies that it took: one, or two where the first could not be read."""

    reply: T
    replies: tuple[ModelReply, ...]


@dataclass(frozen=True, slots=True)
class PointJudgement:
    """Votes on one answer."""

    votes: tuple[Vote[PointReply], ...]
    missing: int
    """Characters that the judge was not shown."""


@dataclass(frozen=True, slots=True)
class PairJudgement:
    """Votes on two answers; each was asked for in both orders."""

    a_first: tuple[Vote[PairReply], ...]
    """Choices are of what was shown: ``a`` is answer a."""
    b_first: tuple[Vote[PairReply], ...]
    """Choices are of what was shown: ``a`` is answer b."""
    missing: int

    @property
    def votes(self) -> list[PairVotes]:
        """The votes, stated of the answers."""
        return [
            PairVotes(one.reply.choice, _swapped(other.reply.choice))
            for one, other in zip(self.a_first, self.b_first, strict=True)
        ]


@dataclass(frozen=True)
class Judge:
    """A model that judges by a rubric.

    Args:
        models: Where models are asked.
        target: ``provider:model``.
        rubric: The criteria.
        params: Parameters of the model.
        votes: How often each question is asked.
        longest: Most characters of one text that the judge is shown.
        schema: Whether the target is told the JSON Schema of the reply.
        case_id: The case, for recordings.
        trial: The trial, for recordings.
    """

    models: GraderModels
    target: str
    rubric: Rubric
    params: Mapping[str, Json] = field(default_factory=dict)
    votes: int = 1
    longest: int = 20_000
    schema: bool = True
    case_id: str = ""
    trial: int = 0

    async def point(self, judged: Judged, answer: str) -> PointJudgement:
        """Judge one answer.

        Raises:
            JudgeError: when a vote cannot be read.
            EvalkitError: when the model cannot be asked.
        """
        prompt = point_prompt(self.rubric, judged, answer, self.longest)
        votes = await _all(
            [
                self._vote(prompt, draw, lambda text: read_point(text, prompt.key, self.rubric))
                for draw in range(self.votes)
            ]
        )
        return PointJudgement(tuple(votes), prompt.missing)

    async def pair(self, judged: Judged, a: str, b: str) -> PairJudgement:
        """Compare two answers, each vote in both orders.

        Raises:
            JudgeError: when a vote cannot be read.
            EvalkitError: when the model cannot be asked.
        """
        prompts = [pair_prompt(self.rubric, judged, first, second, self.longest) for first, second in ((a, b), (b, a))]
        votes = await _all([self._pair_vote(prompt, draw) for prompt in prompts for draw in range(self.votes)])
        return PairJudgement(tuple(votes[: self.votes]), tuple(votes[self.votes :]), prompts[0].missing)

    def _pair_vote(self, prompt: Prompt, draw: int) -> Awaitable[Vote[PairReply]]:
        return self._vote(prompt, draw, lambda text: read_pair(text, prompt.key))

    async def _vote(self, prompt: Prompt, draw: int, read: Callable[[str], T]) -> Vote[T]:
        first = await self._ask(prompt, draw)
        try:
            return Vote(_read(first, read), (first,))
        except UnreadableReplyError as fault:
            repaired = prompt.again(str(fault))
            second = await self._ask(repaired, draw)
        try:
            return Vote(_read(second, read), (first, second))
        except UnreadableReplyError as fault:
            # a verdict may come the next time; from these replies none ever does
            for asked in (prompt, repaired):
                self.models.forget(self._question(asked, draw))
            raise JudgeError(f"no verdict can be read from two replies of {self.target}: {fault}") from None

    def _ask(self, prompt: Prompt, draw: int) -> Awaitable[ModelReply]:
        return self.models.ask(self._question(prompt, draw))

    def _question(self, prompt: Prompt, draw: int) -> ModelQuestion:
        return ModelQuestion(
            self.target, prompt.messages, self.params, prompt.schema if self.schema else None, draw,
            self.case_id, self.trial,
        )  # fmt: skip


def _read(reply: ModelReply, read: Callable[[str], T]) -> T:
    if reply.finish_reason == "length":
        raise UnreadableReplyError("it was cut off at the limit of tokens")
    return read(reply.text)


def _swapped(choice: Choice) -> Choice:
    swapped: Mapping[Choice, Choice] = {"a": "b", "b": "a", "tie": "tie"}
    return swapped[choice]


async def _all(work: Sequence[Awaitable[T]]) -> list[T]:
    """All of it at once. What is under way is finished and remembered before a fault of another one is raised."""
    done = await asyncio.gather(*work, return_exceptions=True)
    faults = [item for item in done if isinstance(item, BaseException)]
    for fault in sorted(faults, key=lambda item: not isinstance(item, BudgetError)):
        raise fault
    return [item for item in done if not isinstance(item, BaseException)]
