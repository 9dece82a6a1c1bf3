"""Making parts of a value, with hints to where its thread has the same.

What this saver has stored is hinted already. What it has only read is hinted here, as soon as there
is much that is not found: after the store was opened, say, or after hints were forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langgraph.checkpoint.lmdb.codec import chunking
from langgraph.checkpoint.lmdb.codec.value_cache import CachedMessages
from langgraph.checkpoint.lmdb.engine.chunks import MIN_SHARED, NewChunk, digest
from langgraph.checkpoint.lmdb.format import envelope, ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from langgraph.checkpoint.lmdb.codec.value_cache import CachedValue
    from langgraph.checkpoint.lmdb.engine.chunks import ThreadVersion
    from langgraph.checkpoint.lmdb.engine.dedup_cache import DedupCache
    from langgraph.checkpoint.lmdb.format.ranges import ChunkRange

MUCH: Final = 8192
"""Bytes of parts that are not found for values which were read to be hinted."""


class PartMaker:
    """Makes parts; those that the thread seems to have are not compressed in vain.

    Args:
        hints: Which parts the store is expected to have.
        level: zstd's level, or None.
        thread_version: The thread; None if it has nothing yet.
        others: Returns the layouts of what the thread has beside the value.
    """

    def __init__(
        self,
        dedup_cache: DedupCache,
        level: int | None,
        thread_version: ThreadVersion | None,
        others: Callable[[], Iterable[CachedValue]] = tuple,
    ) -> None:
        self._dedup_cache = dedup_cache
        self._level = level
        self._thread_version = thread_version
        self._others = others
        self._chunks: dict[bytes, NewChunk] = {}
        self._missed = 0

    def __call__(self, raw: bytes) -> NewChunk:
        """Return the part of these bytes."""
        mark = digest(raw)
        part = self._chunks.get(mark)
        if part is None:
            packed = None if self._is_there(mark, len(raw)) else envelope.pack(raw, self._level)
            part = self._chunks[mark] = NewChunk(raw, mark, packed)
        return part

    def _is_there(self, mark: bytes, size: int) -> bool:
        thread_version, dedup_cache = self._thread_version, self._dedup_cache
        if thread_version is None or size < MIN_SHARED:
            return False
        if dedup_cache.get(thread_version, mark) is not None:
            return True
        missed = self._missed
        self._missed += size
        if missed >= MUCH or self._missed < MUCH:
            return False
        for cached in self._others():
            hint(dedup_cache, thread_version, cached)
        return dedup_cache.get(thread_version, mark) is not None


def hint(dedup_cache: DedupCache, thread_version: ThreadVersion, cached: CachedValue) -> None:
    """Say where the parts of a value are, if that was not said or is forgotten."""
    if cached.hinted == dedup_cache.losses or ranges.total(cached.ranges) > dedup_cache.limit // 2:
        return
    cached.hinted = dedup_cache.losses
    for mark, chunk_range in _marks(cached):
        dedup_cache.put(thread_version, mark, chunk_range)


def _marks(cached: CachedValue) -> Iterator[tuple[bytes, ChunkRange]]:
    where = ranges.each_chunk(cached.ranges)
    if not isinstance(cached, CachedMessages):
        start = 0
        for end, chunk_range in zip(cached.ends, where, strict=True):
            yield digest(cached.body[start:end]), chunk_range
            start = end
        return
    at = 0
    for element in cached.elements:
        own = where[at : at + element.parts]
        at += element.parts
        if element.parts == 1:
            yield element.digest, own[0]
        elif element.raw is not None:
            parts = chunking.cut_message(element.raw)
            if len(parts) == element.parts:  # else another release cut it
                yield from zip(map(digest, parts), own, strict=True)
