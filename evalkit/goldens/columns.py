"""Records to and from Arrow columns, many at a time.

Reading row by row builds each case three times over: as Arrow scalars, as dictionaries, and as
a record that pydantic checks. Here a column becomes a Python list at once, and the lists of a
record's fields become records. What is checked is the same: Arrow's types stand for most of it,
and missing values, words that are none of a field's, and free values of another shape are
:class:`Unfit`. The caller then reads row by row, which says what is wrong and where.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain, pairwise, repeat
from operator import attrgetter
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.records import Json

__all__ = ["Unfit", "check_records", "decode_records", "encode_records"]

T = TypeVar("T")
Loads = Callable[[Sequence[str]], Sequence[Json]]


class Unfit(Exception):  # noqa: N818 - no failure: the rows have to be read one by one
    """A column holds something that does not fit the field of a record."""


def decode_records(kind: type[T], columns: Mapping[str, pa.Array], rows: int, loads: Loads) -> list[T]:
    """Records of a dataclass from one array a field.

    Args:
        kind: The dataclass. A field of free form has its JSON in a column named ``<field>_json``.
        columns: Arrays of equal length by name.
        rows: Their length.
        loads: Reads JSON texts; each value is one of its own.

    Raises:
        Unfit: when a value does not fit its field.
    """
    values = []
    for name, hint in _fields(typing.cast("Any", kind)):
        column = columns.get(name)
        if column is None:
            values.append(_free(hint, columns[f"{name}_json"], loads))
        else:
            values.append(_decode(hint, column, loads))
    return _filled(kind, values, rows)


def _filled(kind: type[T], values: Sequence[Sequence[Any]], rows: int) -> list[T]:
    """Records from the values of their fields, set slot by slot: the constructor of a frozen dataclass takes thrice."""
    records = list(map(object.__new__, repeat(kind, rows)))
    for set_slot, column in zip(_slots(typing.cast("Any", kind)), values, strict=True):
        deque(map(set_slot, records, column), maxlen=0)
    return records


@cache
def _slots(kind: Any) -> tuple[Callable[[Any, Any], None], ...]:
    if hasattr(kind, "__post_init__"):
        raise TypeError(f"{kind.__name__} has more to do than to set its fields")
    return tuple(getattr(kind, name).__set__ for name, _ in _fields(kind))


@cache
def _fields(kind: Any) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((field.name, hints[field.name]) for field in dataclasses.fields(kind))


def _decode(hint: Any, array: Any, loads: Loads) -> Sequence[Any]:
    """The values of an array as a field of this type holds them."""
    origin = typing.get_origin(hint)
    if origin in {types.UnionType, typing.Union}:
        return _optional(typing.get_args(hint)[0], array, loads)
    if array.null_count:
        raise Unfit
    if hint is str:
        return _texts(array)
    if hint in {bool, float}:
        return typing.cast("Sequence[Any]", array.to_pylist())
    if origin is Literal:
        return _words(array, frozenset(typing.get_args(hint)))
    if origin is tuple:
        return _tuples(typing.get_args(hint)[0], array, loads)
    if dataclasses.is_dataclass(hint):
        columns = {field.name: array.field(index) for index, field in enumerate(array.type)}
        return decode_records(typing.cast("type", hint), columns, len(array), loads)
    return _text_maps(array)


def _optional(hint: Any, array: Any, loads: Loads) -> Sequence[Any]:
    missing = array.null_count
    if missing == len(array):
        return [None] * missing
    if not missing:
        return _decode(hint, array, loads)
    if hint is str:
        return _texts(array)
    values = iter(_decode(hint, array.drop_null(), loads))
    return [next(values) if valid else None for valid in array.is_valid().to_pylist()]


def _texts(array: Any) -> list[Any]:
    return typing.cast("list[Any]", array.to_pylist())


def _words(array: Any, known: frozenset[str]) -> list[str]:
    values = _texts(array)
    if not known.issuperset(values):
        raise Unfit
    return values


def _tuples(hint: Any, array: Any, loads: Loads) -> list[tuple[Any, ...]]:
    lengths = _lengths(array)
    most = int(lengths.max(initial=0))
    if most == 0:
        return [()] * len(array)
    items = _decode(hint, array.flatten(), loads)
    if most == 1 and len(items) == len(array):
        return list(zip(items, strict=True))
    ends = np.cumsum(lengths).tolist()
    return [tuple(items[start:end]) if start < end else () for start, end in pairwise([0, *ends])]


def _lengths(array: Any) -> NDArray[np.int32]:
    """Lengths of lists of which none is null."""
    found = pc.list_value_length(array)
    if not len(found):
        return np.empty(0, np.int32)
    return np.frombuffer(found.buffers()[1], np.int32, count=found.offset + len(found))[found.offset :]


def _text_maps(array: Any) -> list[dict[str, str]]:
    pairs = array.flatten()
    if pairs.null_count or any(pairs.field(index).null_count for index in (0, 1)):
        raise Unfit
    if not len(pairs):
        return [{} for _ in range(len(array))]
    items = list(zip(_texts(pairs.field("key")), _texts(pairs.field("value")), strict=True))
    ends = np.cumsum(_lengths(array)).tolist()
    return [dict(items[start:end]) for start, end in pairwise([0, *ends])]


def _free(hint: Any, array: Any, loads: Loads) -> Sequence[Json]:
    """Values of free form from their JSON."""
    missing = array.null_count
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        hint = next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    elif missing and hint is not Any:
        raise Unfit
    texts = _texts(array)
    values = loads([text for text in texts if text is not None] if missing else texts)
    if typing.get_origin(hint) is not None:
        if not all(isinstance(value, dict) for value in values):
            raise Unfit
        if typing.get_origin(typing.get_args(hint)[1]) is tuple:
            values = [_accepted(value) for value in values]
    if not missing:
        return values
    found = iter(values)
    return [None if text is None else next(found) for text in texts]


def _accepted(arguments: dict[str, Json]) -> dict[str, tuple[Json, ...]]:
    if not all(isinstance(values, list) for values in arguments.values()):
        raise Unfit
    return {name: tuple(values) for name, values in arguments.items()}


def check_records(kind: Any, columns: Mapping[str, pa.Array], loads: Loads) -> None:
    """Make sure that :func:`decode_records` would succeed, without making records.

    Raises:
        Unfit: when a value does not fit its field.
    """
    for name, hint in _fields(kind):
        column = columns.get(name)
        if column is None:
            texts = columns[f"{name}_json"]
            _free(hint, pc.unique(texts), loads)
        else:
            _check(hint, column, loads)


def _check(hint: Any, array: Any, loads: Loads) -> None:
    origin = typing.get_origin(hint)
    if origin in {types.UnionType, typing.Union}:
        if array.null_count < len(array):
            _check(typing.get_args(hint)[0], array.drop_null() if array.null_count else array, loads)
    elif array.null_count:
        raise Unfit
    elif origin is Literal:
        _words(pc.unique(array), frozenset(typing.get_args(hint)))
    elif origin is tuple:
        _check(typing.get_args(hint)[0], array.flatten(), loads)
    elif dataclasses.is_dataclass(hint):
        check_records(hint, {field.name: array.field(index) for index, field in enumerate(array.type)}, loads)
    elif hint not in {str, bool, float}:
        pairs = array.flatten()
        if pairs.null_count or any(pairs.field(index).null_count for index in (0, 1)):
            raise Unfit


def encode_records(records: Sequence[Any], fields: Sequence[Any], dump: Callable[[Json], str]) -> list[pa.Array]:
    """One array a field from records of a dataclass: what :func:`decode_records` reads.

    Args:
        records: The records.
        fields: The Arrow fields. One named ``<field>_json`` holds JSON.
        dump: Writes a value of free form as JSON; arguments that are None, which fit any, are left out.

    Raises:
        TypeError: when a value is no list where one belongs.
        ValueError: for a value that JSON does not have, or text without UTF-8 form.
        pyarrow.ArrowException: for a value of another type.
    """
    columns = []
    for field in fields:
        name = field.name
        if name.endswith("_json"):
            values = map(attrgetter(name.removesuffix("_json")), records)
            texts = [None if name == "arguments_json" and value is None else dump(value) for value in values]
            columns.append(pa.array(texts, field.type))
        else:
            columns.append(_encode(list(map(attrgetter(name), records)), field.type, dump))
    return columns


def _encode(values: list[Any], kind: Any, dump: Callable[[Json], str]) -> Any:
    if pa.types.is_list(kind):
        return _encode_lists(values, kind, dump)
    if not pa.types.is_struct(kind):
        return pa.array(values, kind)
    there = [value for value in values if value is not None]
    array = pa.StructArray.from_arrays(encode_records(there, list(kind), dump), fields=list(kind))
    if len(there) == len(values):
        return array
    place = iter(range(len(there)))
    return array.take(pa.array([None if value is None else next(place) for value in values], pa.int64()))


def _encode_lists(values: list[Any], kind: Any, dump: Callable[[Json], str]) -> Any:
    item = kind.value_type
    if pa.types.is_struct(item) and {field.name for field in item} == {"key", "value"}:
        pairs = [sorted(value.items()) for value in values]
        flat = list(chain.from_iterable(pairs))
        texts = [pa.array([pair[index] for pair in flat], field.type) for index, field in enumerate(item)]
        items = pa.StructArray.from_arrays(texts, fields=list(item))
        lengths = list(map(len, pairs))
    else:
        wrong = next((value for value in values if not isinstance(value, (tuple, list))), None)
        if wrong is not None:
            raise TypeError(f"{wrong!r} is no list")
        items = _encode(list(chain.from_iterable(values)), item, dump)
        lengths = list(map(len, values))
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), items, type=kind)
