"""What tokens cost: a dated table, integer micro-dollars, and no price is an error, never zero."""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from pydantic import Field

from evalkit.configfile import FileModel
from evalkit.errors import ConfigError
from evalkit.fingerprint import fingerprint
from evalkit.records import Usage

__all__ = ["Price", "PriceTable"]


class Price(FileModel):
    """Price of a model from a day on, in US dollars per million tokens."""

    model: str = Field(description="Model as the provider names it; `*` stands for anything.")
    valid_from: dt.date = Field(default=dt.date(2020, 1, 1), description="First day of this price.")
    input: Decimal = Field(ge=0, description="US dollars per million input tokens.")
    output: Decimal = Field(ge=0, description="US dollars per million output tokens.")
    cached_input: Decimal | None = Field(
        default=None, ge=0, description="US dollars per million cached input tokens; default the input price."
    )

    def cost_microusd(self, usage: Usage) -> int:
        """Micro-dollars for the tokens of a call: a dollar per million tokens is a micro-dollar per token."""
        cached = self.input if self.cached_input is None else self.cached_input
        total = (
            (usage.input_tokens - usage.cached_tokens) * self.input
            + usage.cached_tokens * cached
            + usage.output_tokens * self.output
        )
        return int(total.quantize(Decimal(1), ROUND_HALF_UP))


@dataclass(frozen=True)
class PriceTable:
    """Prices of all models, with the day for which they are looked up."""

    prices: tuple[Price, ...] = ()
    day: dt.date = field(default_factory=dt.date.today)

    def find(self, model: str) -> Price:
        """The newest price that is valid on the day; an exact name wins over a pattern.

        Raises:
            ConfigError: when there is none.
        """
        valid = self._valid
        exact = [price for price in valid if price.model == model]
        found = exact or [price for price in valid if fnmatch.fnmatchcase(model, price.model)]
        if not found:
            raise ConfigError(
                "no price for this model: its cost would count as zero",
                key="prices",
                value=model,
                fix="add `- {model: NAME, input: USD, output: USD}`, per million tokens, under `prices:`",
            )
        return max(found, key=lambda price: price.valid_from)

    @property
    def _valid(self) -> list[Price]:
        return [price for price in self.prices if price.valid_from <= self.day]

    @property
    def fingerprint(self) -> str:
        """Hash of the prices in force on the day, and before it; order counts only where it decides."""
        rows = [
            [p.model, p.valid_from.isoformat(), *map(_plain, (p.input, p.output, p.cached_input))]
            for p in sorted(self._valid, key=_place)
        ]
        return fingerprint("prices", rows)

    def fingerprints_of(self, models: Iterable[str]) -> dict[str, str]:
        """Hash of the price of each model on the day: costs can be compared where those of a model are equal.

        Raises:
            ConfigError: when one has no price.
        """
        found = {model: self.find(model) for model in models}
        return {
            model: fingerprint("price", [*map(_plain, (p.input, p.output, p.cached_input))])
            for model, p in found.items()
        }

    def with_prices(self, prices: Iterable[Price]) -> PriceTable:
        """A table with more prices in front."""
        return PriceTable((*prices, *self.prices), self.day)


def _plain(amount: Decimal | None) -> str:
    """One spelling for equal amounts."""
    return "" if amount is None else str(amount.normalize())


def _place(price: Price) -> tuple[bool, str, dt.date]:
    """Prices of one place compete, and the first of them counts: those of a name, or all patterns, of one day."""
    pattern = any(sign in price.model for sign in "*?[")
    return pattern, "" if pattern else price.model, price.valid_from
