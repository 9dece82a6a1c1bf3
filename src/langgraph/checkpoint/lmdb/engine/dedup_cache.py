"""Where the parts are that threads stored last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.engine.chunks import ThreadVersion
    from langgraph.checkpoint.lmdb.format.ranges import ChunkRange

_MAX_SEGMENTS = 10_000


class DedupCache:
    """Where the parts are that threads stored last, and where their arenas end. Different channels,
    namespaces and pending writes of a thread often get the same content.

    Hints need not be true: whoever follows one compares what is there. They end with the
    generation of the thread, so that none leads to chunks which it keeps for others only.

    Args:
        limit: How many to keep.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.losses = 0
        """How often all hints were forgotten, for want of room."""
        self._found: dict[tuple[ThreadVersion, bytes], ChunkRange] = {}
        self._ends: dict[tuple[ThreadVersion, int], int] = {}

    def get(self, place: ThreadVersion, part: bytes) -> ChunkRange | None:
        """Where a thread may have the part of this digest."""
        return self._found.get((place, part))

    def put(self, place: ThreadVersion, part: bytes, run: ChunkRange) -> None:
        """Say where a thread has a part."""
        if len(self._found) >= self.limit:
            self._found.clear()
            self.losses += 1
        if self.limit:
            self._found[place, part] = run

    def next_in(self, place: ThreadVersion, segment: int) -> int | None:
        """The number that the next chunk of an arena may have."""
        return self._ends.get((place, segment))

    def put_next(self, place: ThreadVersion, segment: int, number: int) -> None:
        """Say which number is free in an arena."""
        if len(self._ends) >= _MAX_SEGMENTS:
            self._ends.clear()
        self._ends[place, segment] = number
