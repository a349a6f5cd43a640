"""The card of a golden set: who owns it, when it is due for a refresh, what changed."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, field_validator

from evalkit.atomic import write_text
from evalkit.configfile import FileModel, parse, read_yaml
from evalkit.errors import GoldenSetError

__all__ = ["Card", "Change", "check_version", "read_card", "write_card"]

CARD_NAME = "card.yaml"
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")
_NO_FILE_NAME = "a version is a file name: letters, digits, dot, dash and underscore"

Pair = Annotated[tuple[str, ...], Field(min_length=2, max_length=2)]
"""Two case ids. Not ``tuple[str, str]``, for which half a pair is a missing key."""


def check_version(version: str) -> None:
    """Refuse a version that is no file name.

    Raises:
        GoldenSetError: for anything else.
    """
    if not _VERSION.fullmatch(version):
        raise GoldenSetError(
            _NO_FILE_NAME, key="version", value=version, fix="begin with a letter or a digit, for example 2026.11.0"
        )


class Change(FileModel):
    """One entry of the changelog, newest first."""

    version: str = Field(description="The version that the entry describes.")
    date: dt.date = Field(description="The day it was built.")
    digest: str = Field(description="The canonical content digest of that version.")
    cases: int = Field(ge=1, description="Number of cases.")
    note: str = Field(default="", description="What changed and why.")

    @field_validator("version")
    @classmethod
    def _file_name(cls, value: str) -> str:
        if not _VERSION.fullmatch(value):
            raise ValueError(_NO_FILE_NAME)
        return value


class Card(FileModel):
    """``card.yaml`` beside the Parquet files."""

    name: str = Field(description="Name of the golden set.")
    description: str = Field(default="", description="What the set covers, and what it does not.")
    owner: str = Field(description="The team or person that answers for it.")
    contact: str = Field(description="How to reach the owner.")
    licence: str = Field(description="Licence of the cases, as an SPDX expression where there is one.")
    refresh_due: dt.date = Field(description="The day by which the owner looks through the cases again.")
    languages: tuple[str, ...] = Field(default=(), description="Locales covered.")
    min_slice: int = Field(default=8, ge=1, description="Slices with fewer cases are reported as thin.")
    allow_similar: tuple[Pair, ...] = Field(
        default=(),
        description="Pairs of case ids that are near duplicates on purpose, such as a safe and an unsafe twin.",
    )
    changelog: tuple[Change, ...] = Field(default=(), description="Versions, newest first.")

    @property
    def latest(self) -> str | None:
        """The newest version named in the changelog."""
        return self.changelog[0].version if self.changelog else None


def read_card(folder: Path) -> Card:
    """Read ``card.yaml`` of a golden set folder.

    Raises:
        ConfigError: when it is missing or does not fit the model.
    """
    return parse(Card, read_yaml(folder / CARD_NAME))


def write_card(folder: Path, card: Card) -> None:
    """Write ``card.yaml`` atomically."""
    data = card.model_dump(mode="json", exclude_defaults=True)
    write_text(folder / CARD_NAME, yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100))
