"""Golden sets as JSON lines: the form that people edit and review.

One case a line, defaults left out, keys in the order of :class:`evalkit.records.Case`. Two
short forms are understood on the way in: ``"input": "text"`` for a single user message, and
a plain string among ``facts`` for a fact with one wording.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from evalkit import codec
from evalkit.errors import GoldenSetError
from evalkit.records import Case
from evalkit.text import scrub_json

__all__ = ["case_from_json", "case_to_json", "dump_jsonl", "load_jsonl"]


def load_jsonl(path: Path) -> list[Case]:
    """Read cases, one JSON object a line; blank lines are skipped.

    Raises:
        GoldenSetError: naming file, line, key and value of the first problem.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise GoldenSetError(f"cannot read the file: {error.strerror}", file=path) from None
    except UnicodeDecodeError as error:
        raise GoldenSetError(f"not UTF-8 text (byte {error.start})", file=path) from None
    return list(_parse_lines(text, path))


def _parse_lines(text: str, path: Path) -> Iterator[Case]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            raise GoldenSetError(f"not valid JSON: {error.msg}", file=path, line=number) from None
        yield case_from_json(data, file=path, line=number)


def case_from_json(data: Any, *, file: Path | str | None = None, line: int | None = None) -> Case:
    """One case from plain data.

    Raises:
        GoldenSetError: for unknown keys, wrong types, or numbers that JSON does not have.
    """
    if not isinstance(data, dict):
        raise GoldenSetError("a case is a JSON object", file=file, line=line, value=data)
    clean, replaced = scrub_json(data)
    if replaced:
        raise GoldenSetError(
            f"{replaced} lone surrogate(s) in the text", file=file, line=line, fix="save the file as UTF-8"
        )
    not_finite = _find_not_finite(clean)
    if not_finite:
        raise GoldenSetError("NaN and infinity are not JSON", file=file, line=line, key=not_finite)
    try:
        return codec.strict(Case, _long_form(clean))
    except codec.ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"][1:])
        unknown = problem["type"] == "unexpected_keyword_argument"
        raise GoldenSetError(
            f"unknown key `{problem['loc'][-1]}`" if unknown else problem["msg"],
            file=file,
            line=line,
            key=f"{data.get('id', '?')}: {key}",
            value=problem["input"],
            fix="`evalkit schema case` prints the keys" if unknown else None,
        ) from None


def _long_form(data: dict[str, Any]) -> dict[str, Any]:
    result = dict(data)
    if isinstance(result.get("input"), str):
        result["input"] = [{"role": "user", "content": result["input"]}]
    expect = result.get("expect")
    if isinstance(expect, dict) and isinstance(expect.get("facts"), list):
        facts = [[fact] if isinstance(fact, str) else fact for fact in expect["facts"]]
        result["expect"] = {**expect, "facts": facts}
    return result


def _find_not_finite(value: Any, path: str = "") -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return path or "."
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        found = _find_not_finite(item, f"{path}.{key}" if path else str(key))
        if found:
            return found
    return None


def case_to_json(case: Case) -> dict[str, Any]:
    """A case as plain data in the short form, defaults left out."""
    data: dict[str, Any] = codec.plain(case, exclude_defaults=True)
    turns = data["input"]
    if len(turns) == 1 and set(turns[0]) == {"role", "content"} and turns[0]["role"] == "user":
        data["input"] = turns[0]["content"]
    facts = data.get("expect", {}).get("facts")
    if facts:
        data["expect"]["facts"] = [fact[0] if len(fact) == 1 else fact for fact in facts]
    return data


def dump_jsonl(cases: Iterable[Case]) -> str:
    """Cases as JSON lines, sorted by id, ending in a newline."""
    ordered = sorted(cases, key=lambda case: case.id)
    return "".join(json.dumps(case_to_json(case), ensure_ascii=False, allow_nan=False) + "\n" for case in ordered)
