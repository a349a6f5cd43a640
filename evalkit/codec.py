"""Records to JSON and back, by way of pydantic's compiled (de)serialisers."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

__all__ = ["ValidationError", "decode", "encode", "plain", "strict"]

T = TypeVar("T")


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Building an adapter is slow, using one is fast."""
    found = _ADAPTERS.get(kind)
    if found is None:
        found = _ADAPTERS[kind] = TypeAdapter(kind)
    return found


_STRICT: dict[Any, type[BaseModel]] = {}


def _strict_model(kind: Any) -> type[BaseModel]:
    """A model around the record hands its refusal of unknown keys down to every level."""
    found = _STRICT.get(kind)
    if found is None:
        found = _STRICT[kind] = create_model("Strict", __config__=ConfigDict(extra="forbid"), record=(kind, ...))
    return found


def encode(record: object) -> bytes:
    """A record as compact JSON."""
    return _adapter(type(record)).dump_json(record)


def plain(record: object, *, exclude_defaults: bool = False, mode: Literal["json", "python"] = "json") -> Any:
    """A record as dicts, lists and scalars. ``json`` makes NaN null and dates text; ``python`` keeps what is there."""
    return _adapter(type(record)).dump_python(record, mode=mode, exclude_defaults=exclude_defaults)


def decode(kind: type[T], data: bytes | str | Any) -> T:
    """A record from JSON text or plain data that evalkit wrote itself; unknown keys are ignored.

    Raises:
        ValidationError: when the data does not fit.
    """
    adapter = _adapter(kind)
    result: T = adapter.validate_json(data) if isinstance(data, (bytes, str)) else adapter.validate_python(data)
    return result


def strict(kind: type[T], data: Any) -> T:
    """A record from plain data that a person wrote: unknown keys are refused at every level.

    Raises:
        ValidationError: its locations start with ``record``.
    """
    model: Any = _strict_model(kind).model_validate({"record": data})
    result: T = model.record
    return result
