"""How a grader gets at models: it says which, the harness asks them, pays for it and remembers what they said.

A grader that asks models sets ``needs_models``, names them by ``models_asked``, and takes what asks them as the third
argument of ``grade``::

    async def grade(self, case: Case, trace: Trace, models: GraderModels | None = None) -> Grade: ...
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from evalkit.records import Json, Message, Usage

__all__ = ["AskedAgain", "GraderModels", "ModelQuestion", "ModelReply", "ModelSource"]

_DRAWS = 1000
"""More than any grader asks of one question: the draws of one attempt end before those of the next begin."""


@dataclass(frozen=True, slots=True)
class ModelQuestion:
    """What a grader asks of a model. ``case_id`` and ``trial`` never go over a wire; recordings are found by them."""

    target: str
    """``provider:model``, as workflows name models."""
    messages: tuple[Message, ...]
    params: Mapping[str, Json] = field(default_factory=dict)
    """Parameters of the model, under its vendor's names, as of a model pin."""
    schema: Mapping[str, Json] | None = None
    """JSON Schema of the reply, for targets that enforce one."""
    draw: int = 0
    """Which of several replies to the same question: each is asked for, paid and remembered by itself."""
    case_id: str = ""
    trial: int = 0


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What a model replied, now or when it was asked the same before."""

    text: str
    model: str = ""
    """The model that the reply names."""
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)
    cost_microusd: int = 0
    """What the reply cost when it was made."""
    priced: bool = True
    """False where neither a price nor a stated cost is known: the zero is no statement."""
    simulated: bool = False


class GraderModels(Protocol):
    """The models of a project, as graders see them."""

    async def ask(self, question: ModelQuestion) -> ModelReply:
        """Ask a model; the same question is asked and paid once.

        Raises:
            BudgetError: when a budget is spent: the run ends.
            EvalkitError: when the target is not declared, lacks its key, or brought no reply.
        """
        ...

    def forget(self, question: ModelQuestion) -> None:
        """The reply was of no use: whoever asks the same the next time is given another one."""
        ...


class ModelSource(Protocol):
    """Where graders get at models: the engine's, for a project."""

    def identity(self, target: str) -> Json:
        """What makes the replies of a target its own, without its key: part of the fingerprint of who asks it.

        Raises:
            ConfigError: when the target is not declared.
        """
        ...

    def session(self) -> AbstractAsyncContextManager[GraderModels]:
        """Models for as long as the running event loop needs them."""
        ...


@dataclass(frozen=True)
class AskedAgain:
    """Models for another look at a trace: what they said at the first one is no reply to it.

    Args:
        models: Ask the models.
        attempt: Which further look it is, from 0.
    """

    models: GraderModels
    attempt: int

    async def ask(self, question: ModelQuestion) -> ModelReply:
        """See :class:`GraderModels`."""
        return await self.models.ask(self._of_attempt(question))

    def forget(self, question: ModelQuestion) -> None:
        """See :class:`GraderModels`."""
        self.models.forget(self._of_attempt(question))

    def _of_attempt(self, question: ModelQuestion) -> ModelQuestion:
        return replace(question, draw=question.draw + (self.attempt + 1) * _DRAWS)
