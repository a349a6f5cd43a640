"""What models have replied to graders: kept in the store, so that the same question is never asked and paid again.

::

    .evalkit/judgements/<2 letters>/<hash of the question>.json

A question is the target as it is, its parameters, all messages, the schema of the reply, and which of several replies
it asks for. A file is written whole and never changed, so two processes may write the same one, and a look-up opens
one file however many there are.
"""

from __future__ import annotations

from pathlib import Path

from evalkit import codec
from evalkit.atomic import write_bytes
from evalkit.errors import StorageError
from evalkit.grading.models import ModelReply

__all__ = ["JUDGEMENTS_FOLDER", "Judgements"]

JUDGEMENTS_FOLDER = "judgements"
"""In the store."""


class Judgements:
    """The replies of a store.

    Args:
        store: The project's store.
    """

    def __init__(self, store: Path) -> None:
        self._root = store / JUDGEMENTS_FOLDER

    def find(self, digest: str) -> ModelReply | None:
        """The reply to a question; None where none is kept, or what is there cannot be read: it is asked again.

        Raises:
            StorageError: when the store cannot be read.
        """
        try:
            return codec.decode(ModelReply, self._path(digest).read_bytes())
        except (FileNotFoundError, codec.ValidationError):
            return None
        except OSError as error:
            raise StorageError.from_os_error(error, "read a judgement") from error

    def keep(self, digest: str, reply: ModelReply) -> None:
        """Keep a reply; it is on the disk when this returns.

        Raises:
            StorageError: when the disk does not take it.
        """
        write_bytes(self._path(digest), codec.encode(reply))

    def drop(self, digest: str) -> None:
        """Keep a reply no longer.

        Raises:
            StorageError: when the disk does not let it go.
        """
        try:
            self._path(digest).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError.from_os_error(error, "remove a judgement") from error

    def _path(self, digest: str) -> Path:
        return self._root / digest[:2] / f"{digest}.json"
