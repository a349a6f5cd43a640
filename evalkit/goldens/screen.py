"""Which rows of a golden set may break a rule: the rules column by column, for all rows at once.

A screen says of most rows that :func:`evalkit.goldens.rules.validate_case` has nothing to find in
them, and never says so wrongly; of the others it need not be sure. Only those become cases that the
rules are held against, so that the rules stand in one place and are cheap on a million rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.goldens.rules import is_date, is_locale
from evalkit.jsonschemas import schema_problems

__all__ = ["Screen"]

Mask: TypeAlias = NDArray[np.bool_]

_SPACE = "".join(map(chr, filter(lambda code: chr(code).isspace(), range(0x3001))))
"""What ``str.strip`` takes away."""
_BETWEEN = "\0"
_PLAIN = ("variables_json", "role", "tenant", "locale")
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Screen:
    """Some rows of a golden set, each of which is a case."""

    rows: pa.RecordBatch

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def suspects(self, corpus_ids: frozenset[str]) -> Mask:
        """The rows in which there may be something to find.

        Args:
            corpus_ids: Ids of documents that retrieval may find beside those of the case.
        """
        return (
            self._conversation()
            | self._keys()
            | self._documents()
            | self._citations(corpus_ids)
            | self._facts()
            | self._unsupported_facts()
            | self._tools()
            | self._matches()
        )

    @cached_property
    def conversations(self) -> list[str]:
        """All that is said in each case."""
        return _strings(_joined(self._input, self._input.values("content")))

    @cached_property
    def documents(self) -> list[str]:
        """All that the documents of each case say."""
        return _strings(_joined(self._context, self._context.values("text")))

    @cached_property
    def reach(self) -> NDArray[np.uint64]:
        """A hash of what reaches the model in each case: where it differs, so do the cases.

        Of documents and tool results it sees the length alone; the few cases that this leaves alike are compared whole.
        """
        mixed = np.fromiter(map(hash, self.conversations), np.int64, len(self)).astype(np.uint64)
        recorded = _Lists(self.rows.column("recorded_tools"))
        parts = [_sizes(self._context, self._context.values("text")), _sizes(recorded, recorded.values("result_json"))]
        parts += [_mapped(self.rows.column(name), hash, np.int64) for name in _PLAIN]
        for part in parts:
            mixed = mixed * _MIX + part.astype(np.uint64)
        return mixed

    @cached_property
    def _input(self) -> _Lists:
        return _Lists(self.rows.column("input"))

    @cached_property
    def _context(self) -> _Lists:
        return _Lists(self.rows.column("context"))

    @cached_property
    def _expect(self) -> Any:
        return self.rows.column("expect")

    def _expected(self, name: str) -> _Lists:
        return _Lists(pc.struct_field(self._expect, name))

    def _conversation(self) -> Mask:
        turns = self._input
        last = np.ones(len(self), np.bool_)
        wrong = ~_among(turns.values("role"), "user", "tool")
        filled = turns.lengths > 0
        last[filled] = wrong[turns.ends[filled] - 1]
        silent = _blank(turns.values("content")) & (_Lists(turns.values("tool_calls")).lengths == 0)
        return last | turns.any(silent)

    def _keys(self) -> Mask:
        bad_locale = ~_where(self.rows.column("locale"), is_locale)
        low = _among(self.rows.column("risk"), "low", "medium")
        critical: Mask = self.rows.column("critical").to_numpy(zero_copy_only=False)
        no_intent: Mask = pc.binary_length(self.rows.column("intent")).to_numpy() == 0
        return bad_locale | no_intent | (critical & low)

    def _documents(self) -> Mask:
        context = self._context
        dates = context.values("date")
        bad = _blank(context.values("text")) | (_where(dates, lambda date: date is not None and not is_date(date)))
        found = context.any(bad)
        if (context.lengths > 1).any():
            names = _numbers(context.values("id"))
            keys, counts = np.unique(context.owners * (int(names.max()) + 1) + names, return_counts=True)
            found[keys[counts > 1] // (int(names.max()) + 1)] = True
        return found

    def _citations(self, corpus_ids: frozenset[str]) -> Mask:
        cited = self._expected("citations")
        if not len(cited.items):
            return np.zeros(len(self), np.bool_)
        held = self._held(cited, self._context, self._context.values("id"))
        return cited.any(~held & ~_where(cited.items, lambda name: name in corpus_ids))

    def _held(self, wanted: _Lists, others: _Lists, values: Any) -> Mask:
        """For each wanted text, whether it is among the other texts of its row."""
        numbers = _numbers(pa.concat_arrays([wanted.items, values]))
        size = int(numbers.max()) + 1
        count = len(wanted.items)
        held: Mask = np.isin(wanted.owners * size + numbers[:count], others.owners * size + numbers[count:])
        return held

    def _facts(self) -> Mask:
        expect = self._expect
        facts, forbidden = self._expected("facts"), self._expected("forbidden")
        wordings = _Lists(facts.items)
        found = facts.any((wordings.lengths == 0) | wordings.any(_blank(wordings.items)))
        found |= (facts.lengths > 0) & (forbidden.lengths > 0) & self._contradicted(facts, wordings, forbidden)
        unchecked = (facts.lengths == 0) & (forbidden.lengths == 0)
        unchecked &= _among(pc.struct_field(expect, "behaviour"), "answer")
        unchecked &= np.equal(pc.fill_null(pc.binary_length(pc.struct_field(expect, "answer")), 0).to_numpy(), 0)
        unchecked &= ~pc.struct_field(expect, "tools").is_valid().to_numpy(zero_copy_only=False)
        found |= unchecked
        return found

    def _contradicted(self, facts: _Lists, wordings: _Lists, forbidden: _Lists) -> Mask:
        found = np.zeros(len(self), np.bool_)
        if len(forbidden.items) and len(wordings.items):
            owners = facts.owners[wordings.owners]
            concerned = forbidden.lengths[owners] > 0
            texts = [text.casefold() for text in _strings(wordings.items.filter(pa.array(concerned)))]
            bad: set[tuple[int, str]] = set(
                zip(forbidden.owners.tolist(), (text.casefold() for text in _strings(forbidden.items)), strict=True)
            )
            for owner, text in zip(owners[concerned].tolist(), texts, strict=True):
                found[owner] |= (owner, text) in bad
        return found

    def _unsupported_facts(self) -> Mask:
        """A fact none of whose wordings stands as it is in a message or document; it may still in other spelling."""
        facts = self._expected("facts")
        wordings = _Lists(facts.items)
        texts = _strings(wordings.items)
        said, written = self.conversations, self.documents
        owners = facts.owners[wordings.owners].tolist()
        found = [text in written[row] or text in said[row] for text, row in zip(texts, owners, strict=True)]
        if _BETWEEN in "".join(texts):
            found = [False] * len(texts)
        sources = (self._context.lengths > 0) | (_Lists(self.rows.column("recorded_tools")).lengths > 0)
        return sources & facts.any(~wordings.any(np.array(found, np.bool_)) & (wordings.lengths > 0))

    def _tools(self) -> Mask:
        tools = _Lists(self.rows.column("tools"))
        broken = _where(tools.values("parameters_json"), lambda text: bool(schema_problems(json.loads(text))))
        expected: Mask = pc.struct_field(self._expect, "tools").is_valid().to_numpy(zero_copy_only=False)
        return tools.any(broken) | expected

    def _matches(self) -> Mask:
        stated: Mask = pc.struct_field(self._expect, "match").is_valid().to_numpy(zero_copy_only=False)
        return stated


class _Lists:
    """The items of a column of lists, and which row each is of."""

    def __init__(self, column: Any) -> None:
        self.items = column.flatten()
        self.lengths: NDArray[np.int64] = pc.list_value_length(column).to_numpy().astype(np.int64)
        self.ends: NDArray[np.int64] = np.cumsum(self.lengths)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """The row of each item."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def values(self, name: str) -> Any:
        """One field of the items."""
        return pc.struct_field(self.items, name)

    def any(self, flags: Mask) -> Mask:
        """The rows with an item that has a flag."""
        found = np.zeros(len(self.lengths), np.bool_)
        if flags.any():
            found[self.owners[flags]] = True
        return found


