"""Texts as tokens: windows over what is too long, and batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import GraderError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

__all__ = ["Batch", "TextEncoder", "pad", "tokens_of_second"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids, 1 where there is a token, and which of two texts it is of; each inputs x tokens, int64."""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    kinds: NDArray[np.int64]


class TextEncoder:
    """A tokenizer whose windows are cut here. Text that looks like a special token is text.

    Args:
        content: A ``tokenizer.json``.
        max_tokens: The longest input, with special tokens.

    Raises:
        GraderError: when it is no tokenizer.
    """

    def __init__(self, content: bytes, max_tokens: int) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer: Tokenizer = Tokenizer.from_str(content.decode())
        except Exception as error:  # tokenizers raises this class itself  # noqa: BLE001
            raise GraderError(f"tokenizer.json is no tokenizer: {str(error)[:300]}") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # else an answer could end its own text and begin another with a "</s>" or a "[SEP]" of its making
        self._tokenizer.encode_special_tokens = True
        self.max_tokens = max_tokens
        self.vocabulary = self._tokenizer.get_vocab_size(with_added_tokens=True)

    def pieces(self, text: str, most: int, overlap: int = 0) -> list[Encoding]:
        """A text without special tokens, in pieces of at most ``most`` tokens that share ``overlap`` with the next."""
        whole = self._tokenizer.encode(text, add_special_tokens=False)
        if len(whole) <= most:
            return [whole]
        whole.truncate(most, stride=min(overlap, most - 1))
        return [whole, *whole.overflowing]

    def windows(self, text: str, overlap: int) -> list[Encoding]:
        """A text as whole inputs."""
        room = self.max_tokens - self._special(pair=False)
        return [self._tokenizer.post_process(piece) for piece in self.pieces(text, room, overlap)]

    def room(self, second: int) -> int:
        """How many tokens of a first text fit beside ``second`` tokens of another.

        Raises:
            GraderError: when there is hardly any.
        """
        room = self.max_tokens - self._special(pair=True) - second
        if room < 1:
            raise GraderError(
                "a pair of texts does not fit", key="max_tokens", value=self.max_tokens, fix="give it more"
            )
        return room

    def pair(self, first: Encoding, second: Encoding) -> Encoding:
        """Two pieces as one input."""
        return self._tokenizer.post_process(first, second)

    def _special(self, *, pair: bool) -> int:
        return int(self._tokenizer.num_special_tokens_to_add(pair))


def pad(encodings: Sequence[Encoding], filler: int) -> Batch:
    """Inputs as one batch, as wide as the longest."""
    width = max(1, *(len(encoding) for encoding in encodings))
    ids = np.full((len(encodings), width), filler, dtype=np.int64)
    mask, kinds = np.zeros_like(ids), np.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        size = len(encoding)
        ids[row, :size], kinds[row, :size], mask[row, :size] = encoding.ids, encoding.type_ids, 1
    return Batch(ids, mask, kinds)


def tokens_of_second(encoding: Encoding) -> NDArray[np.intp]:
    """Places of the tokens of the second text, special ones left out."""
    return np.array([place for place, text in enumerate(encoding.sequence_ids) if text == 1], dtype=np.intp)
