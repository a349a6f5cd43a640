"""JSON Schema (2020-12) for tools: is a schema one, and does a value fit it.

References are followed within a schema only; nothing is ever fetched from an address.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from evalkit.fingerprint import canonical_json

__all__ = ["Fault", "schema_problems", "value_faults", "value_problems", "value_schema_problems"]

_NO_SCHEMAS = frozenset({"const", "default", "enum", "examples"})
"""Keywords that hold values, in which ``$ref`` would be an ordinary key."""


def schema_problems(schema: Any) -> list[str]:
    """Why ``schema`` is not a JSON Schema for a tool's arguments; empty when it is one."""
    if not isinstance(schema, Mapping):
        return ["the parameters must be a JSON Schema object"]
    problems = value_schema_problems(schema)
    if not problems and schema and schema.get("type", "object") != "object":
        return ["the arguments of a tool are an object: `type: object`"]
    return problems


def value_schema_problems(schema: Mapping[str, Any]) -> list[str]:
    """Why ``schema`` is not a JSON Schema of any value; empty when it is one."""
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        return [f"not JSON Schema: {error.message}" + (f" (at {where})" if where else "")]
    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(dict(schema)))
    result = []
    for reference in sorted(set(_references(schema))):
        try:
            resolver.lookup(reference)
        except Unresolvable:
            result.append(f"not JSON Schema: `$ref: {reference}` leads to nothing inside the schema")
    return result


def _references(schema: Any) -> Iterator[str]:
    """The references of a schema, but for parts with an address of their own, which they are relative to."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            elif key not in _NO_SCHEMAS and not (isinstance(value, Mapping) and "$id" in value):
                yield from _references(value)
    elif isinstance(schema, (list, tuple)):
        for item in schema:
            yield from _references(item)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a value does not fit a schema."""

    path: str
    """Where, with dots: ``payments.0.amount``; empty for the value itself."""
    keyword: str
    """The keyword that does not hold, such as ``type``, ``required``, ``additionalProperties``; ``$ref`` where the
    schema cannot be followed to its end."""
    message: str


def value_faults(schema: Any, value: Any) -> list[Fault]:
    """Why ``value`` does not fit ``schema``, in the order of the paths; empty when it fits.

    A schema that cannot be followed to its end is a fault of every value. ``format`` is an annotation, as 2020-12 has
    it, and arguments that a schema does not name fit it unless it says ``additionalProperties: false``.
    """
    validator = _validator(canonical_json(schema))
    try:
        problems = sorted(validator.iter_errors(value), key=lambda error: [str(part) for part in error.absolute_path])
    except Unresolvable as error:
        return [Fault("", "$ref", f"the schema refers to `{error.ref}`, which is not inside it")]
    except RecursionError:
        return [Fault("", "$ref", "the schema refers to itself without end, or the value is nested too deeply")]
    result = []
    for problem in problems:
        deepest = best_match([problem]) or problem
        where = ".".join(str(part) for part in deepest.absolute_path)
        result.append(Fault(where, str(deepest.validator), deepest.message))
    return result


def value_problems(schema: Any, value: Any) -> list[str]:
    """Why ``value`` does not fit ``schema``, a sentence each with the path; see :func:`value_faults`."""
    return [f"{fault.path}: {fault.message}" if fault.path else fault.message for fault in value_faults(schema, value)]


@lru_cache(maxsize=1024)
def _validator(schema: bytes) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema), registry=Registry())
