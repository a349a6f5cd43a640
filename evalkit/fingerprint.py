"""Canonical content hashes: of components, cases, requests, graders and whole sets.

A fingerprint is the SHA-256 of a domain tag and a canonical form, in lower-case hex. The
domain keeps a prompt and a policy with the same bytes apart. Canonical JSON here is:
keys sorted by code point, no white space, UTF-8, integers as written, floats in Python's
shortest round-trip form (so ``49`` and ``49.0`` differ, as they do to a tool), NaN and
infinities refused. A key that is a number, a truth value or None counts as the text that
JSON makes of it, as it does on the wire.
"""

from __future__ import annotations

import hashlib
import json
import json.encoder
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["canonical_json", "combine", "fingerprint", "fingerprint_bytes", "fingerprint_stream", "short"]

_PREFIX = "evalkit/1/"


def canonical_json(value: Any) -> bytes:
    """Return the canonical bytes of a JSON value.

    Raises:
        ValueError: for NaN and infinities, and for a value that holds itself or is nested too deep.
        TypeError: for anything that is not JSON.
    """
    try:
        return "".join(_encoded(value, 0)).encode("utf-8", "surrogatepass")
    except RecursionError:
        raise ValueError("Circular reference, or nested too deep") from None


def _mapping(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _make_encoder() -> Callable[[Any, int], Iterable[str]]:
    """CPython's compiled encoder: json makes one for every call, which takes longer than to encode a small value."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        plain = json.JSONEncoder(
            sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_mapping
        )
        return lambda value, _indent: plain.encode(value)
    made: Callable[[Any, int], Iterable[str]] = make(
        None, _mapping, json.encoder.encode_basestring, None, ":", ",", True, False, False
    )
    return made


_encoded = _make_encoder()


def fingerprint(domain: str, value: Any) -> str:
    """Hash a JSON value under a domain, for example ``fingerprint("component/prompt", {...})``."""
    return fingerprint_bytes(domain, canonical_json(value))


def fingerprint_bytes(domain: str, content: bytes) -> str:
    """Hash bytes under a domain."""
    return hashlib.sha256(f"{_PREFIX}{domain}\0".encode() + content).hexdigest()


def fingerprint_stream(domain: str, pieces: Iterable[bytes]) -> str:
    """Hash bytes that come in pieces, as :func:`fingerprint_bytes` does the whole."""
    hasher = hashlib.sha256(f"{_PREFIX}{domain}\0".encode())
    for piece in pieces:
        hasher.update(piece)
    return hasher.hexdigest()


def combine(domain: str, parts: Iterable[tuple[str, str]]) -> str:
    """Hash named fingerprints into one; the order of the parts does not matter.

    Raises:
        ValueError: when a name occurs twice.
    """
    named = sorted(parts)
    names = [name for name, _ in named]
    if len(set(names)) != len(names):
        raise ValueError("a name occurs twice")
    return fingerprint(domain, named)


def short(digest: str, length: int = 12) -> str:
    """The first characters of a digest, for people."""
    return digest[:length]
