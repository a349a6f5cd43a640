"""Arrow columns as numpy arrays, and numbers that grow in their place."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.store.arrays import GrowingArray, fixed_texts


@given(st.lists(st.lists(st.integers(0, 255), max_size=5), max_size=6))
def test_a_growing_array_holds_what_was_added(pieces: list[list[int]]) -> None:
    growing = GrowingArray(np.uint8)
    for piece in pieces:
        growing.extend(np.asarray(piece, np.int64))
    assert growing.array.tolist() == [number for piece in pieces for number in piece]
    assert len(growing) == sum(map(len, pieces))


def test_a_growing_array_takes_any_stride_and_can_be_widened() -> None:
    growing = GrowingArray(np.uint8)
    growing.extend(np.arange(10)[::3])
    growing.widen(np.uint32)
    growing.extend(np.asarray([70_000]))
    assert growing.array.tolist() == [0, 3, 6, 9, 70_000]
    assert growing.array.dtype == growing.kind == np.uint32


def test_nothing_is_added_while_the_numbers_are_held() -> None:
    growing = GrowingArray(np.float64)
    growing.extend(np.ones(2))
    held = growing.array
    with pytest.raises(BufferError):
        growing.extend(np.ones(1))
    assert held.tolist() == [1, 1]


@given(st.lists(st.lists(st.text("abc", max_size=4), max_size=5), max_size=4), st.integers(0, 3))
def test_texts_of_a_column_become_bytes_of_one_width(pieces: list[list[str]], start: int) -> None:
    column = pa.chunked_array([pa.array(piece, pa.string()) for piece in pieces], pa.string()).slice(start)
    texts = [text for piece in pieces for text in piece][start:]
    assert fixed_texts(column, 3).tolist() == [text.encode()[:3] for text in texts]


def test_texts_of_that_width_are_not_copied() -> None:
    column = pa.array(["abc", "def", "ghi"])
    found = fixed_texts(column.slice(1), 3)
    assert found.tolist() == [b"def", b"ghi"]
    assert found.dtype == "S3"
    assert found.__array_interface__["data"][0] == column.buffers()[2].address + 3
