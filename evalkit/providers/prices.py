"""What tokens cost: dated prices, integer micro-dollars, and no price is an error, never zero."""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, NamedTuple, Protocol, Self

from pydantic import AfterValidator, Field, model_validator

from evalkit.configfile import FileModel
from evalkit.errors import ConfigError
from evalkit.fingerprint import fingerprint
from evalkit.records import Usage

__all__ = ["KINDS", "LongContext", "Price", "PriceList", "PriceSource", "PriceTable", "is_pattern"]

_LARGEST = Decimal(1_000_000_000)
_FINEST = -400
"""Powers of ten: the smallest float, written in full, still is a price."""
KINDS = ("input", "output", "cached_input", "cache_write", "reasoning")
"""Kinds of tokens, in the order of :attr:`Price.amounts`."""


def _computable(amount: Decimal) -> Decimal:
    exponent = amount.as_tuple().exponent
    if amount > _LARGEST or (isinstance(exponent, int) and exponent < _FINEST):
        raise ValueError("no model costs that: write US dollars per million tokens")
    return amount


Dollars = Annotated[Decimal, Field(ge=0), AfterValidator(_computable)]
"""US dollars per million tokens, which are micro-dollars per token."""


class _Rates(NamedTuple):
    """Prices of a token as integers over one denominator; ``over`` is the size of the input beyond which they hold."""

    over: int
    input: int
    output: int
    cached_input: int
    cache_write: int
    reasoning: int


class _Dated(FileModel):
    """Whose price, and since when."""

    model: str = Field(
        min_length=1, description="Model as the provider names it; `*`, `?` and `[0-9]` stand for other characters."
    )
    valid_from: dt.date = Field(default=dt.date(2020, 1, 1), description="First day of this price.")


class _Amounts(FileModel):
    """The prices of the kinds of tokens."""

    input: Dollars = Field(description="US dollars per million input tokens.")
    output: Dollars = Field(description="US dollars per million output tokens.")
    cached_input: Dollars | None = Field(
        default=None, description="US dollars per million cached input tokens; default the input price."
    )
    cache_write: Dollars | None = Field(
        default=None, description="US dollars per million input tokens written to the cache; default the input price."
    )
    reasoning: Dollars | None = Field(
        default=None, description="US dollars per million reasoning tokens; default the output price."
    )

    @property
    def amounts(self) -> tuple[Decimal, ...]:
        """All five, in the order of :data:`KINDS`, the defaults filled in."""
        cached = self.input if self.cached_input is None else self.cached_input
        written = self.input if self.cache_write is None else self.cache_write
        return self.input, self.output, cached, written, self.output if self.reasoning is None else self.reasoning


class LongContext(_Amounts):
    """Prices of all tokens of a call whose input is longer than so many tokens."""

    over: int = Field(ge=1, description="Calls with more input tokens than this are charged so, all of their tokens.")


class Price(_Amounts, _Dated):
    """Price of a model from a day on, in US dollars per million tokens."""

    batch: Decimal = Field(
        default=Decimal(1), gt=0, le=1, description="What a call in a batch costs, as a share; 1 where none is known."
    )
    long_context: tuple[LongContext, ...] = Field(
        default=(), description="Prices of calls with a long input, where the vendor has them."
    )

    @model_validator(mode="after")
    def _one_price_a_length(self) -> Self:
        _computable(self.batch)
        lengths = [step.over for step in self.long_context]
        if len(set(lengths)) < len(lengths):
            raise ValueError("two prices of `long_context` begin at the same length")
        return self

    def cost_microusd(self, usage: Usage, *, batch: bool = False) -> int:
        """Micro-dollars for the tokens of a call: the exact sum, rounded once, half up.

        Args:
            usage: Tokens. Input includes those read from and written to a cache, output those of reasoning.
            batch: Whether the call was made in a batch.
        """
        denominator, steps = self._rates[batch]
        tokens = usage.input_tokens
        rates = steps[0]
        if len(steps) > 1:
            rates = next((step for step in reversed(steps) if tokens > step.over), rates)
        cached, written, reasoning = usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens
        plain, answer = tokens - cached - written, usage.output_tokens - reasoning
        # Parts that exceed their whole are a fault of the target: they must not make the rest negative.
        total = max(plain, 0) * rates.input + max(answer, 0) * rates.output
        if cached or written or reasoning:
            total += cached * rates.cached_input + written * rates.cache_write + reasoning * rates.reasoning
        return (2 * total + denominator) // (2 * denominator)

    @cached_property
    def _rates(self) -> tuple[tuple[int, tuple[_Rates, ...]], tuple[int, tuple[_Rates, ...]]]:
        """The common denominator and the prices by length, ascending: outside a batch and in one."""
        steps = sorted([(0, self.amounts), *((step.over, step.amounts) for step in self.long_context)])
        return _over_one_denominator(steps, Decimal(1)), _over_one_denominator(steps, self.batch)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy; what was computed from the prices stays behind."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("_rates", None)
        return copied

    @property
    def content(self) -> list[Any]:
        """What makes costs, in one spelling: for fingerprints, and to tell whether two prices are the same."""
        longer = sorted((step.over, step.amounts) for step in self.long_context)
        return [_plain(self.amounts), str(Fraction(self.batch)), [[over, _plain(amounts)] for over, amounts in longer]]


