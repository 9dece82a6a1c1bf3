"""Reads and changes of the files of a closed store, without the saver."""

from __future__ import annotations

import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import lmdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Entries = dict[tuple[bytes, bytes], bytes]
"""Stored values by the name of their database and their key."""


@contextmanager
def _environment(path: Path, **options: Any) -> Iterator[Any]:
    environment = lmdb.open(str(path), max_dbs=64, map_size=2**30, **options)
    try:
        yield environment
    finally:
        environment.close()


def _databases(environment: Any) -> dict[bytes, Any]:
    """Return the named databases, and the main one as b"" if it holds other entries too."""
    found = {}
    main = environment.open_db(None)
    with environment.begin() as transaction:
        keys = [bytes(key) for key, _ in transaction.cursor(main)]
    for key in keys:
        with suppress(lmdb.Error):
            found[key] = environment.open_db(key, create=False)
    return found if len(found) == len(keys) else {**found, b"": main}


def entries(path: Path) -> Entries:
    """Return all entries of a closed store."""
    with _environment(path, readonly=True) as environment:
        databases = _databases(environment)
        with environment.begin() as transaction:
            return {
                (name, bytes(key)): bytes(value)
                for name, database in databases.items()
                for key, value in transaction.cursor(database)
                if name or key not in databases
            }


def sealed(key: bytes, packed: bytes) -> bytes:
    """Return a stored record: the packed record behind its checksum."""
    return zlib.crc32(packed, zlib.crc32(key)).to_bytes(4, "big") + packed


def overwrite(path: Path, changed: Entries) -> None:
    """Replace stored values of a closed store."""
    with _environment(path) as environment:
        databases = _databases(environment)
        with environment.begin(write=True) as transaction:
            for (name, key), value in changed.items():
                transaction.put(key, value, db=databases[name])
