"""The canonical content digest of a golden set: what identifies a version.

Parquet bytes differ between versions of the writer, so a file hash cannot name the content.
Instead every value has one canonical byte form, built column by column:

=========  ==========================================================================
null       ``N``
boolean    ``T`` or ``F``
integer    ``I``, decimal digits, ``;``
float      ``D``, the 16 hex digits of the big-endian IEEE-754 double (-0.0 as 0.0)
string     ``S``, the number of UTF-8 bytes in decimal, ``:``, the bytes
list       ``L``, the number of items in decimal, ``[``, the items, ``]``
struct     ``{``, for each field its name as a string and its value, ``}``
=========  ==========================================================================

A field that golden sets got later (:data:`evalkit.goldens.schema.LATER`) is left out where it is null, so that a
set that does not use it keeps its digest.

A case digest is SHA-256 over the struct of all columns in schema order; the set digest is
SHA-256 over the schema version and the case digests in id order. The form is injective.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evalkit.fingerprint import fingerprint_stream
from evalkit.goldens.schema import LATER, SCHEMA_VERSION

__all__ = ["WIDTH", "Digests", "canonical_value", "case_digests", "row_digests", "set_digest"]

WIDTH = 32
"""Bytes of a digest."""

_BATCH = 16_384
"""Rows encoded at a time: so many that what a call of Arrow costs does not show."""
_HEADS = 4_096

Digests: TypeAlias = bytes | memoryview
"""Digests of some rows, one behind the other."""
Part: TypeAlias = Any
"""A piece of the canonical form of all rows: bytes where it is the same in each, else an array of large_binary."""


def case_digests(table: pa.Table) -> list[str]:
    """SHA-256 of each row's canonical form, in row order, as lower-case hex."""
    digests = row_digests(table)
    return [digests[start : start + WIDTH].hex() for start in range(0, len(digests), WIDTH)]


def row_digests(table: pa.Table | pa.RecordBatch) -> bytes:
    """SHA-256 of each row's canonical form, in row order, 32 bytes each."""
    return b"".join(
        _hashes(_single(table.slice(start, _BATCH).columns, table.schema.names))
        for start in range(0, table.num_rows, _BATCH)
    )


def set_digest(digests: Digests) -> str:
    """The digest of a whole set from its case digests in id order, 32 bytes each."""
    return fingerprint_stream(f"golden-set/{SCHEMA_VERSION}", _lines(digests))


def _lines(digests: Digests) -> Iterator[bytes]:
    """The digests in hex with a line feed between them, piece by piece."""
    for start in range(0, len(digests), WIDTH * _BATCH):
        text = digests[start : start + WIDTH * _BATCH].hex("\n", WIDTH).encode()
        yield b"\n" + text if start else text


def _single(columns: Iterable[Any], names: list[str]) -> pa.StructArray:
    whole = [column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in columns]
    flat = [pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column for column in whole]
    return pa.StructArray.from_arrays(flat, names=names)


def _hashes(rows: pa.StructArray) -> bytes:
    content = _joined(_encode(rows), len(rows))
    data = memoryview(content.buffers()[2])
    sha256 = hashlib.sha256
    return b"".join([sha256(data[start:end]).digest() for start, end in pairwise(_offsets(content).tolist())])


def _offsets(array: Any) -> Any:
    """Where the values of a large_binary array begin in its data, and where the last one ends."""
    start = array.offset
    return np.frombuffer(array.buffers()[1], np.int64)[start : start + len(array) + 1]


def _encode(array: Any) -> list[Part]:
    """The canonical form of the values of an array, which is not empty, as pieces to be put one behind the other."""
    missing = array.null_count
    if missing == len(array):
        return [b"N"]
    parts = _encode_values(array)
    return [_filled(array, parts)] if missing else parts


def _filled(array: Any, parts: list[Part]) -> Any:
    return pc.if_else(array.is_valid(), _joined(parts, len(array)), pa.scalar(b"N", pa.large_binary()))


