"""Which chunks are stored, and how many bytes they hold: for checks that ask for many values."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine.chunks import MAX_CHUNK
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange, ChunkSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langgraph.checkpoint.lmdb.kv.base import Reader


@dataclass(slots=True)
class Segment:
    """The chunks of one arena, in ascending order."""

    numbers: array[int] = field(default_factory=lambda: array("Q"))
    ends: array[int] = field(default_factory=lambda: array("Q", [0]))
    """Sums of the bytes of payloads, before each of them and after the last."""
    stored_sizes: array[int] = field(default_factory=lambda: array("Q", [0]))
    """The same for keys and records."""
    damaged: dict[int, IntegrityError] = field(default_factory=dict)

    def span(self, chunk_range: ChunkRange) -> tuple[int, int]:
        """The places of the chunks of a run."""
        low = bisect_left(self.numbers, chunk_range.start)
        return low, bisect_left(self.numbers, chunk_range.start + chunk_range.length, low)


class MissingChunkError(Exception):
    """A chunk is not there; `key` says which."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self.key = key


class ChunkMap:
    """Reads each arena that is asked for once.

    Args:
        reader: The snapshot.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._segments: dict[tuple[int, int], Segment] = {}
        self.seen = 0
        """How many chunks were read."""
        self.misnamed: list[bytes] = []
        """Keys among those of chunks that are none."""

    def segment(self, owner: int, number: int) -> Segment:
        """The arena of a thread."""
        found = self._segments.get((owner, number))
        if found is None:
            found = self._segments[owner, number] = self._read(keys.segment(owner, number))
        return found

    def _read(self, prefix: bytes) -> Segment:
        segment, reader = Segment(), self._reader
        for key in reader.keys(prefix, keys.prefix_end(prefix)):
            number = self._number(key, prefix)
            if number is None:
                self.misnamed.append(key)
                continue
            size = weight = 0
            try:
                record = reader.get(key) or b""
                weight = len(key) + len(record)
                size = len(envelope.unseal(key, record, MAX_CHUNK))
            except IntegrityError as error:
                segment.damaged[number] = error
            segment.numbers.append(number)
            segment.ends.append(segment.ends[-1] + size)
            segment.stored_sizes.append(segment.stored_sizes[-1] + weight)
        self.seen += len(segment.numbers)
        return segment

    def _number(self, key: bytes, prefix: bytes) -> int | None:
        try:
            number, _ = keys.read_number(key, len(prefix))
        except IntegrityError:
            return None
        return number if prefix + keys.number(number) == key else None

    def numbers(self, owner: int) -> Iterator[int]:
        """The arenas of a thread that hold chunks; one seek each."""
        prefix = keys.of_thread(b"d", owner)
        at, stop = prefix, keys.prefix_end(prefix)
        while True:
            first = next(iter(self._reader.keys(at, stop)), None)
            if first is None:
                return
            try:
                number, end = keys.read_number(first, len(prefix))
            except IntegrityError:
                self.misnamed.append(first)
                at = first + b"\x00"
                continue
            yield number
            at = keys.prefix_end(first[:end])

    def stored(self, owner: int) -> ChunkSet:
        """All chunks of a thread."""
        stored = ChunkSet()
        for number in self.numbers(owner):
            for seq in self.segment(owner, number).numbers:
                stored.add([ChunkRange(owner, number, seq, 1)])
        return stored

    def damaged(self, owner: int) -> Iterator[tuple[bytes, IntegrityError]]:
        """The chunks of a thread that cannot be read, with their keys."""
        for number in self.numbers(owner):
            for seq, error in self.segment(owner, number).damaged.items():
                yield keys.segment(owner, number) + keys.number(seq), error

    def length(self, ranges: Iterable[ChunkRange]) -> int:
        """The bytes of the payloads of chunks.

        Raises:
            MissingChunkError: A chunk is missing.
            IntegrityError: A chunk is damaged.
        """
        total = 0
        for chunk_range in ranges:
            segment = self.segment(chunk_range.owner, chunk_range.segment)
            low, high = segment.span(chunk_range)
            if high - low != chunk_range.length:
                _missing(segment, chunk_range, low)
            if segment.damaged:
                for seq in segment.damaged:
                    if chunk_range.start <= seq < chunk_range.start + chunk_range.length:
                        raise segment.damaged[seq]
            total += segment.ends[high] - segment.ends[low]
        return total

    def weight(self, ranges: Iterable[ChunkRange]) -> int:
        """The bytes of the keys and records of chunks, those that are there."""
        total = 0
        for chunk_range in ranges:
            segment = self.segment(chunk_range.owner, chunk_range.segment)
            low, high = segment.span(chunk_range)
            total += segment.stored_sizes[high] - segment.stored_sizes[low]
        return total


def _missing(segment: Segment, chunk_range: ChunkRange, low: int) -> None:
    seq = chunk_range.start
    while low < len(segment.numbers) and segment.numbers[low] == seq:
        seq, low = seq + 1, low + 1
    key = keys.segment(chunk_range.owner, chunk_range.segment) + keys.number(seq)
    raise MissingChunkError(key)
