"""What people see in a terminal, as files that are reviewed.

After a change that is meant: EVALKIT_UPDATE_GOLDEN=1 pytest tests/reports/test_terminal_shapes.py, then read the diff.
"""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from evalkit._version import __version__

from .hostile import rendered
from .reviewed import GOLDEN, reviewed
from .shapes import SHAPES

REPORT = "reports/out/01JD0000000000000000000001.html"


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_terminal_shows_what_was_reviewed(shape: str, width: int) -> None:
    shown = rendered("terminal", *SHAPES[shape], width=width, report_path=REPORT).replace(__version__, "VERSION")
    assert shown == reviewed(f"terminal-{shape}-{width}.txt", shown)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_may_be_broken_fits_eighty_columns(shape: str) -> None:
    shown = rendered("terminal", *SHAPES[shape], width=80)
    # commands and sentences stay one line, so that they can be copied and searched for
    long = [line for line in shown.splitlines()[1:-1] if cell_len(line) > 80]
    assert all(line.startswith(("next ", "report ", "✔ ")) for line in long)


def test_no_file_is_left_over() -> None:
    expected = {f"terminal-{shape}-{width}.txt" for shape in SHAPES for width in (80, 120)}
    assert {file.name for file in GOLDEN.glob("terminal-*.txt")} == expected