def _strings(array: Any) -> list[str]:
    texts: list[str] = array.to_numpy(zero_copy_only=False).tolist()
    return texts


def _joined(lists: _Lists, values: Any) -> Any:
    """The texts of each row as one."""
    if len(values) == len(lists.lengths) and (lists.lengths == 1).all():
        return values if not values.null_count else values.fill_null("")
    offsets = pa.array(np.concatenate([[0], lists.ends]).astype(np.int32))
    return pc.binary_join(pa.ListArray.from_arrays(offsets, values.fill_null("")), _BETWEEN)


def _numbers(values: Any) -> NDArray[np.int64]:
    """A number for each text, equal where the texts are."""
    numbers: NDArray[np.int64] = values.dictionary_encode().indices.to_numpy().astype(np.int64)
    return numbers


def _among(values: Any, *words: str) -> Mask:
    found: Mask = pc.is_in(values, pa.array(words)).to_numpy(zero_copy_only=False)
    return found


def _where(values: Any, predicate: Callable[[Any], bool]) -> Mask:
    """Where a predicate holds, which is asked once for each different value."""
    found: Mask = _mapped(values, predicate, np.bool_)
    return found


def _mapped(values: Any, function: Callable[[Any], Any], kind: Any) -> Any:
    """What a function makes of each value; it is asked once for each different one."""
    if not len(values):
        return np.zeros(0, kind)
    encoded = values.dictionary_encode(null_encoding="encode")
    results = np.array([function(value) for value in encoded.dictionary.to_pylist()], kind)
    return results[encoded.indices.to_numpy()]


def _sizes(lists: _Lists, texts: Any) -> NDArray[np.int64]:
    """The bytes of the texts of each row."""
    sizes = np.zeros(len(lists.lengths), np.int64)
    if len(texts):
        np.add.at(sizes, lists.owners, pc.fill_null(pc.binary_length(texts), 0).to_numpy())
    return sizes


def _blank(texts: Any) -> Mask:
    """Where a text is nothing but white space."""
    blank: Mask = ~_begins_plainly(texts)
    if blank.any():
        trimmed = pc.utf8_trim(texts.filter(pa.array(blank)), _SPACE)
        blank[blank] = pc.binary_length(trimmed).to_numpy() == 0
    return blank


def _begins_plainly(texts: Any) -> Mask:
    """Where the first character of a text is a visible one of ASCII."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    filled = np.diff(offsets) > 0
    plain = np.zeros(len(texts), np.bool_)
    if filled.any():
        first = np.frombuffer(texts.buffers()[2], np.uint8)[offsets[:-1][filled]]
        plain[filled] = (first > 0x20) & (first < 0x7F)
    return plain
