"""Loopback only, and an interpreter that is left as it was."""

from collections.abc import Iterator

import pytest

from evalkit.providers import program
from tests.proxies import no_proxy

__all__ = ["no_proxy"]


@pytest.fixture
def clean_interpreter() -> Iterator[None]:
    """No test leaves modules of a project or an import hook behind."""
    yield
    current = program._Current.program
    if current is not None:
        current.forget()
    program._Current.program = None
