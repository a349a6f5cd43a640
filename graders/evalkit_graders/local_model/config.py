"""What a model's ``config.json`` says: its kind, its labels and how much it reads."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import GraderError

__all__ = ["ModelConfig", "label_index", "read_config"]

_OFFSET = ("roberta", "xlm-roberta", "camembert")
"""Families whose positions begin after the padding token's."""


@dataclass(frozen=True)
class ModelConfig:
    """A model's configuration."""

    family: str
    """``model_type``: bert, roberta..."""
    architecture: str
    """The class that it was saved from: ``BertForSequenceClassification``."""
    labels: tuple[str, ...]
    max_tokens: int | None
    """The longest input with special tokens; None where it does not say."""
    pad: int
    """The token that fills up a batch."""
    values: Mapping[str, Any]
    """All of it."""


def read_config(content: bytes, path: Path) -> ModelConfig:
    """Read a ``config.json``.

    Raises:
        GraderError: when it is no JSON object, or its labels are not numbered from 0.
    """
    try:
        values = json.loads(content)
    except ValueError as error:
        raise GraderError(f"not JSON: {error}", file=path) from None
    if not isinstance(values, dict):
        raise GraderError("not a JSON object", file=path)
    family, classes = str(values.get("model_type", "")), values.get("architectures")
    named = values.get("id2label")
    count = named if isinstance(named, dict) else {str(i): f"LABEL_{i}" for i in range(values.get("num_labels", 2))}
    if not count or sorted(count) != sorted(map(str, range(len(count)))):
        raise GraderError("labels are numbered from 0", file=path, key="id2label", value=named)
    longest, pad = values.get("max_position_embeddings"), values.get("pad_token_id")
    pad = pad if isinstance(pad, int) else 0
    if isinstance(longest, int) and family in _OFFSET:
        longest -= pad + 1
    return ModelConfig(
        family,
        str(classes[0]) if isinstance(classes, list) and classes else "",
        tuple(str(count[str(index)]) for index in range(len(count))),
        longest if isinstance(longest, int) and longest > 0 else None,
        pad,
        values,
    )


def label_index(config: ModelConfig, wanted: str, usual: Collection[str], key: str) -> int:
    """The place of a label.

    Args:
        config: The model's.
        wanted: Its name, whatever the case; empty to find it by ``usual``.
        usual: Names in lower case that mean the same thing in published models.
        key: The parameter, for errors.

    Raises:
        GraderError: when the model has no such label, or none or several of the usual ones.
    """
    names = [label.casefold() for label in config.labels]
    found = [place for place, name in enumerate(names) if (name == wanted.casefold() if wanted else name in usual)]
    if not wanted and len(names) == 1:
        found = [0]
    if len(found) != 1:
        raise GraderError(
            "the model has no such label" if wanted else "which label means it cannot be told from their names",
            key=key, value=wanted or None, fix=f"name one of the model's labels: {', '.join(config.labels)}",
        )  # fmt: skip
    return found[0]