def _over_one_denominator(
    steps: Iterable[tuple[int, Sequence[Decimal]]], share: Decimal
) -> tuple[int, tuple[_Rates, ...]]:
    """Amounts times ``share``, as integers over a power of ten."""
    exact = [(over, [Fraction(amount) * Fraction(share) for amount in amounts]) for over, amounts in steps]
    denominator = 1
    for _, amounts in exact:
        for amount in amounts:
            denominator *= (amount * denominator).denominator
    return denominator, tuple(
        _Rates(over, *(int(amount * denominator) for amount in amounts)) for over, amounts in exact
    )


def _plain(amounts: Iterable[Decimal]) -> list[str]:
    """One spelling for equal amounts."""
    return [str(Fraction(amount)) for amount in amounts]


def is_pattern(model: str) -> bool:
    """Whether the name of a price stands for several models."""
    return any(sign in model for sign in "*?[")


class PriceSource(Protocol):
    """Where prices come from: the project, the table that ships with evalkit, the simulated models."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    def prices_of(self, model: str) -> Sequence[Price]:
        """Prices, of any day, whose name or pattern fits; in the order of the source."""
        ...

    def digest(self, day: dt.date) -> str:
        """Hash of the prices that are valid on the day."""
        ...


@dataclass(frozen=True)
class PriceList:
    """A source that is a list of prices."""

    name: str
    prices: tuple[Price, ...] = ()

    def prices_of(self, model: str) -> Sequence[Price]:
        """Prices, of any day, whose name or pattern fits."""
        return [price for price in self.prices if price.model == model or fnmatch.fnmatchcase(model, price.model)]

    def digest(self, day: dt.date) -> str:
        """Hash of the prices that are valid on the day; order counts only where it decides."""
        valid = [price for price in self.prices if price.valid_from <= day]
        rows = [[p.model, p.valid_from.isoformat(), p.content] for p in sorted(valid, key=_place)]
        return fingerprint("prices", rows)


@dataclass(frozen=True)
class PriceTable:
    """Prices of all models, with the day for which they are looked up.

    Args:
        prices: Prices of the project.
        day: The day.
        behind: Sources that are asked in order for what ``prices`` has no price for.
    """

    prices: tuple[Price, ...] = ()
    day: dt.date = field(default_factory=dt.date.today)
    behind: tuple[PriceSource, ...] = ()
    _found: dict[str, tuple[Price, str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def find(self, model: str) -> Price:
        """The price of the first source that has one valid on the day.

        Within a source an exact name wins over a pattern, and the newest price over older ones.

        Raises:
            ConfigError: when there is none.
        """
        found = self.lookup(model)
        if found is None:
            raise ConfigError(
                "no price for this model: its cost would count as zero",
                key="prices",
                value=model,
                fix="add `- {model: NAME, input: USD, output: USD}`, per million tokens, under `prices:`",
            )
        return found[0]

    def lookup(self, model: str) -> tuple[Price, str] | None:
        """The price of a model and the name of the source that has it; None where there is none."""
        known = self._found.get(model)
        if known is not None:
            return known
        for source in self.sources:
            price = _in_force(source.prices_of(model), model, self.day)
            if price is not None:
                self._found[model] = price, source.name
                return self._found[model]
        return None

    def cost_of(self, model: str, usage: Usage, stated: int | None = None) -> int | None:
        """Micro-dollars of a call: what its answer states, else by its tokens; None where it tells neither.

        Raises:
            ConfigError: when the model has no price.
        """
        if stated is not None or usage.source == "none":
            return stated
        return self.find(model).cost_microusd(usage)

    @property
    def sources(self) -> tuple[PriceSource, ...]:
        """All sources, in the order in which they are asked."""
        return PriceList("project", self.prices), *self.behind

    @property
    def fingerprint(self) -> str:
        """Hash of the prices of all sources that are valid on the day."""
        return fingerprint("price table", [source.digest(self.day) for source in self.sources])

    def fingerprints_of(self, models: Iterable[str]) -> dict[str, str]:
        """Hash of the price of each model on the day: costs can be compared where those of a model are equal.

        Raises:
            ConfigError: when one has no price.
        """
        return {model: fingerprint("price", self.find(model).content) for model in models}

    def with_prices(self, prices: Iterable[Price]) -> PriceTable:
        """A table with a source in front of all others."""
        own: tuple[PriceSource, ...] = (PriceList("more", self.prices),) if self.prices else ()
        return PriceTable(tuple(prices), self.day, (*own, *self.behind))


def _in_force(prices: Iterable[Price], model: str, day: dt.date) -> Price | None:
    """Of prices that fit: an exact name before a pattern, then the newest, then the first."""
    valid = [price for price in prices if price.valid_from <= day]
    exact = [price for price in valid if price.model == model]
    return max(exact or valid, key=lambda price: price.valid_from, default=None)


def _place(price: Price) -> tuple[bool, str, dt.date]:
    """Prices of one place compete, and the first of them counts: those of a name, or all patterns, of one day."""
    pattern = is_pattern(price.model)
    return pattern, "" if pattern else price.model, price.valid_from
