"""A cache of the latest values: their content, and the chunks that hold it.

Any entry can be evicted at any time; the value is then read from the store again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from langgraph.checkpoint.lmdb.codec.messages import Fingerprint, MessageTemplate
from langgraph.checkpoint.lmdb.engine.chunks import (
    ChunkedValue,
    InlineValue,
    NewValue,
    StoredValue,
    ThreadVersion,
)
from langgraph.checkpoint.lmdb.format import ranges
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange
from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.locks import Lock


class ChannelKey(NamedTuple):
    """A channel of a thread's namespace. Its entry is the latest value."""

    thread_id: str
    checkpoint_ns: str
    channel: str


class WriteKey(NamedTuple):
    """A pending write that a channel is rebuilt from."""

    thread_version: ThreadVersion
    stored: StoredValue


CacheKey: TypeAlias = "ChannelKey | WriteKey"


@dataclass(slots=True)
class CachedBytes:
    """A cached value as bytes. Only the last two fields change."""

    thread_version: ThreadVersion
    stored: ChunkedValue
    ranges: list[ChunkRange]
    body: bytes
    """The payload without its head."""
    ends: list[int]
    """End of each chunk in the body."""
    content_digest: bytes | None = None
    """Digest of the content if that is encrypted; None if it is not known."""
    added_at: int | None = None
    """`DedupCache.losses` when all chunks were added to the dedup cache; None: they were not."""

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return len(self.body) + 40 * len(self.ends) + 500

    def holds(self, value: InlineValue) -> bool:
        """Return True if this is the value of a tag and a payload."""
        stored = self.stored
        return (
            stored.size == value.size
            and stored.tag == value.tag
            and value.payload.startswith(stored.head)
            and value.payload.endswith(self.body)
        )


@dataclass(slots=True)
class CachedMessage:
    """A message of a cached list, as stored.

    When it is decoded for the first time, its type, fingerprint and template are set. Then the
    template may replace `raw`.
    """

    type: type
    fingerprint: Fingerprint
    """Fingerprint of the message as it was put, or as it was returned last."""
    digest: bytes
    length: int
    """Bytes of the encoded message."""
    chunks: int
    """Number of its chunks."""
    raw: bytes | None
    """The encoded message; None if the template replaces it."""
    template: MessageTemplate | None = None


class ListFingerprint(NamedTuple):
    """Types and fingerprints of the messages of a list."""

    types: list[type]
    fingerprints: list[Fingerprint]

    def is_same(self, index: int, other: ListFingerprint, at: int) -> bool:
        """Return True if a message equals a message of another list."""
        return (
            self.fingerprints[index] == other.fingerprints[at]
            and self.types[index] is other.types[at]
        )


@dataclass(slots=True)
class CachedMessages:
    """A cached list of messages, each of which begins a chunk. Only `added_at` changes."""

    thread_version: ThreadVersion
    stored: ChunkedValue
    ranges: list[ChunkRange]
    elements: list[CachedMessage]
    list_fingerprint: ListFingerprint | None = None
    """Fingerprint of a list that was put; None if the list was read."""
    added_at: int | None = None
    """See `CachedBytes`."""

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return 2 * self.stored.size + 500 * (len(self.elements) + 1)

    def current_fingerprint(self) -> ListFingerprint:
        """Return the fingerprint of the list, with what decoding its messages added."""
        return self.list_fingerprint or ListFingerprint(
            [e.type for e in self.elements], [e.fingerprint for e in self.elements]
        )

    def holds(self, value: NewValue) -> bool:
        """Return True if a value has the same chunks and the same head."""
        stored = self.stored
        found: list[ChunkRange] = []
        for item in value.items:
            if not isinstance(item, ChunkRange):
                return False
            ranges.append_merged(found, (item,))
        return (found, value.tag, value.head) == (self.ranges, stored.tag, stored.head)

    def is_beginning_of(self, other: CachedMessages | None) -> bool:
        """Return True if another list begins with this one, as history is read backwards."""
        count = len(self.elements)
        return (
            other is not None
            and 0 < count < len(other.elements)
            and other.elements[count - 1] is self.elements[-1]
        )

    def first_chunk(self, index: int) -> int:
        """Return the position of the first chunk of a message, or the end of the list."""
        if len(self.elements) == sum([chunk_range.length for chunk_range in self.ranges]):
            return index
        return sum(element.chunks for element in self.elements[:index])

    def complete_messages(self, chunks: int) -> int:
        """Return the number of messages that the first `chunks` chunks hold completely."""
        if len(self.elements) == sum([chunk_range.length for chunk_range in self.ranges]):
            return chunks
        ends = accumulate(element.chunks for element in self.elements)
        return sum(1 for end in ends if end <= chunks)


CachedValue: TypeAlias = "CachedBytes | CachedMessages"


def ends_of(pieces: list[bytes]) -> list[int]:
    """Return the end of each piece in the pieces joined."""
    return list(accumulate(map(len, pieces)))


class ValueCache:
    """An LRU cache of the latest value of each channel and of pending writes.

    Args:
        limit: Bytes of all values, about. 0: the cache remains empty.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.renew()
        forking.renew_in_child(self)

    def renew(self) -> None:
        """Make the cache new and empty: in a forked child it may be half-changed, by a thread
        that only the parent has."""
        self._lock = Lock()
        self._values: OrderedDict[CacheKey, CachedValue] = OrderedDict()
        self._size = 0

    def get(self, key: CacheKey, thread_version: ThreadVersion | None) -> CachedValue | None:
        """Return a value; None if it is missing or the thread has changed."""
        if self._lock.is_held():  # a signal handler interrupts another call
            return None
        with self._lock:
            cached = self._values.get(key)
            if cached is None or cached.thread_version != thread_version:
                return None
            self._values.move_to_end(key)
            return cached

    def put(self, key: CacheKey, cached: CachedValue) -> None:
        """Add a value, and evict the least recently used values beyond the limit."""
        size = cached.size
        if size > self.limit or self._lock.is_held():
            return
        with self._lock:
            old = self._values.pop(key, None)
            if old is not None:
                self._size -= old.size
            self._values[key] = cached
            self._size += size
            while self._size > self.limit and self._values:
                self._size -= self._values.popitem(last=False)[1].size
