"""Loopback only."""

from tests.proxies import no_proxy

__all__ = ["no_proxy"]
