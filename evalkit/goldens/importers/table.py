"""Tables of cases, one row a case: which column is what, and rows to cases.

Names are compared without case, and with blanks and dashes as underscores:

=====================================  =================================================================
column                                 becomes
=====================================  =================================================================
id, case_id, item_id                   the id; where it is missing, one is made from what the row asks
input, question, prompt, query         the user message; needed
context, documents                     context: a text, a list of texts, or a list of ``{id, text, …}``
expected, answer, reference, ideal     the reference answer
facts                                  facts that must appear: a list, or texts with ``;`` between them;
                                       a list in the list holds the accepted wordings of one fact
forbidden                              texts that must not appear, written like facts
behaviour, behavior,                   what a right answer does: answer, refuse, clarify, abstain or
expected_behaviour, expected_behavior  escalate
tools                                  list of tool schemas
tool_calls, expected_tools             list of right calls, ``[]`` for none at all
locale, language                       the locale, such as de-DE
intent, category, type                 the intent
risk, critical, role, tenant,          the field of that name; tags are a list, or have ``;`` or ``,``
cluster, tags                          between them
any other                              a slice, when it has at most 20 distinct values and fewer than
                                       half the rows; else nothing, and the notes name it
=====================================  =================================================================

A list is a list column in Parquet and JSON in CSV. Two columns for the same thing are refused where
that would leave open what is asked or expected; elsewhere the first name above counts, and the
other column is like any other.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from evalkit.goldens.importers import fields
from evalkit.goldens.importers.assemble import Draft
from evalkit.goldens.importers.notes import Notes
from evalkit.goldens.source import Place
from evalkit.records import Case, Expectation, Json, Message, ToolSpec

__all__ = ["COLUMNS", "Table", "rows_to_drafts"]

_CONTENT: Mapping[str, tuple[str, ...]] = {
    "input": ("input", "question", "prompt", "query"),
    "context": ("context", "documents"),
    "expected": ("expected", "answer", "reference", "ideal"),
    "facts": ("facts",),
    "forbidden": ("forbidden",),
    "behaviour": ("behaviour", "behavior", "expected_behaviour", "expected_behavior"),
    "tools": ("tools",),
    "tool_calls": ("tool_calls", "expected_tools"),
}
COLUMNS: Mapping[str, tuple[str, ...]] = {**_CONTENT, **fields.ATTRIBUTES}
"""What a column can be, with the names that it goes by."""


@dataclass(frozen=True)
class Table:
    """A table as read. ``rows`` are numbered as a person counts them."""

    path: Path
    columns: Sequence[str]
    rows: Sequence[tuple[int, Sequence[Any]]]


def rows_to_drafts(table: Table, notes: Notes) -> list[Draft]:
    """Each row as a case.

    Raises:
        GoldenSetError: when columns are missing or ambiguous, or a cell does not fit its column.
    """
    known, others = _map_columns(table, notes)
    drafts = []
    for number, row in table.rows:
        place = Place(table.path, key=f"row {number}: ")
        labels = {name: table.columns[index].strip() for name, index in known.items()}
        cells = {labels[name]: fields.plain_value(row[index], place.at(labels[name])) for name, index in known.items()}
        extra = {name: _slice_value(row[index], place.at(name)) for name, index in others.items()}
        drafts.append(Draft(_case(cells, labels, place, notes), place, extra))
    return drafts


def _map_columns(table: Table, notes: Notes) -> tuple[dict[str, int], dict[str, int]]:
    """The columns that a case knows by what they are, and the others by their own name."""
    place = Place(table.path, key="columns")
    by_name: dict[str, int] = {}
    for index, column in enumerate(table.columns):
        name = re.sub(r"[\s\-]+", "_", column.strip()).casefold()
        if name in by_name:
            raise place.error("two columns have the same name", column, fix="rename or remove one")
        if name:
            by_name[name] = index
        else:
            notes.add(f"column {index + 1} has no name and was not taken over")
    known: dict[str, int] = {}
    for field, names in COLUMNS.items():
        there = [name for name in names if name in by_name]
        if len(there) > 1 and field in _CONTENT:
            columns = ", ".join(table.columns[by_name[name]] for name in there)
            raise place.error(f"two columns for the same thing: {field}", columns, fix="rename or remove one")
        if there:
            known[field] = by_name[there[0]]
    if "input" not in known:
        raise place.error(
            "no column holds the input",
            ", ".join(table.columns),
            fix=f"name the column with the user's message one of: {', '.join(_CONTENT['input'])}",
        )
    taken = set(known.values())
    return known, {table.columns[index].strip(): index for index in by_name.values() if index not in taken}


def _slice_value(value: Any, place: Place) -> Json:
    """A cell that might be a slice; anything but a plain scalar stands as a list, which is none."""
    if value is None or isinstance(value, (str, bool, int, float, Decimal, dt.date, dt.time)):
        return fields.plain_value(value, place)
    return []


def _case(cells: Mapping[str, Json], labels: Mapping[str, str], place: Place, notes: Notes) -> Case:
    """A row as a case. ``cells`` go by the names of the columns; ``labels`` say which column is what."""
    if fields.is_missing(cells[labels["input"]]):
        raise place.at(labels["input"]).error("the row has no input", fix="write the user's message, or remove the row")

    def cell(name: str, read: Callable[[Json, Place], Any], default: Any) -> Any:
        value = cells.get(labels.get(name, ""))
        return default if fields.is_missing(value) else read(value, place.at(labels[name]))

    tools: tuple[ToolSpec, ...] = cell("tools", fields.tool_specs, ())
    expect = Expectation(
        behaviour=cell("behaviour", fields.behaviour, "answer"),
        facts=cell("facts", fields.facts, ()),
        forbidden=cell("forbidden", fields.texts, ()),
        answer=cell("expected", fields.text, None),
        tools=cell("tool_calls", lambda value, here: fields.expected_tools(value, tools, here), None),
    )
    names = {name: label for name, label in labels.items() if name in fields.ATTRIBUTES}
    described = fields.attributes(cells, names, place)
    return Case(
        id=described.pop("id", ""),
        input=(Message("user", cell("input", fields.text, "")),),
        expect=expect,
        context=cell("context", lambda value, here: fields.documents(value, here, notes), ()),
        tools=tools,
        **described,
    )