def _encode_values(array: Any) -> list[Part]:
    """The same for an array whose missing values the caller puts in."""
    kind = array.type
    if pa.types.is_struct(kind):
        return _encode_struct(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _encode_list(array)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _encode_text(array.cast(pa.large_binary()))
    if pa.types.is_boolean(kind):
        return _encode_flags(array.fill_null(False))
    if pa.types.is_integer(kind):
        return [b"I", pc.fill_null(_digits(array), b""), b";"]
    if pa.types.is_floating(kind):
        return [pa.array([_float(value) or b"" for value in array.to_pylist()], pa.large_binary())]
    raise TypeError(f"no canonical form for {kind}")


def _encode_flags(array: Any) -> list[Part]:
    if array.true_count in (0, len(array)):
        return [b"T" if array.true_count else b"F"]
    return [pa.array([b"F", b"T"], pa.large_binary()).take(array.cast(pa.int8()))]


def _float(value: float | None) -> bytes | None:
    return None if value is None else b"D" + struct.pack(">d", value + 0.0).hex().encode()


def _digits(numbers: pa.Array) -> pa.Array:
    return numbers.cast(pa.string()).cast(pa.large_binary())


def _encode_text(text: Any) -> list[Part]:
    if text.null_count:
        text = text.fill_null(b"")
    offsets = _offsets(text)
    lengths = np.diff(offsets)
    length = int(lengths[0])
    if (lengths != length).any():
        return [_heads(b"S%d:", lengths), text]
    data = np.frombuffer(text.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]].reshape(len(text), length)
    same = bool((data[-1] == data[0]).all()) and bool((data == data[0]).all())
    head = b"S%d:" % length
    return [head + data[0].tobytes()] if same else [head, text]


def _heads(form: bytes, numbers: Any) -> Any:
    """A length in decimal in its place in ``form``, for each row."""
    if numbers.max() < _HEADS:
        return _small_heads(form).take(pa.array(numbers))
    return pa.array([form % number for number in numbers.tolist()], pa.large_binary())


@cache
def _small_heads(form: bytes) -> Any:
    return pa.array([form % number for number in range(_HEADS)], pa.large_binary())


def _encode_struct(array: pa.StructArray) -> list[Part]:
    parts: list[Part] = [b"{"]
    for index, field in enumerate(array.type):
        name = field.name.encode()
        head = b"S%d:%s" % (len(name), name)
        values = array.field(index)
        if field.name not in LATER:
            parts += [head, *_encode(values)]
        elif values.null_count < len(values):
            there = _joined([head, *_encode_values(values)], len(values))
            parts.append(pc.if_else(values.is_valid(), there, pa.scalar(b"", pa.large_binary())))
    return [*parts, b"}"]


def _encode_list(array: Any) -> list[Part]:
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
    length = int(lengths[0])
    uniform = bool((lengths == length).all())
    if uniform and length == 0:
        return [b"L0[]"]
    items = _encode(array.flatten())
    if uniform and length == 1:
        return [b"L1[", *items, b"]"]
    offsets = np.zeros(len(array) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    joined = _joined(items, int(offsets[-1]))
    content = pc.binary_join(
        pa.LargeListArray.from_arrays(pa.array(offsets), joined), pa.scalar(b"", pa.large_binary())
    )
    return [b"L%d[" % length if uniform else _heads(b"L%d[", lengths), content, b"]"]


def _joined(parts: list[Part], rows: int) -> Any:
    """The pieces put one behind the other, for each row."""
    pieces: list[Any] = []
    constant = b""
    for part in [*parts, None]:
        if isinstance(part, bytes):
            constant += part
            continue
        if constant:
            pieces.append(pa.scalar(constant, pa.large_binary()))
            constant = b""
        if part is not None:
            pieces.append(part)
    if all(isinstance(piece, pa.Scalar) for piece in pieces):
        return pa.repeat(pieces[0], rows)
    if len(pieces) == 1:
        return pieces[0]
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.large_binary()))


def canonical_value(value: Any) -> bytes:
    """The same canonical form of a plain value, one at a time: the readable definition, and the oracle of the tests."""
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"T" if value else b"F"
    if isinstance(value, int):
        return b"I%d;" % value
    if isinstance(value, float):
        return _float(value) or b"N"
    if isinstance(value, str):
        content = value.encode()
        return b"S%d:%s" % (len(content), content)
    if isinstance(value, dict):
        there = [(key, item) for key, item in value.items() if item is not None or key not in LATER]
        return b"{" + b"".join(canonical_value(key) + canonical_value(item) for key, item in there) + b"}"
    return b"L%d[" % len(value) + b"".join(canonical_value(item) for item in value) + b"]"
