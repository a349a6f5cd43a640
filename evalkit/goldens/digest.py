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

A case digest is SHA-256 over the struct of all columns in schema order; the set digest is
SHA-256 over the schema version and the case digests in id order. The form is injective.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evalkit.fingerprint import fingerprint_bytes
from evalkit.goldens.schema import SCHEMA_VERSION

__all__ = ["canonical_value", "case_digests", "set_digest"]

_EMPTY = pa.scalar(b"", pa.large_binary())


def case_digests(table: pa.Table) -> list[str]:
    """SHA-256 of each row's canonical form, in row order, as lower-case hex."""
    rows = pa.StructArray.from_arrays(
        [_single(table.column(name)) for name in table.column_names], names=table.column_names
    )
    return [hashlib.sha256(row).hexdigest() for row in _encode(rows).to_pylist()]


def set_digest(digests: list[str]) -> str:
    """The digest of a whole set from its case digests in id order."""
    return fingerprint_bytes(f"golden-set/{SCHEMA_VERSION}", "\n".join(digests).encode())


def _single(column: pa.ChunkedArray) -> pa.Array:
    chunks = column.combine_chunks()
    return pa.concat_arrays(chunks.chunks) if isinstance(chunks, pa.ChunkedArray) else chunks


def _encode(array: pa.Array) -> pa.Array:
    """The canonical form of each value of an array, as large_binary without nulls."""
    kind = array.type
    if pa.types.is_struct(kind):
        encoded = _encode_struct(array)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        encoded = _encode_list(array)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = array.cast(pa.large_binary())
        encoded = _join(b"S", _digits(pc.binary_length(text)), b":", text)
    elif pa.types.is_boolean(kind):
        encoded = pc.if_else(array, pa.scalar(b"T", pa.large_binary()), pa.scalar(b"F", pa.large_binary()))
    elif pa.types.is_integer(kind):
        encoded = _join(b"I", _digits(array), b";")
    elif pa.types.is_floating(kind):
        encoded = pa.array([_float(value) for value in array.to_pylist()], pa.large_binary())
    elif pa.types.is_null(kind):
        encoded = pa.nulls(len(array), pa.large_binary())
    else:
        raise TypeError(f"no canonical form for {kind}")
    return pc.fill_null(pc.if_else(array.is_valid(), encoded, pa.scalar(None, pa.large_binary())), b"N")


def _float(value: float | None) -> bytes | None:
    return None if value is None else b"D" + struct.pack(">d", value + 0.0).hex().encode()


def _digits(numbers: pa.Array) -> pa.Array:
    return numbers.cast(pa.string()).cast(pa.large_binary())


def _join(*parts: Any) -> pa.Array:
    scalars = [pa.scalar(part, pa.large_binary()) if isinstance(part, bytes) else part for part in parts]
    return pc.binary_join_element_wise(*scalars, _EMPTY, null_handling="emit_null")


def _encode_struct(array: pa.StructArray) -> pa.Array:
    parts: list[Any] = [b"{"]
    for index, field in enumerate(array.type):
        name = field.name.encode()
        parts += [b"S%d:%s" % (len(name), name), _encode(array.field(index))]
    return _join(*parts, b"}")


def _encode_list(array: Any) -> pa.Array:
    filled = pc.fill_null(pc.list_value_length(array), 0)
    items = _encode(array.flatten())
    ends = pc.cumulative_sum(filled.cast(pa.int64()))
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends])
    joined = pc.binary_join(pa.LargeListArray.from_arrays(offsets, items), _EMPTY)
    return _join(b"L", _digits(filled), b"[", joined, b"]")


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
        return b"{" + b"".join(canonical_value(key) + canonical_value(item) for key, item in value.items()) + b"}"
    return b"L%d[" % len(value) + b"".join(canonical_value(item) for item in value) + b"]"
