"""Make the chunks of a value; a chunk that its thread seems to have is not compressed.

The dedup cache has the chunks that this saver stored. Chunks of values that it only read are added
when the value has many bytes that are not found: after the store was opened, or after the dedup
cache was cleared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from langgraph.checkpoint.lmdb.codec import chunking
from langgraph.checkpoint.lmdb.codec.value_cache import CachedMessages, CachedValue
from langgraph.checkpoint.lmdb.engine.chunks import MIN_SHARED, NewChunk, ThreadVersion, digest
from langgraph.checkpoint.lmdb.engine.dedup_cache import DedupCache
from langgraph.checkpoint.lmdb.format import envelope, ranges
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange

_MANY_BYTES: Final = 8192
"""Bytes of pieces not found, from which on the siblings are added to the dedup cache."""


class ChunkMaker:
    """A function that returns the chunk of a piece of one value.

    Args:
        dedup_cache: Chunks that the store is expected to have.
        level: Compression level, or None.
        thread_version: The thread; None if it is new.
        siblings: Cached values of the other channels of the thread.
    """

    def __init__(
        self,
        dedup_cache: DedupCache,
        level: int | None,
        thread_version: ThreadVersion | None,
        siblings: Iterable[CachedValue] = (),
    ) -> None:
        self._dedup_cache = dedup_cache
        self._level = level
        self._thread_version = thread_version
        self._siblings = siblings
        self._chunks: dict[bytes, NewChunk] = {}
        self._missed = 0

    def __call__(self, piece: bytes) -> NewChunk:
        found = digest(piece)
        chunk = self._chunks.get(found)
        if chunk is None:
            packed = None
            if not self._is_stored(found, len(piece)):
                packed = envelope.pack(piece, self._level)
            chunk = self._chunks[found] = NewChunk(piece, found, packed)
        return chunk

    def _is_stored(self, found: bytes, size: int) -> bool:
        thread_version, dedup_cache = self._thread_version, self._dedup_cache
        if thread_version is None or size < MIN_SHARED:
            return False
        if dedup_cache.get(thread_version, found) is not None:
            return True
        missed = self._missed
        self._missed += size
        if missed >= _MANY_BYTES or self._missed < _MANY_BYTES:
            return False
        for cached in self._siblings:
            _add_chunks(dedup_cache, thread_version, cached)
        return dedup_cache.get(thread_version, found) is not None


def _add_chunks(
    dedup_cache: DedupCache, thread_version: ThreadVersion, cached: CachedValue
) -> None:
    """Add the chunks of a value to the dedup cache, unless it has them or they are too many."""
    too_many = dedup_cache.limit // 2
    if cached.added_at == dedup_cache.losses or ranges.total(cached.ranges) > too_many:
        return
    cached.added_at = dedup_cache.losses
    for found, chunk_range in _digests(cached):
        dedup_cache.put(thread_version, found, chunk_range)


def _digests(cached: CachedValue) -> Iterator[tuple[bytes, ChunkRange]]:
    chunks = ranges.each_chunk(cached.ranges)
    if not isinstance(cached, CachedMessages):
        start = 0
        for end, chunk_range in zip(cached.ends, chunks, strict=True):
            yield digest(cached.body[start:end]), chunk_range
            start = end
        return
    at = 0
    for element in cached.elements:
        own = chunks[at : at + element.chunks]
        at += element.chunks
        if element.chunks == 1:
            yield element.digest, own[0]
        elif element.raw is not None:
            pieces = chunking.split_message(element.raw)
            if len(pieces) == element.chunks:  # another release may have split it differently
                yield from zip(map(digest, pieces), own, strict=True)
