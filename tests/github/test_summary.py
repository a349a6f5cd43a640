"""The job summary stays below what GitHub shows at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.errors import StorageError
from evalkit.github import SUMMARY_BYTES, write_summary


def test_it_is_appended_whole_where_it_fits(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    file.write_text("before\n", encoding="utf-8")
    write_summary(file, lambda _limit: "text ✔\n")
    assert file.read_text(encoding="utf-8") == "before\ntext ✔\n"


@pytest.mark.parametrize("sign", ["x", "é", "漢", "👩"])
@pytest.mark.parametrize("before", [0, 700, 995, 1_000, 2_000])
def test_with_what_is_there_it_stays_within_the_limit_and_says_that_it_is_cut(
    tmp_path: Path, sign: str, before: int
) -> None:
    file = tmp_path / "summary.md"
    file.write_bytes(b"b" * before)
    write_summary(file, lambda limit: sign * max(limit, 5_000), most=1_000)
    data = file.read_bytes()
    assert len(data) <= max(1_000, before)
    assert data.decode().startswith("b" * before)
    if before <= 700:
        assert data.decode().endswith("the full text is in the report)\n")


def test_a_renderer_that_can_shorten_is_asked_to(tmp_path: Path) -> None:
    asked: list[int] = []

    def render(limit: int) -> str:
        asked.append(limit)
        return "漢" * limit

    write_summary(tmp_path / "summary.md", render, most=1_000)
    assert asked == [1_000, 250]
    assert (tmp_path / "summary.md").read_text(encoding="utf-8") == "漢" * 250


def test_the_limit_is_below_that_of_github() -> None:
    assert SUMMARY_BYTES < 1024 * 1024


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="job summary"):
        write_summary(tmp_path, lambda _limit: "x")
