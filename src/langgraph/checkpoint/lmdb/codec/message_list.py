"""Lists of messages: each message is encoded once, and copied from its template after that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from langgraph.checkpoint.lmdb.codec import chunking, gc_pause, messages
from langgraph.checkpoint.lmdb.codec.message_values import inner_head
from langgraph.checkpoint.lmdb.codec.messages import Fingerprint
from langgraph.checkpoint.lmdb.codec.serializer import Serializer
from langgraph.checkpoint.lmdb.codec.value_cache import (
    CachedMessage,
    CachedMessages,
    ListFingerprint,
    ends_of,
)
from langgraph.checkpoint.lmdb.engine import chunks
from langgraph.checkpoint.lmdb.engine.chunks import ChunkedValue, NewChunk, ThreadVersion, digest
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import ranges
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange
from langgraph.checkpoint.lmdb.kv.base import Reader

_MAX_REPLACED: Final = 16
"""A message is searched for among the replaced messages if these are at most so many for each new
one. A short list after a long one is a write, not an edit of the long list."""


class NewMessages:
    """Messages that are put, as they are now.

    Args:
        values: Messages of `messages.MESSAGE_TYPES`.
    """

    def __init__(self, values: list[Any]) -> None:
        self._values = values
        self.list_fingerprint = ListFingerprint(
            list(map(type, values)), messages.fingerprints(values)
        )

    def serialize(self, indexes: list[int], serializer: Serializer) -> Raws | None:
        """Serialize the messages at these indexes; return None if the serializer fails."""
        values = [self._values[index] for index in indexes]
        array = serializer.dumps_array(values) if values else b"\x90"
        if array is None:
            return None
        return partial(self._raws, indexes, array)

    def _raws(self, indexes: list[int], array: bytes) -> list[bytes]:
        fingerprints = self.list_fingerprint.fingerprints
        for index in indexes:
            if not messages.shows_json_only(fingerprints[index]):
                fingerprints[index] = object()
        return chunking.elements(array)


class EncodedMessages:
    """Messages as they were when they were encoded.

    Args:
        elements: The encoded messages.
    """

    def __init__(self, elements: list[CachedMessage]) -> None:
        self._elements = elements
        self.list_fingerprint = ListFingerprint(
            [e.type for e in elements], [e.fingerprint for e in elements]
        )

    def serialize(self, indexes: list[int], serializer: Serializer) -> Raws | None:
        """Serialize the messages at these indexes; return None if the serializer fails."""
        elements = [self._elements[index] for index in indexes]
        raws = [element.raw for element in elements]  # before the templates: one of both is set
        templates = [element.template for element in elements]
        found: list[bytes] = []
        for element, raw, template in zip(elements, raws, templates, strict=True):
            if raw is None:
                assert template is not None
                array = serializer.dumps_array(messages.instantiate([element.type], [template]))
                if array is None:
                    return None
                (raw,) = chunking.elements(array)
            found.append(raw)
        return found.copy


Source: TypeAlias = NewMessages | EncodedMessages
Raws: TypeAlias = "Callable[[], list[bytes]]"
"""Function that returns encoded messages."""


@dataclass(slots=True)
class SerializedList:
    """A list of messages whose new messages are serialized; the messages are not read any more."""

    list_fingerprint: ListFingerprint
    cached: CachedMessages | None
    """The older list to share chunks with."""
    first: int
    """Index of the first message that changed."""
    tail: int
    """Number of messages at the end that did not change."""
    near: int
    """Index in the older list of the first message that may have been replaced or moved."""
    far: int
    """Index in the older list behind the last one."""
    moved: list[int | None]
    """Index that each message between `first` and `tail` has in the older list. None: it is new."""
    raws: Raws
    """The new messages."""


@dataclass(slots=True)
class EncodedList:
    """An encoded list of messages."""

    items: list[ChunkRange | NewChunk]
    """Ranges of stored chunks, and new chunks."""
    elements: list[CachedMessage]
    list_fingerprint: ListFingerprint
    length: int
    """Bytes of all messages, encoded."""


def serialize(
    source: Source, serializer: Serializer, cached: CachedMessages | None
) -> SerializedList | None:
    """Serialize what is new in a list of messages; return None if the serializer fails.

    Args:
        source: The messages.
        serializer: Serializer of the messages.
        cached: The older list to share chunks with.
    """
    list_fingerprint = source.list_fingerprint
    types, fingerprints = list_fingerprint
    old = cached.elements if cached is not None else []
    first, tail = _unchanged(list_fingerprint, cached)
    last, stop = len(old) - tail, len(types) - tail
    near, far = (first, last) if last - first <= _MAX_REPLACED * (stop - first) else (first, first)
    old_indexes = {e.fingerprint: index for index, e in enumerate(old[near:far], near)}
    moved: list[int | None] = [None] * (stop - first)
    if old_indexes:
        moved = [_moved(old, old_indexes, types[i], fingerprints[i]) for i in range(first, stop)]
    new = [i for i, index in enumerate(moved, first) if index is None]
    raws = source.serialize(new, serializer)
    if raws is None:
        return None
    return SerializedList(list_fingerprint, cached, first, tail, near, far, moved, raws)


def encode(serialized: SerializedList, make_chunk: Callable[[bytes], NewChunk]) -> EncodedList:
    """Encode a serialized list of messages.

    Args:
        serialized: The list.
        make_chunk: Function that returns the chunk of a piece.
    """
    list_fingerprint, cached, first = (
        serialized.list_fingerprint,
        serialized.cached,
        serialized.first,
    )
    types, fingerprints = list_fingerprint
    old = cached.elements if cached is not None else []
    last = len(old) - serialized.tail
    new_raws = iter(serialized.raws())
    replaced = _replaced_chunks(cached, serialized.near, serialized.far)
    items: list[ChunkRange | NewChunk] = []
    elements: list[CachedMessage] = []
    for index, old_index in enumerate(serialized.moved, first):
        if old_index is not None:
            assert cached is not None
            items += _ranges_of(cached, old_index)
            elements.append(old[old_index])
            continue
        raw = next(new_raws)
        chunks = [make_chunk(piece) for piece in chunking.split_message(raw)]
        items += [replaced.get(chunk.digest) or chunk for chunk in chunks]
        own = chunks[0].digest if len(chunks) == 1 else digest(raw)
        elements.append(
            CachedMessage(types[index], fingerprints[index], own, len(raw), len(chunks), raw)
        )
    length = sum([element.length for element in elements])
    if cached is None:
        return EncodedList(items, elements, list_fingerprint, length)
    end = ranges.total(cached.ranges)
    before = ranges.slice_ranges(cached.ranges, 0, cached.first_chunk(first))
    behind = ranges.slice_ranges(cached.ranges, cached.first_chunk(last), end)
    length += cached.stored.size - len(cached.stored.head)
    length -= sum([element.length for element in old[first:last]])
    elements = [*old[:first], *elements, *old[last:]]
    return EncodedList([*before, *items, *behind], elements, list_fingerprint, length)


def _unchanged(new: ListFingerprint, cached: CachedMessages | None) -> tuple[int, int]:
    """Return the numbers of messages at the beginning and at the end that did not change."""
    if cached is None:
        return 0, 0
    old = cached.current_fingerprint()
    count = len(old.types)
    if new.fingerprints[:count] == old.fingerprints and new.types[:count] == old.types:
        return count, 0
    limit = min(count, len(new.types))
    front = 0
    while front < limit and new.is_same(front, old, front):
        front += 1
    back = 0
    limit -= front
    while back < limit and new.is_same(-1 - back, old, -1 - back):
        back += 1
    return front, back


def _moved(
    old: list[CachedMessage], indexes: dict[Fingerprint, int], cls: type, fingerprint: Fingerprint
) -> int | None:
    """Return the index that a message had in the older list, or None."""
    index = indexes.get(fingerprint)
    return index if index is not None and old[index].type is cls else None


def _ranges_of(cached: CachedMessages, index: int) -> list[ChunkRange]:
    start = cached.first_chunk(index)
    return ranges.slice_ranges(cached.ranges, start, start + cached.elements[index].chunks)


def _replaced_chunks(
    cached: CachedMessages | None, first: int, last: int
) -> dict[bytes, ChunkRange]:
    """Return the stored chunks of the messages at indexes `first` to `last`, by digest."""
    if cached is None or first == last:
        return {}
    found: dict[bytes, ChunkRange] = {}
    at = cached.first_chunk(first)
    chunks = ranges.each_chunk(ranges.slice_ranges(cached.ranges, at, cached.first_chunk(last)))
    at = 0
    for element in cached.elements[first:last]:
        own = chunks[at : at + element.chunks]
        at += element.chunks
        if len(own) == 1:
            found[element.digest] = own[0]
        elif element.raw is not None:
            pieces = chunking.split_message(element.raw)
            if len(pieces) == len(own):  # another release may have split it differently
                found.update(zip(map(digest, pieces), own, strict=True))
    return found


def read(
    thread_version: ThreadVersion,
    stored: ChunkedValue,
    reader: Reader,
    cached: CachedMessages | None,
) -> CachedMessages:
    """Read a stored list. The beginning that it shares with a cached list is not read again.

    Raises:
        DamagedError: The chunks do not hold the messages.
    """
    chunk_ranges = chunks.chunk_ranges(reader, stored)
    elements: list[CachedMessage] = []
    shared = 0
    if cached is not None and cached.thread_version == thread_version:
        elements = cached.elements[
            : cached.complete_messages(ranges.common_prefix(cached.ranges, chunk_ranges))
        ]
        shared = sum(element.chunks for element in elements)
    unread = ranges.slice_ranges(chunk_ranges, shared, ranges.total(chunk_ranges))
    pieces = chunks.fetch(reader, unread, stored.size)
    joined = b"".join(pieces)
    count = _count(stored)
    length = len(joined) + len(stored.head) + sum(element.length for element in elements)
    if length != stored.size:
        raise DamagedError(f"a list of messages has {length} bytes instead of {stored.size}")
    try:
        raws = chunking.elements(chunking.array_header(count - len(elements)) + joined)
    except ValueError as error:
        raise DamagedError(f"a list of messages cannot be decoded: {error}") from error
    ends = ends_of(pieces)
    at = used = 0
    fresh: list[CachedMessage] = []
    for raw in raws:
        at += len(raw)
        before = used
        while used < len(ends) and ends[used] <= at:
            used += 1
        if not used or ends[used - 1] != at:
            raise DamagedError("a message does not end at the end of a chunk")
        fresh.append(CachedMessage(object, object(), digest(raw), len(raw), used - before, raw))
    return CachedMessages(thread_version, stored, chunk_ranges, elements + fresh)


def _count(stored: ChunkedValue) -> int:
    """Return the number of messages that the head of a value names."""
    if not stored.head:
        return 1
    head = inner_head(stored.head)
    count = head[0] & 0x0F if len(head) == 1 else int.from_bytes(head[1:], "big")
    if count > stored.size or head != chunking.array_header(count):
        raise DamagedError("invalid message list header")
    return count


def build(elements: list[CachedMessage], serializer: Serializer) -> list[Any]:
    """Return new messages, which share no container with other objects."""
    with gc_pause.paused_for(len(elements)):
        return _build(elements, serializer)


def _build(elements: list[CachedMessage], serializer: Serializer) -> list[Any]:
    raws = [element.raw for element in elements]  # before the templates: one of both is set
    templates = [element.template for element in elements]
    missing = [index for index, template in enumerate(templates) if template is None]
    if not missing:
        return messages.instantiate([element.type for element in elements], templates)  # type: ignore[arg-type]
    encoded = b"".join(raw for index in missing if (raw := raws[index]) is not None)
    decoded = serializer.loads_array(chunking.array_header(len(missing)) + encoded)
    _add_templates([elements[index] for index in missing], decoded)
    known = [(e.type, t) for e, t in zip(elements, templates, strict=True) if t is not None]
    copies = iter(messages.instantiate([cls for cls, _ in known], [t for _, t in known]))
    new = iter(decoded)
    return [next(new if template is None else copies) for template in templates]


def _add_templates(elements: list[CachedMessage], decoded: list[Any]) -> None:
    """Keep templates of messages that were just decoded, before the caller can change them."""
    fingerprints = messages.fingerprints(decoded)
    templates = messages.make_templates(decoded, fingerprints)
    rows = zip(elements, decoded, fingerprints, templates, strict=True)
    for element, message, fingerprint, template in rows:
        if template is not None:
            element.type = type(message)
            element.fingerprint = fingerprint
            element.template = template
            if element.chunks == 1:
                element.raw = None
