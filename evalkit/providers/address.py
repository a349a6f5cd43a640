"""Addresses as text: which are of this machine, and what of one may be shown."""

from __future__ import annotations

import ipaddress
import re

__all__ = ["is_loopback", "without_any_user", "without_user"]


def is_loopback(host: str) -> bool:
    """Whether a host, without brackets, is this machine and nobody else can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def without_user(url: str) -> str:
    """An address without the user and password that it may hold."""
    return re.sub(r"(?<=//)[^/?#]*@", "", url)


def without_any_user(url: str) -> str:
    """A text that should be an address, without everything that may be part of a user and password."""
    return re.sub(r"^(\w+://)?.*@", r"\1", url, flags=re.DOTALL)
