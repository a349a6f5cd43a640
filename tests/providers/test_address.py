"""Addresses as text: which are of this machine, and what of one may be shown."""

from __future__ import annotations

import pytest

from evalkit.providers.address import is_loopback, without_any_user, without_user


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("localhost", True),
        ("::1", True),
        ("", False),
        ("0.0.0.0", False),  # noqa: S104 - an address like any other here
        ("::", False),
        ("10.0.0.5", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_what_nobody_else_can_reach_is_here(host: str, here: bool) -> None:
    assert is_loopback(host) is here


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:pa55@h:1/v1", "http://h:1/v1"),
        ("http://me:p@55@h/v1", "http://h/v1"),
        ("http://h/v1?at=a@b", "http://h/v1?at=a@b"),
        ("https://h/@scope/v1", "https://h/@scope/v1"),
    ],
)
def test_an_address_is_shown_without_its_user(url: str, shown: str) -> None:
    assert without_user(url) == shown


@pytest.mark.parametrize("url", ["http://me:pa55/w@h", "me:pa55@h", "http://me:\npa55#@h", "http://a@me:pa55?@h"])
def test_where_it_is_none_nothing_that_may_be_a_password_is_shown(url: str) -> None:
    assert without_any_user(url) in ("http://h", "h")
