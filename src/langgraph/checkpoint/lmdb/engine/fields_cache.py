"""A cache of decoded records. The fields of a record follow from its key and its bytes alone, so an
entry is true of every store and of every transaction that reads the same bytes under the key."""

from __future__ import annotations

from typing import Any


class FieldsCache:
    """The fields of the records of one kind that were decoded or written last.

    Args:
        limit: The highest number of records.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[bytes, tuple[bytes, tuple[Any, ...]]] = {}

    def get(self, key: bytes, record: bytes) -> tuple[Any, ...] | None:
        """Return the fields of a record, or None. The caller copies what it may change."""
        known = self._known.get(key)
        return known[1] if known is not None and known[0] == record else None

    def put(self, key: bytes, record: bytes, fields: tuple[Any, ...]) -> None:
        """Record the fields of a record that decodes to them."""
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[key] = record, fields
