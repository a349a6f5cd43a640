"""CSV: UTF-8 with or without a byte order mark, any line ends, ``,`` ``;`` or tab between the columns.

Rows are counted as a spreadsheet shows them: the header is row 1.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from evalkit.errors import GoldenSetError
from evalkit.goldens.importers.assemble import Draft
from evalkit.goldens.importers.notes import Notes
from evalkit.goldens.importers.table import Table, rows_to_drafts
from evalkit.goldens.source import read_text

__all__ = ["read"]

_TOO_LONG = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def read(path: Path, notes: Notes) -> list[Draft]:
    """Cases from a CSV file; rows without any text are skipped.

    Raises:
        GoldenSetError: when the file is not a table, or a row is not a case.
    """
    grid = _grid(read_text(path).lstrip("\r\n"), path)
    rows = []
    for number, row in enumerate(grid[1:], start=2):
        if not any(isinstance(cell, str) and cell.strip() for cell in row):
            continue
        cells = [cell for cell in row if isinstance(cell, str)]
        if len(cells) < len(row):
            raise _uneven(path, number, len(cells), len(row))
        rows.append((number, cells))
    return rows_to_drafts(Table(path, [str(cell) for cell in grid[0]], rows), notes)


def _grid(text: str, path: Path) -> list[list[str | float]]:
    """All rows, the header first; a column that a row does not have is NaN, an empty one is empty."""
    import pandas as pd

    limit = csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    try:
        frame = pd.read_csv(
            io.StringIO(text, newline=""),
            sep=_separator(text),
            header=None,
            dtype=str,
            na_filter=False,
            skip_blank_lines=False,
            engine="python",
        )
    except (pd.errors.ParserError, csv.Error, ValueError) as error:
        uneven = _TOO_LONG.search(str(error))
        if uneven:
            wanted, number, found = map(int, uneven.groups())
            raise _uneven(path, number, found, wanted) from None
        raise GoldenSetError(
            f"not a readable table: {str(error).splitlines()[0]}",
            file=path,
            fix='quote texts that hold a line break or the separator, and double the quotes inside: "say ""yes"""',
        ) from None
    finally:
        csv.field_size_limit(limit)
    grid: list[list[str | float]] = frame.to_numpy(dtype=object).tolist()
    return grid


def _uneven(path: Path, number: int, found: int, wanted: int) -> GoldenSetError:
    return GoldenSetError(
        f"the row has {found} columns, the header has {wanted}",
        file=path,
        key=f"row {number}",
        fix='quote texts that hold a line break or the separator: "like, this"',
    )


def _separator(text: str) -> str:
    """The character that parts the header most often, outside quotes."""
    header = _QUOTED.sub("", text).split("\n", 1)[0]
    return max(",;\t", key=header.count)
