"""What is remembered of the values last seen: which parts they have, and where these are stored.

A layout is never changed once others can see it, but for what it learns of its own elements, and
for whether its parts are hinted.
Everything here can be forgotten at any time; it is then read from the store again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from langgraph.checkpoint.lmdb.format.ranges import ChunkRange, append_merged
from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.locks import Lock

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.codec.messages import Fingerprint, MessageTemplate
    from langgraph.checkpoint.lmdb.engine.chunks import (
        ChunkedValue,
        InlineValue,
        NewValue,
        StoredValue,
        ThreadVersion,
    )


class ChannelKey(NamedTuple):
    """A channel of a thread's namespace."""

    thread_id: str
    checkpoint_ns: str
    channel: str


class WriteKey(NamedTuple):
    """A pending write, or another value that is read again and again but is no channel's latest."""

    thread_version: ThreadVersion
    stored: StoredValue


CacheKey: TypeAlias = "ChannelKey | WriteKey"


@dataclass(slots=True)
class CachedBytes:
    """A value as bytes, cut into parts."""

    thread_version: ThreadVersion
    stored: ChunkedValue
    ranges: list[ChunkRange]
    body: bytes
    ends: list[int]
    """Where each part ends in the body."""
    mark: bytes | None = None
    """Of the content, if that is encrypted; see `Contents`."""

    def holds(self, value: InlineValue) -> bool:
        """Whether this is the value of a tag and a payload."""
        stored = self.stored
        return (
            stored.size == value.size
            and stored.tag == value.tag
            and value.payload.startswith(stored.head)
            and value.payload.endswith(self.body)
        )

    hinted: int | None = None
    """The losses of hints when all its parts were hinted; None if they were not."""

    @property
    def size(self) -> int:
        return len(self.body) + 40 * len(self.ends) + 500


@dataclass(slots=True)
class CachedMessage:
    """A message in a list, as stored; what is known of it only ever grows."""

    type: type
    fingerprint: Fingerprint
    """Of the message as it was put or handed out last."""
    digest: bytes
    length: int
    """Bytes of it, encoded."""
    parts: int
    """How many chunks it has."""
    raw: bytes | None
    """Encoded; None once there is an image that serves instead."""
    template: MessageTemplate | None = None


class ListFingerprint(NamedTuple):
    """Types and states of the messages of a list, by their places in it."""

    types: list[type]
    fingerprints: list[Fingerprint]

    def is_same(self, index: int, other: ListFingerprint, at: int) -> bool:
        """Whether a message is what another one was."""
        return (
            self.fingerprints[index] == other.fingerprints[at]
            and self.types[index] is other.types[at]
        )


@dataclass(slots=True)
class CachedMessages:
    """A list of messages, each of which begins a part."""

    thread_version: ThreadVersion
    stored: ChunkedValue
    ranges: list[ChunkRange]
    elements: list[CachedMessage]
    list_fingerprint: ListFingerprint | None = None
    """Of a list that was put, whose elements have nothing more to learn."""
    hinted: int | None = None
    """The losses of hints when all its parts were hinted; None if they were not."""

    def current_fingerprint(self) -> ListFingerprint:
        """What is known of the elements now."""
        if self.list_fingerprint is not None:
            return self.list_fingerprint
        return ListFingerprint(
            [e.type for e in self.elements], [e.fingerprint for e in self.elements]
        )

    def holds(self, value: NewValue) -> bool:
        """Whether a value has just these chunks, and the same head."""
        stored = self.stored
        found: list[ChunkRange] = []
        for item in value.items:
            if not isinstance(item, ChunkRange):
                return False
            append_merged(found, (item,))
        return (found, value.tag, value.head) == (self.ranges, stored.tag, stored.head)

    @property
    def size(self) -> int:
        return 2 * self.stored.size + 500 * (len(self.elements) + 1)

    def position(self, index: int) -> int:
        """How many chunks the messages before this one have."""
        if len(self.elements) == sum(chunk_range.length for chunk_range in self.ranges):
            return index
        return sum(element.parts for element in self.elements[:index])

    def complete_messages(self, chunks: int) -> int:
        """How many messages the first `chunks` chunks hold in full."""
        if len(self.elements) == sum(chunk_range.length for chunk_range in self.ranges):
            return chunks
        ends = accumulate(element.parts for element in self.elements)
        return sum(1 for end in ends if end <= chunks)


CachedValue: TypeAlias = "CachedBytes | CachedMessages"


def ends_of(parts: list[bytes]) -> list[int]:
    """Where each part ends once they are joined."""
    return list(accumulate(map(len, parts)))


class ValueCache:
    """The latest layout of each channel, and those of writes that were read.

    Args:
        limit: Bytes that all of it may take, about; 0 remembers nothing.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.renew()
        forking.renew_in_child(self)

    def renew(self) -> None:
        """Start empty in a forked child: another thread may have been changing it."""
        self._lock = Lock()
        self._values: OrderedDict[CacheKey, CachedValue] = OrderedDict()
        self._size = 0

    def get(self, key: CacheKey, thread_version: ThreadVersion) -> CachedValue | None:
        """The layout of a value, if what it says of the thread still holds."""
        if self._lock.is_held():  # by the code that this call interrupts
            return None
        with self._lock:
            cached = self._values.get(key)
            if cached is None or cached.thread_version != thread_version:
                return None
            self._values.move_to_end(key)
            return cached

    def put(self, key: CacheKey, cached: CachedValue) -> None:
        """Remember a layout, and forget those not used for longest if there is no room."""
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
