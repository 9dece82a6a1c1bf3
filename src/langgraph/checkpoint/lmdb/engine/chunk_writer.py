"""Storing values: a piece that the thread lacks becomes a chunk, and many ranges become nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langgraph.checkpoint.lmdb.engine.chunks import (
    MAX_CHUNK,
    MAX_CHUNKS,
    MAX_VALUE,
    MIN_SHARED,
    ChunkedValue,
    NewChunk,
    NewValue,
    StoredResult,
    ThreadVersion,
    children,
    fetch,
    root_ranges,
)
from langgraph.checkpoint.lmdb.engine.dedup_cache import DedupCache
from langgraph.checkpoint.lmdb.errors import SerializationError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.ranges import (
    ChunkRange,
    append_merged,
    each_chunk,
    encode_ranges,
    follows,
)
from langgraph.checkpoint.lmdb.kv.base import Writer

MAX_RANGES = 48
"""Ranges that a value may name directly; more are grouped into nodes."""
_GROUP_AIM = 16


class ChunkWriter:
    """A writer that appends chunks to the segments of one thread, in one write transaction."""

    def __init__(
        self,
        writer: Writer,
        thread_version: ThreadVersion,
        dedup_cache: DedupCache,
        level: int | None,
    ) -> None:
        self._writer = writer
        self._thread_version = thread_version
        self._thread = thread_version.number
        self._dedup_cache = dedup_cache
        self._level = level
        self.written = 0
        """Bytes of the keys and records of the chunks written."""

    def append(self, segment: int, packed: bytes) -> ChunkRange:
        """Store a chunk behind the last one of a segment."""
        prefix = keys.segment(self._thread, segment)
        seq = self._dedup_cache.next_in(self._thread_version, segment)
        key = b"" if seq is None else prefix + keys.number(seq)
        if seq is None or self._writer.get(key) is not None:  # another process has appended
            last = self._writer.first_key(prefix, keys.prefix_end(prefix), reverse=True)
            seq = 0 if last is None else keys.read_number(last, len(prefix))[0] + 1
            if last is not None and seq > envelope.MAX_NUMBER:
                envelope.raise_damaged(last, "there cannot be so many chunks")
            key = prefix + keys.number(seq)
        record = envelope.seal(key, packed)
        self._writer.put(key, record)
        self.written += len(key) + len(record)
        self._dedup_cache.put_next(self._thread_version, segment, seq + 1)
        return ChunkRange(self._thread, segment, seq, 1)

    def _find_or_append(
        self, segment: int, chunk: NewChunk, ranges: Sequence[ChunkRange]
    ) -> ChunkRange:
        """Return the position of a chunk: of an equal one that the thread has, or of the new one.

        Args:
            segment: The segment for a new chunk.
            chunk: The new chunk.
            ranges: The chunks before it in the value.
        """
        hint = self._dedup_cache.get(self._thread_version, chunk.digest)
        if hint is not None and (len(chunk.piece) >= MIN_SHARED or follows(ranges, hint)):
            key = keys.segment(hint.owner, hint.segment) + keys.number(hint.start)
            record = self._writer.get(key)
            if record is not None and envelope.unseal(key, record, MAX_CHUNK) == chunk.piece:
                return hint
        packed = chunk.packed
        if packed is None:
            packed = envelope.pack(chunk.piece, self._level)
        chunk_range = self.append(segment, packed)
        if hint is None or len(chunk.piece) >= MIN_SHARED:
            self._dedup_cache.put(self._thread_version, chunk.digest, chunk_range)
        return chunk_range

    def store(self, value: NewValue, segment: int) -> StoredResult:
        """Store the new chunks of a value.

        Args:
            value: The value.
            segment: Even number of the segment for its chunks. The next odd number is for its
                nodes.
        """
        count = sum(item.length if isinstance(item, ChunkRange) else 1 for item in value.items)
        if value.size > MAX_VALUE or count > MAX_CHUNKS:
            raise SerializationError(
                f"a value of {value.size} bytes in {count} pieces is too large",
                advice=f"At most {MAX_VALUE} bytes and {MAX_CHUNKS} pieces can be stored.",
            )
        ranges: list[ChunkRange] = []
        for item in value.items:
            append_merged(
                ranges,
                (
                    item
                    if isinstance(item, ChunkRange)
                    else self._find_or_append(segment, item, ranges),
                ),
            )
        chunk_ranges = ranges
        depth = 0
        while len(ranges) > MAX_RANGES:
            known = self._nodes_of(value.base, depth)
            nodes: list[ChunkRange] = []
            for group in _groups(ranges):
                payload = encode_ranges(group)
                node = known.get(payload)
                if node is None:
                    node = self.append(segment + 1, envelope.pack(payload, self._level))
                append_merged(nodes, (node,))
            if len(nodes) >= len(ranges):
                break
            ranges = nodes
            depth += 1
        root = encode_ranges(ranges)
        stored = ChunkedValue(value.tag, value.encoding, value.head, value.size, depth, root)
        return StoredResult(stored, chunk_ranges)

    def _nodes_of(self, base: ChunkedValue | None, depth: int) -> dict[bytes, ChunkRange]:
        """Return the nodes of a base value `depth` levels above its chunks, by content."""
        if base is None or base.depth <= depth:
            return {}
        ranges = root_ranges(base)
        for _ in range(base.depth - depth - 1):
            ranges = children(self._writer, ranges)
        return dict(zip(fetch(self._writer, ranges), each_chunk(ranges), strict=True))


def _groups(ranges: Sequence[ChunkRange]) -> Iterable[Sequence[ChunkRange]]:
    """Group ranges at positions that depend only on the ranges near them.

    An edit moves only the group boundaries near it; all other groups are the same as before.
    """
    start = 0
    for index, chunk_range in enumerate(ranges):
        mark = (chunk_range.start + chunk_range.length) * 2654435761 + chunk_range.segment * 40503
        if (mark >> 12) % _GROUP_AIM == 0 or index - start >= 4 * _GROUP_AIM:
            yield ranges[start : index + 1]
            start = index + 1
    if start < len(ranges):
        yield ranges[start:]
