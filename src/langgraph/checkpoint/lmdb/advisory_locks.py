"""The keys of advisory locks, which stand for the names of locks in a PostgreSQL database."""

from __future__ import annotations

import hashlib


def key_of(name: str) -> int:
    """Return the key of a lock's name: 64 bits of a hash."""
    digest = hashlib.blake2b(
        name.encode("utf-8", "surrogatepass"), digest_size=8, person=b"langgraph-lock"
    ).digest()
    return int.from_bytes(digest, "big", signed=True)
