"""The prices that a project goes by: what is in force, whether it is right, and a file of it."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.engine.targets import price_table
from evalkit.errors import ConfigError, UsageError
from evalkit.providers.prices import Price, PriceTable
from evalkit.providers.prices_genai import CheckedModel, GenaiPrices, check_prices
from evalkit.providers.prices_sources import read_prices, shipped_prices, write_prices
from evalkit.workflow import Project, load_workflow
from evalkit.workflow.kinds import SELF_CONTAINED

__all__ = [
    "InForce",
    "Refreshed",
    "check_project",
    "check_shipped",
    "prices_in_force",
    "refresh_project",
    "used_models",
    "write_all",
]


@dataclass(frozen=True)
class InForce:
    """The price of a model on a day, with its source; None where there is no price."""

    model: str
    price: Price | None
    source: str


@dataclass(frozen=True)
class Refreshed:
    """What was written to a price file."""

    path: Path
    models: tuple[str, ...]
    """Models with new entries."""
    kept: tuple[str, ...]
    """Names and patterns whose entries were left as they were."""
    unknown: tuple[str, ...]
    """Models that the project uses and ``genai-prices`` does not know."""


def used_models(project: Project, *, simulated: bool = True) -> dict[str, str]:
    """Models of the project's workflows that need a price, with the address of their provider or an empty text.

    Args:
        project: The project.
        simulated: Whether simulated models are wanted, of whose invented prices no vendor knows.
    """
    found: dict[str, str] = {}
    for name in project.names():
        for pin in load_workflow(project, name).models.values():
            spec = project.spec.providers.get(pin.provider)
            kind = project.kind_of(pin.provider)
            if kind not in SELF_CONTAINED and (simulated or kind != "simulator"):
                found.setdefault(pin.name, (spec.base_url if spec else None) or "")
    return found


def prices_in_force(project: Project | None, models: Sequence[str] = (), day: dt.date | None = None) -> list[InForce]:
    """The prices of models on a day.

    Args:
        project: A project; None for the shipped table alone.
        models: Models that are asked for; none stands for those of the project's workflows, or of the table.
        day: The day; default today.

    Raises:
        ConfigError: when a model that is asked for has no price.
    """
    table = _table(project, day or dt.date.today())
    wanted = models or (used_models(project) if project else shipped_prices().models())
    rows = []
    for model in wanted:
        price, source = table.lookup(model) or (None, "")
        if price is None and models:
            close = difflib.get_close_matches(model, shipped_prices().models(), n=3)
            hint = f"; the table that comes with evalkit has {', '.join(close)}" if close else ""
            raise ConfigError(
                f"no price for this model on {table.day}", key="prices", value=model,
                fix=f"add `- {{model: NAME, input: USD, output: USD}}`, per million tokens, under `prices:`{hint}",
            )  # fmt: skip
        rows.append(InForce(model, price, source))
    return rows


def check_project(project: Project, today: dt.date | None = None) -> list[CheckedModel]:
    """Compare the prices of the models that the project uses with those of ``genai-prices``.

    Raises:
        UsageError: when the package is not installed.
    """
    day = today or dt.date.today()
    genai = GenaiPrices(day)
    return check_prices(used_models(project, simulated=False), _table(project, day), genai)


def check_shipped(today: dt.date | None = None) -> list[CheckedModel]:
    """Compare every name of the shipped table with ``genai-prices``.

    Raises:
        UsageError: when the package is not installed.
    """
    day = today or dt.date.today()
    genai = GenaiPrices(day)
    return check_prices(dict.fromkeys(shipped_prices().names(), ""), _table(None, day), genai)


def refresh_project(project: Project, to: Path, today: dt.date | None = None) -> Refreshed:
    """Write the prices of the models that the project uses into a file; entries of other models there stay.

    Raises:
        UsageError: when the package is not installed, or knows none of the models.
        ConfigError: when there is a file already that holds no prices.
    """
    day = today or dt.date.today()
    genai = GenaiPrices(day)
    found = _known(used_models(project, simulated=False), genai)
    new = {model: prices for model, prices in found.items() if prices}
    if not new:
        raise UsageError(
            "genai-prices knows none of the models that this project uses",
            file=project.source.path,
            fix="write your prices under `prices:`, per million tokens",
        )
    old = read_prices(to) if to.exists() else ()
    kept = [price for price in old if price.model not in new]
    entries = [price for prices in new.values() for price in prices]
    write_prices(to, [*kept, *entries], generated=day, source=genai.source)
    unknown = tuple(model for model, prices in found.items() if not prices)
    return Refreshed(to, tuple(new), tuple(dict.fromkeys(price.model for price in kept)), unknown)


def write_all(to: Path, today: dt.date | None = None) -> Refreshed:
    """Write the prices of all models whose names are their vendor's own: this is how the shipped table is made.

    Raises:
        UsageError: when the package is not installed.
    """
    day = today or dt.date.today()
    genai = GenaiPrices(day)
    prices = list(genai.all_prices())
    write_prices(to, prices, generated=day, source=genai.source, licence=genai.licence)
    return Refreshed(to, tuple(dict.fromkeys(price.model for price in prices)), (), ())


def _known(models: Mapping[str, str], genai: GenaiPrices) -> dict[str, tuple[Price, ...]]:
    return {model: genai.prices_of(model, base_url) for model, base_url in models.items()}


def _table(project: Project | None, day: dt.date) -> PriceTable:
    table = PriceTable(behind=(shipped_prices(),)) if project is None else price_table(project)
    return PriceTable(table.prices, day, table.behind)
