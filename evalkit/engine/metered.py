"""Targets whose calls are paid from a budget: reserved before a call, settled after it."""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.engine.budget import Budget
from evalkit.errors import ConfigError
from evalkit.providers import ChatRequest, ChatResponse, PriceTable, Provider
from evalkit.providers.deployment import output_limit
from evalkit.records import Json, Usage

__all__ = ["MeteredProvider"]

_CHARACTERS = 3
"""Of a token, at least: an estimate that is too low would overdraw the budget."""


class MeteredProvider:
    """A provider that asks the budget before each call.

    A call is taken to cost what the dearest one of its model has cost, or what its request allows, whichever is more.
    Where neither is known the first call is made alone.

    Args:
        provider: Makes the calls.
        budget: Pays for them.
        prices: What they cost.
        dearest: Micro-dollars of the dearest call of each model before the run was cut off.
    """

    def __init__(
        self, provider: Provider, budget: Budget, prices: PriceTable, dearest: Mapping[str, int] | None = None
    ) -> None:
        self.name = provider.name
        self._provider = provider
        self._budget = budget
        self._prices = prices
        self._dearest = dict(dearest or {})

    @property
    def identity(self) -> Mapping[str, Json]:
        """That of the provider."""
        return self._provider.identity

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Answer a request.

        Raises:
            BudgetError: when a limit is reached; nothing was sent.
            CallError: when the call failed.
        """
        reservation = await self._budget.reserve_when_possible(lambda: self._most(request))
        cost = 0
        try:
            response = await self._provider.complete(request)
            cost = self._cost(request.model, response)
        finally:
            self._budget.settle(reservation, cost)
        self._dearest[request.model] = max(self._dearest.get(request.model, 1), cost)
        return response

    async def aclose(self) -> None:
        """Release connections."""
        await self._provider.aclose()

    def _cost(self, model: str, response: ChatResponse) -> int:
        try:
            return self._prices.cost_of(model, response.usage, response.cost_microusd) or 0
        except ConfigError:  # the trial says so
            return 0

    def _most(self, request: ChatRequest) -> int:
        dearest = self._dearest.get(request.model)
        limit = output_limit(request)
        if dearest is None and limit is None:
            return max(self._budget.remaining or 0, 1)
        characters = sum(len(message.content) for message in request.messages)
        usage = Usage(input_tokens=characters // _CHARACTERS, output_tokens=limit or 0)
        try:
            allowed = self._prices.find(request.model).cost_microusd(usage) if limit is not None else 0
        except ConfigError:
            allowed = 0
        return max(dearest or 0, allowed, 1)
