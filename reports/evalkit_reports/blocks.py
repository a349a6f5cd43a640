"""Data inside an HTML file: blocks of JSON, deflated, in base64, whose alphabet no parser of HTML minds."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from evalkit import codec
from evalkit.text import scrub

__all__ = ["LineStore", "element", "pack"]

_LEVEL = 6
_BLOCK = 160_000
"""Characters of the lines of a block."""


def pack(value: Any) -> str:
    """A JSON value, deflated (RFC 1950), in base64. The same value gives the same text."""
    try:
        plain = codec.encode(value)
    except ValueError:  # a lone surrogate
        plain = scrub(json.dumps(value, ensure_ascii=False, separators=(",", ":")))[0].encode()
    return base64.b64encode(zlib.compress(plain, _LEVEL)).decode()


def element(name: str, packed: str) -> str:
    """The element that holds a block. Its type is none that a browser runs."""
    return f'<script type="application/octet-stream" id="{name}">{packed}</script>\n'


class LineStore:
    """Lines of long texts, each kept once however many texts have it, in blocks that are opened when one is needed.

    A document that many cases were shown, the prompt around it and the same conversation before and now share
    their lines, further apart than deflate looks back.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self._whole: dict[bytes, list[int]] = {}
        self._open: list[str] = []
        self._size = 0
        self.starts = [0]
        """Number of the first line of each block."""
        self.blocks: list[str] = []
        """The blocks that are full, packed."""
        self.bytes = 0
        """Of all of them."""

    def add(self, text: str) -> dict[str, list[int]]:
        """Keep a text; what stands for it: ``l`` with runs of lines, first line and number of lines in turn."""
        key = _digest(text)
        runs = self._whole.get(key)
        if runs is None:
            runs = self._whole[key] = self._runs(text)
        return {"l": runs}

    def finish(self) -> Sequence[str]:
        """All blocks."""
        if self._open:
            self._close()
        return self.blocks

    def _runs(self, text: str) -> list[int]:
        numbers = [self._number(line) for line in text.split("\n")]
        runs = [numbers[0], 1]
        for before, number in pairwise(numbers):
            if number == before + 1:
                runs[-1] += 1
            else:
                runs += [number, 1]
        return runs

    def _number(self, line: str) -> int:
        key = _digest(line)
        found = self._known.get(key)
        if found is None:
            if self._size > _BLOCK:
                self._close()
            found = self._known[key] = len(self._known)
            self._open.append(line)
            self._size += len(line) + 1
        return found

    def _close(self) -> None:
        packed = pack(self._open)
        self.blocks.append(packed)
        self.bytes += len(packed)
        self.starts.append(self.starts[-1] + len(self._open))
        self._open, self._size = [], 0


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()
