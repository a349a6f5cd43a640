"""The models that graders ask: targets of the project, paid from its budgets, their replies remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakValueDictionary

from evalkit.engine.judgements import Judgements
from evalkit.engine.spending import RunBudget
from evalkit.engine.targets import Targets, price_table
from evalkit.errors import BudgetError, EvalkitError, ProviderError
from evalkit.fingerprint import fingerprint
from evalkit.grading.models import GraderModels, ModelQuestion, ModelReply
from evalkit.providers import ChatRequest, Provider
from evalkit.records import Json
from evalkit.redaction import Redactor
from evalkit.workflow import Project, Workflow
from evalkit.workflow.answers import admit
from evalkit.workflow.kinds import SELF_CONTAINED
from evalkit.workflow.spec import ModelSpec

__all__ = ["Paid", "ProjectModels"]

_Open: TypeAlias = Callable[[], Awaitable[tuple[Targets, RunBudget]]]


@dataclass
class Paid:
    """Replies that were made, and so paid; those that were remembered are not among them."""

    calls: int = 0
    microusd: int = 0

    def add(self, microusd: int) -> None:
        """Count a reply."""
        self.calls += 1
        self.microusd += microusd


class ProjectModels:
    """Where the graders of a workflow get at models; see :class:`evalkit.grading.models.ModelSource`.

    Args:
        project: The project.
        workflow: The workflow whose budgets pay.
    """

    def __init__(self, project: Project, workflow: Workflow) -> None:
        self.project = project
        self.paid = Paid()
        """By sessions of this source: what :meth:`within` was told of is not in it."""
        self.spent_before = 0
        """Micro-dollars of the budget of a run that were spent otherwise."""
        self._workflow = workflow
        self._targets = Targets(project)
        self._known: dict[str, tuple[str, Json]] = {}

    def identity(self, target: str) -> Json:
        """What a target is, whether its key is there or not.

        Raises:
            ConfigError: when it is not declared.
        """
        return self.known(_pin(target).provider)[1]

    def known(self, provider: str) -> tuple[str, Json]:
        """Kind and identity of a provider.

        Raises:
            ConfigError: when it is not declared.
        """
        if provider not in self._known:
            identity = dict(self._targets.identity_without_key(provider))
            self._known[provider] = self._targets.kind(provider), identity
        return self._known[provider]

    @asynccontextmanager
    async def session(self) -> AsyncIterator[GraderModels]:
        """Models outside of the making of trials: nothing is opened before a reply is needed that nobody remembers.

        The budgets of the run and of the day hold, and count what is spent.
        """
        async with AsyncExitStack() as stack:
            opened: list[tuple[Targets, RunBudget]] = []

            async def open_() -> tuple[Targets, RunBudget]:
                if not opened:
                    spent = self.spent_before + self.paid.microusd
                    budget = stack.enter_context(RunBudget(self.project, self._workflow, spent))
                    opened.append((await stack.enter_async_context(Targets(self.project)), budget))
                return opened[0]

            yield _OpenModels(self, open_, self.paid.add)

    def within(self, targets: Targets, budget: RunBudget, on_paid: Callable[[int], None]) -> GraderModels:
        """Models while trials are made.

        Args:
            targets: The run's.
            budget: The run's.
            on_paid: Told of each reply that was made what it cost, in micro-dollars.
        """

        async def open_() -> tuple[Targets, RunBudget]:
            return targets, budget

        return _OpenModels(self, open_, on_paid)


def _pin(target: str) -> ModelSpec:
    return ModelSpec(model=target)


class _OpenModels:
    """Asks models; see :class:`evalkit.grading.models.GraderModels`. For one event loop."""

    def __init__(self, source: ProjectModels, open_: _Open, on_paid: Callable[[int], None]) -> None:
        self._source = source
        self._open = open_
        self._on_paid = on_paid
        self._judgements = Judgements(source.project.store)
        self._prices = price_table(source.project)
        self._providers: dict[str, tuple[Provider, Redactor]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Of the questions that are asked now."""
        self._opening = asyncio.Lock()

    async def ask(self, question: ModelQuestion) -> ModelReply:
        """A remembered reply, or a new one, which is on the disk when this returns.

        Raises:
            BudgetError: when a budget is spent.
            StoreError: when a reply cannot be kept or read.
            EvalkitError: when the target is not declared, lacks its key or its price, or brought no reply.
        """
        pin = _pin(question.target)
        digest = self._digest(pin, question)
        # whoever asks the same meanwhile waits for the one reply
        async with self._turns.setdefault(digest, asyncio.Lock()):
            known = self._judgements.find(digest)
            if known is not None:
                return known
            return await self._asked(pin, question, digest)

    def forget(self, question: ModelQuestion) -> None:
        """Keep the reply to a question no longer."""
        self._judgements.drop(self._digest(_pin(question.target), question))

    def _digest(self, pin: ModelSpec, question: ModelQuestion) -> str:
        kind, identity = self._source.known(pin.provider)
        parts: dict[str, Json] = {
            "target": [pin.provider, pin.name, identity],
            "messages": [[message.role, message.content] for message in question.messages],
            "params": question.params,
            "schema": question.schema,
            "draw": question.draw,
        }
        if kind == "replay":  # it answers by case and trial, whatever it is asked
            parts["case"] = [question.case_id, question.trial]
        return fingerprint("judgement", parts)

    async def _asked(self, pin: ModelSpec, question: ModelQuestion, digest: str) -> ModelReply:
        kind, _ = self._source.known(pin.provider)
        if kind not in SELF_CONTAINED:
            # what has no price is not asked: no budget could hold
            self._prices.find(pin.name)
        provider, redactor = await self._provider(pin.provider)
        request = ChatRequest(
            model=pin.name,
            messages=question.messages,
            params=question.params,
            output_schema=question.schema,
            seed=question.draw,
            case_id=question.case_id,
            trial=question.trial,
        )
        try:
            response, _ = admit(await provider.complete(request))
        except BudgetError:
            raise
        except EvalkitError as error:
            raise ProviderError(redactor.text(f"{question.target} brought no judgement: {error.message}")) from None
        cost = self._prices.cost_of(pin.name, response.usage, response.cost_microusd)
        reply = ModelReply(
            redactor.text(response.text), redactor.text(response.model), response.finish_reason, response.usage,
            cost or 0, cost is not None, response.simulated,
        )  # fmt: skip
        # what is paid is kept, whoever is cancelled meanwhile
        keeping = asyncio.ensure_future(asyncio.to_thread(self._judgements.keep, digest, reply))
        try:
            await asyncio.shield(keeping)
        finally:
            await asyncio.wait([keeping])
            self._on_paid(cost or 0)
        return reply

    async def _provider(self, name: str) -> tuple[Provider, Redactor]:
        async with self._opening:
            if name not in self._providers:
                targets, budget = await self._open()
                made = budget.metered(targets.providers([name]), self._prices, {})[name]
                self._providers[name] = made, targets.redactor()
            return self._providers[name]
