"""What a page has read of the store, kept while the store has not changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

from langgraph.checkpoint.lmdb.views.changes import mark_of

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import KvSaver

Kept = TypeVar("Kept")

_MOST = 8


class Memory:
    """The results of the last few functions that read a store.

    Args:
        saver: The saver of the store.
    """

    def __init__(self, saver: KvSaver) -> None:
        self._saver = saver
        self._kept: dict[Hashable, tuple[Any, Any]] = {}

    def get(self, read: Callable[..., Kept], *arguments: Hashable) -> Kept:
        """Return `read(saver, *arguments)`. The caller must not change the result."""
        mark, key = mark_of(self._saver), (read, arguments)
        known = self._kept.pop(key, None)
        if known is None or known[0] != mark:
            known = mark, read(self._saver, *arguments)
        self._kept[key] = known
        while len(self._kept) > _MOST:
            self._kept.pop(next(iter(self._kept)), None)
        result: Kept = known[1]
        return result
