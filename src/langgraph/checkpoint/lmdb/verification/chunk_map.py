"""A map of the stored chunks and their sizes, for checks that look up many values."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from langgraph.checkpoint.lmdb.engine.chunks import MAX_CHUNK
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import Kind
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange, ChunkSet
from langgraph.checkpoint.lmdb.kv.base import Reader
from langgraph.checkpoint.lmdb.verification import key_scan


class MissingChunkError(Exception):
    """A chunk that a value needs but the store lacks; `key` is the chunk's key."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self.key = key


@dataclass(slots=True)
class Segment:
    """The chunks of one segment, in ascending order."""

    numbers: array[int] = field(default_factory=lambda: array("Q"))
    """Numbers of the chunks."""
    payload_ends: array[int] = field(default_factory=lambda: array("Q", [0]))
    """Bytes of all payloads before each chunk, and of all payloads at the end."""
    stored_ends: array[int] = field(default_factory=lambda: array("Q", [0]))
    """Bytes of all keys and records before each chunk, and of all at the end."""
    damaged: dict[int, IntegrityError] = field(default_factory=dict)
    """Errors of the unreadable chunks, by number."""

    def indexes(self, chunk_range: ChunkRange) -> tuple[int, int]:
        """Return the indexes of a range's chunks: the first, and the one after the last."""
        low = bisect_left(self.numbers, chunk_range.start)
        return low, bisect_left(self.numbers, chunk_range.start + chunk_range.length, low)


class ChunkMap:
    """A map of chunks that reads each segment once, on first use.

    Args:
        reader: The snapshot.

    Attributes:
        chunks_read: Number of chunks that were read.
        unknown_keys: Keys among the chunks that no chunk can have.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._segments: dict[tuple[int, int], Segment] = {}
        self.chunks_read = 0
        self.unknown_keys: list[bytes] = []

    def segment_numbers(self, owner: int) -> Iterator[int]:
        """Yield the segments of a thread that hold chunks; one seek each."""
        prefix = keys.of_thread(Kind.CHUNK, owner)
        for number, _ in key_scan.numbers(self._reader, prefix, malformed=self.unknown_keys):
            yield number

    def stored(self, owner: int) -> ChunkSet:
        """Return all chunks of a thread."""
        stored = ChunkSet()
        for number in self.segment_numbers(owner):
            for seq in self._segment(owner, number).numbers:
                stored.add([ChunkRange(owner, number, seq, 1)])
        return stored

    def damaged(self, owner: int) -> Iterator[tuple[bytes, IntegrityError]]:
        """Yield the key and the error of each unreadable chunk of a thread."""
        for number in self.segment_numbers(owner):
            for seq, error in self._segment(owner, number).damaged.items():
                yield keys.segment(owner, number) + keys.number(seq), error

    def payload_size(self, ranges: Iterable[ChunkRange]) -> int:
        """Return the bytes of the payloads of chunks.

        Raises:
            MissingChunkError: A chunk is missing.
            IntegrityError: A chunk is damaged.
        """
        total = 0
        for chunk_range in ranges:
            segment = self._segment(chunk_range.owner, chunk_range.segment)
            low, high = segment.indexes(chunk_range)
            if high - low != chunk_range.length:
                _raise_missing(segment, chunk_range, low)
            for seq, error in segment.damaged.items():
                if chunk_range.start <= seq < chunk_range.start + chunk_range.length:
                    raise error
            total += segment.payload_ends[high] - segment.payload_ends[low]
        return total

    def stored_size(self, ranges: Iterable[ChunkRange]) -> int:
        """Return the bytes of the keys and records of chunks, without the missing chunks."""
        total = 0
        for chunk_range in ranges:
            segment = self._segment(chunk_range.owner, chunk_range.segment)
            low, high = segment.indexes(chunk_range)
            total += segment.stored_ends[high] - segment.stored_ends[low]
        return total

    def _segment(self, owner: int, number: int) -> Segment:
        found = self._segments.get((owner, number))
        if found is None:
            found = self._segments[owner, number] = self._read(keys.segment(owner, number))
        return found

    def _read(self, prefix: bytes) -> Segment:
        segment, reader = Segment(), self._reader
        for key in reader.keys(prefix, keys.prefix_end(prefix)):
            number = _chunk_number(key, prefix)
            if number is None:
                self.unknown_keys.append(key)
                continue
            payload_size = stored_size = 0
            try:
                record = reader.get(key) or b""
                stored_size = len(key) + len(record)
                payload_size = len(envelope.unseal(key, record, MAX_CHUNK))
            except IntegrityError as error:
                segment.damaged[number] = error
            segment.numbers.append(number)
            segment.payload_ends.append(segment.payload_ends[-1] + payload_size)
            segment.stored_ends.append(segment.stored_ends[-1] + stored_size)
        self.chunks_read += len(segment.numbers)
        return segment


def _chunk_number(key: bytes, prefix: bytes) -> int | None:
    try:
        number, _ = keys.read_number(key, len(prefix))
    except IntegrityError:
        return None
    return number if prefix + keys.number(number) == key else None


def _raise_missing(segment: Segment, chunk_range: ChunkRange, low: int) -> None:
    """Raise MissingChunkError for the first missing chunk of a range."""
    seq = chunk_range.start
    while low < len(segment.numbers) and segment.numbers[low] == seq:
        seq, low = seq + 1, low + 1
    raise MissingChunkError(keys.segment(chunk_range.owner, chunk_range.segment) + keys.number(seq))
