"""A loopback imitation of GitHub."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .loopback import GitHub, github


@pytest.fixture
def hub() -> Iterator[GitHub]:
    with github(GitHub()) as served:
        yield served
