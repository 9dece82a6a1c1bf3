"""The dedup cache: positions of the chunks that threads stored last."""

from __future__ import annotations

from langgraph.checkpoint.lmdb.engine.chunks import ThreadVersion
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange

_MAX_SEGMENTS = 10_000


class DedupCache:
    """A cache of chunk positions by content, and of the ends of segments.

    Channels, namespaces and pending writes of a thread often have the same content. An entry may be
    outdated, so a writer compares the chunk before it uses an entry. Entries belong to one
    generation of a thread, so no entry leads to a chunk that is kept only for other threads.

    Args:
        limit: Positions to keep.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.losses = 0
        """Number of times that the cache was full and all positions were dropped."""
        self._found: dict[tuple[ThreadVersion, bytes], ChunkRange] = {}
        self._ends: dict[tuple[ThreadVersion, int], int] = {}

    def get(self, thread_version: ThreadVersion, digest: bytes) -> ChunkRange | None:
        """Return where a thread may have the piece with this digest, or None."""
        return self._found.get((thread_version, digest))

    def put(self, thread_version: ThreadVersion, digest: bytes, chunk: ChunkRange) -> None:
        """Record where a thread has a piece."""
        if len(self._found) >= self.limit:
            self._found.clear()
            self.losses += 1
        if self.limit:
            self._found[thread_version, digest] = chunk

    def next_in(self, thread_version: ThreadVersion, segment: int) -> int | None:
        """Return the number that the next chunk of a segment may have, or None."""
        return self._ends.get((thread_version, segment))

    def put_next(self, thread_version: ThreadVersion, segment: int, number: int) -> None:
        """Record the number of the next chunk of a segment."""
        if len(self._ends) >= _MAX_SEGMENTS:
            self._ends.clear()
        self._ends[thread_version, segment] = number
