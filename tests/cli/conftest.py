"""Fixtures of the command line: the judged project of the store's tests, to look at and to change."""

from __future__ import annotations

from tests.store.conftest import copied, judged

__all__ = ["copied", "judged"]
