"""JSON Schema (2020-12) for tools: is a schema one, and does a value fit it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match

from evalkit.fingerprint import canonical_json

__all__ = ["schema_problems", "value_problems"]


def schema_problems(schema: Any) -> list[str]:
    """Why ``schema`` is not a JSON Schema for a tool's arguments; empty when it is one."""
    if not isinstance(schema, Mapping):
        return ["the parameters must be a JSON Schema object"]
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        return [f"not JSON Schema: {error.message}" + (f" (at {where})" if where else "")]
    if schema and schema.get("type", "object") != "object":
        return ["the arguments of a tool are an object: `type: object`"]
    return []


def value_problems(schema: Any, value: Any) -> list[str]:
    """Why ``value`` does not fit ``schema``, each with the path; empty when it fits."""
    validator = _validator(canonical_json(schema))
    problems = sorted(validator.iter_errors(value), key=lambda error: [str(part) for part in error.absolute_path])
    result = []
    for problem in problems:
        deepest = best_match([problem]) or problem
        where = ".".join(str(part) for part in deepest.absolute_path)
        result.append(f"{where}: {deepest.message}" if where else deepest.message)
    return result


@lru_cache(maxsize=1024)
def _validator(schema: bytes) -> Draft202012Validator:
    import json

    return Draft202012Validator(json.loads(schema))
