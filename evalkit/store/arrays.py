"""Arrow arrays as numpy arrays, without a copy where there need not be one.

PyArrow's own conversions (``to_numpy``, ``pa.array``) import pandas where it is installed, which takes
a third of a second and tens of megabytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = [
    "GrowingArray",
    "bits",
    "codes_in",
    "codes_of",
    "dictionary",
    "fixed_texts",
    "floats",
    "one_array",
    "take",
    "texts",
    "valid",
    "whole_numbers",
]


def bits(array: Any) -> NDArray[np.bool_]:
    """Values of a boolean array; whatever is stored where it is null."""
    return _unpacked(array.buffers()[1], array.offset, len(array))


def valid(array: Any) -> NDArray[np.bool_]:
    """Where an array is not null."""
    buffer = array.buffers()[0]
    return np.ones(len(array), bool) if buffer is None else _unpacked(buffer, array.offset, len(array))


def _unpacked(buffer: Any, offset: int, length: int) -> NDArray[np.bool_]:
    packed = np.frombuffer(buffer, np.uint8, count=(offset + length + 7) // 8) if length else np.empty(0, np.uint8)
    return np.unpackbits(packed, count=offset + length, bitorder="little")[offset:].view(np.bool_)


def floats(array: Any) -> NDArray[np.float64]:
    """Values of a float64 array; whatever is stored where it is null."""
    return _primitive(array, np.float64)


def whole_numbers(array: Any) -> NDArray[np.int64]:
    """Values of an int64 array; whatever is stored where it is null."""
    return _primitive(array, np.int64)


def _primitive(array: Any, kind: Any) -> NDArray[Any]:
    if not len(array):
        return np.empty(0, kind)
    return np.frombuffer(array.buffers()[1], kind, count=array.offset + len(array))[array.offset :]


def fixed_texts(column: Any, width: int) -> NDArray[np.bytes_]:
    """The texts of a column, none of them null, as so many bytes each: shorter ones end in zeros, longer ones are cut.

    Texts that all have this length, such as fingerprints, are not copied.
    """
    texts = one_array(column, pa.binary())
    if not len(texts):
        return np.empty(0, f"S{width}")
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :][: len(texts) + 1]
    if bool((np.diff(offsets) == width).all()):
        return np.frombuffer(texts.buffers()[2], f"S{width}", count=len(texts), offset=int(offsets[0]))
    return np.asarray(texts.to_pylist(), f"S{width}")


def texts(values: Iterable[str]) -> Any:
    """An Arrow array of texts."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return pa.Array.from_buffers(pa.string(), len(encoded), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def codes_in(array: Any) -> tuple[NDArray[np.int32], Any]:
    """Position of each value among the distinct ones, -1 where it is null; and these, an Arrow array."""
    if not pa.types.is_dictionary(array.type):
        array = pc.dictionary_encode(array)
    if array.indices.type != pa.int32():
        array = array.cast(pa.dictionary(pa.int32(), array.type.value_type))
    codes = _primitive(array.indices, np.int32)
    if array.null_count:
        codes = np.where(valid(array.indices), codes, np.int32(-1))
    return codes, array.dictionary


def codes_of(array: Any) -> tuple[NDArray[np.int32], list[str | None]]:
    """Position of each value in the list of distinct ones, -1 where it is null; and the list."""
    codes, distinct = codes_in(array)
    return codes, distinct.to_pylist()


def dictionary(codes: NDArray[np.int32], values: Any) -> Any:
    """The dictionary array of :func:`codes_in`, put together again."""
    chosen = np.ascontiguousarray(codes, np.int32)
    indices = pa.Array.from_buffers(pa.int32(), len(chosen), [None, pa.py_buffer(chosen)])
    return pa.DictionaryArray.from_arrays(indices, values)


def take(array: Any, positions: NDArray[Any]) -> Any:
    """The values at these positions."""
    chosen = np.ascontiguousarray(positions, np.int64)
    return array.take(pa.Array.from_buffers(pa.int64(), len(chosen), [None, pa.py_buffer(chosen)]))


def one_array(column: Any, kind: Any) -> Any:
    """A column in one piece and of this type."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):  # what combine_chunks gives for more than two gigabytes
        whole = pa.concat_arrays(whole.chunks)
    return whole if whole.type == kind else whole.cast(kind)


class GrowingArray:
    """Numbers that come in piece by piece. They grow in one place, so that they are never there twice.

    Args:
        kind: Their type.
    """

    def __init__(self, kind: Any) -> None:
        self.kind: np.dtype[Any] = np.dtype(kind)
        self._content = bytearray()

    def __len__(self) -> int:
        return len(self._content) // int(self.kind.itemsize)

    def extend(self, values: NDArray[Any]) -> None:
        """Add numbers at the end; they are cast to the type."""
        if len(values):
            self._content += np.ascontiguousarray(values, self.kind).data.cast("B")

    def widen(self, kind: Any) -> None:
        """Go on with a type that has room for larger numbers."""
        wider = self.array.astype(kind)
        self.kind, self._content = wider.dtype, bytearray(wider.data)

    @property
    def array(self) -> NDArray[Any]:
        """The numbers so far, without a copy; while it is held nothing can be added."""
        return np.frombuffer(self._content, self.kind)
