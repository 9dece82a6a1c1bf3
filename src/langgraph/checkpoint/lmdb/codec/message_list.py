"""Lists of messages: each message is encoded once, and rebuilt from its image after that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.lmdb.codec import chunking, delta_snapshot, gc_pause, messages
from langgraph.checkpoint.lmdb.codec.value_cache import (
    CachedMessage,
    CachedMessages,
    ListFingerprint,
    ends_of,
)
from langgraph.checkpoint.lmdb.engine.chunks import digest
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import ranges

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.codec.messages import Fingerprint
    from langgraph.checkpoint.lmdb.engine.chunks import ChunkedValue, NewChunk, ThreadVersion
    from langgraph.checkpoint.lmdb.format.ranges import ChunkRange

_SEARCHED = 16
"""Messages of the version before, for each that is not where it was, among which that one is
looked for: a short list beside a long one is a write that adds to it, and not an edit of it."""
_MANY = 100
"""Messages that are rebuilt without the garbage collector: a thousand objects, say."""
LARGE = 8192
"""Bytes of an encoded message from which on it is cut into several parts."""


@dataclass(slots=True)
class Encoding:
    """A list of messages, ready to be stored."""

    items: list[ChunkRange | NewChunk]
    """Where the parts are stored, or what they are; runs may be of several parts."""
    elements: list[CachedMessage]
    list_fingerprint: ListFingerprint
    """Of the elements."""
    length: int
    """Bytes of all messages, encoded."""


class Source(NamedTuple):
    """Messages to be encoded."""

    list_fingerprint: ListFingerprint
    encoded: Callable[[list[int]], list[bytes] | None]
    """Encodes those at these places; None if the serializer gives up."""


def of_values(values: list[Any], dumps: Callable[[list[Any]], bytes | None]) -> Source:
    """Messages as they are now.

    Args:
        values: Messages of `messages.MESSAGE_TYPES`.
        dumps: Encodes a list as one msgpack array.
    """
    list_fingerprint = ListFingerprint(list(map(type, values)), messages.fingerprints(values))

    def encoded(places: list[int]) -> list[bytes] | None:
        found = dumps([values[place] for place in places]) if places else b"\x90"
        if found is None:
            return None
        for place in places:
            if not messages.is_json_only(values[place]):
                list_fingerprint.fingerprints[place] = object()
        return chunking.elements(found)

    return Source(list_fingerprint, encoded)


def of_elements(
    elements: list[CachedMessage], dumps: Callable[[list[Any]], bytes | None]
) -> Source:
    """Messages as they were when they became these elements."""
    list_fingerprint = ListFingerprint(
        [e.type for e in elements], [e.fingerprint for e in elements]
    )

    def encoded(places: list[int]) -> list[bytes] | None:
        raws = [elements[place].raw for place in places]  # before the images, as in `_build`
        templates = [elements[place].template for place in places]
        found: list[bytes] = []
        for place, raw, template in zip(places, raws, templates, strict=True):
            if raw is None:
                assert template is not None
                array = dumps(messages.instantiate([elements[place].type], [template]))
                if array is None:
                    return None
                (raw,) = chunking.elements(array)
            found.append(raw)
        return found

    return Source(list_fingerprint, encoded)


def encode(
    source: Source, cached: CachedMessages | None, make_chunk: Callable[[bytes], NewChunk]
) -> Encoding | None:
    """Encode what is new in a list of messages; None if the serializer gives up.

    Args:
        source: The messages.
        layout: The version before.
        make: Makes a part of bytes.
    """
    types, fingerprints = source.list_fingerprint
    old = cached.elements if cached is not None else []
    first, tail = _unchanged(source.list_fingerprint, cached)
    last, stop = len(old) - tail, len(types) - tail
    near, far = (first, last) if last - first <= _SEARCHED * (stop - first) else (first, first)
    moved = {e.fingerprint: index for index, e in enumerate(old[near:far], near)}
    places = [_moved(old, moved, types[i], fingerprints[i]) for i in range(first, stop)]
    encoded = source.encoded([i for i, place in enumerate(places, first) if place is None])
    if encoded is None:
        return None
    raws = iter(encoded)
    replaced = _Replaced(cached, near, far)
    items: list[ChunkRange | NewChunk] = []
    elements: list[CachedMessage] = []
    for index, place in enumerate(places, first):
        if place is not None:
            assert cached is not None
            items += _ranges_of(cached, place)
            elements.append(old[place])
            continue
        raw = next(raws)
        parts = [make_chunk(part) for part in _parts(raw)]
        items += [replaced.find(part.digest) or part for part in parts]
        mark = parts[0].digest if len(parts) == 1 else digest(raw)
        elements.append(
            CachedMessage(types[index], fingerprints[index], mark, len(raw), len(parts), raw)
        )
    list_fingerprint = source.list_fingerprint
    length = sum([element.length for element in elements])
    if cached is None:
        return Encoding(items, elements, list_fingerprint, length)
    end = ranges.total(cached.ranges)
    before = ranges.slice_ranges(cached.ranges, 0, cached.position(first))
    behind = ranges.slice_ranges(cached.ranges, cached.position(last), end)
    length += cached.stored.size - len(cached.stored.head)
    length -= sum([element.length for element in old[first:last]])
    elements = [*old[:first], *elements, *old[last:]]
    return Encoding([*before, *items, *behind], elements, list_fingerprint, length)


def _unchanged(new: ListFingerprint, cached: CachedMessages | None) -> tuple[int, int]:
    """How many messages at the front and at the back are what they were."""
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
    old: list[CachedMessage], moved: dict[Fingerprint, int], kind: type, fingerprint: Fingerprint
) -> int | None:
    place = moved.get(fingerprint)
    return place if place is not None and old[place].type is kind else None


def _ranges_of(cached: CachedMessages, index: int) -> list[ChunkRange]:
    start = cached.position(index)
    return ranges.slice_ranges(cached.ranges, start, start + cached.elements[index].parts)


class _Replaced:
    """The messages of a layout that are not where they were, by the digests of their parts."""

    def __init__(self, cached: CachedMessages | None, first: int, last: int) -> None:
        self._layout = cached
        elements = [] if cached is None else cached.elements[first:last]
        self._whole = {element.digest: index for index, element in enumerate(elements, first)}
        self._parts: dict[bytes, ChunkRange] = {}
        for index, element in enumerate(elements, first):
            if element.parts > 1 and element.raw is not None and cached is not None:
                where = ranges.each_chunk(_ranges_of(cached, index))
                self._parts.update(zip(map(digest, _parts(element.raw)), where, strict=True))

    def find(self, mark: bytes) -> ChunkRange | None:
        """Where a part with this digest is stored."""
        index = self._whole.get(mark)
        if index is not None and self._layout is not None:
            where = _ranges_of(self._layout, index)
            if ranges.total(where) == 1:
                return where[0]
        return self._parts.get(mark)


def _parts(raw: bytes) -> list[bytes]:
    return [raw] if len(raw) <= LARGE else chunking.split_chunks(raw, len(raw))


def read(
    thread_version: ThreadVersion,
    stored: ChunkedValue,
    chunk_ranges: list[ChunkRange],
    cached: CachedMessages | None,
    fetch: Callable[[list[ChunkRange]], list[bytes]],
) -> CachedMessages:
    """The layout of a stored list; what it shares with a known one is not read again.

    Raises:
        DamagedError: The chunks are not the messages that they should be.
    """
    elements: list[CachedMessage] = []
    shared = 0
    if cached is not None and cached.thread_version == thread_version:
        elements = cached.elements[
            : cached.complete_messages(ranges.common_prefix(cached.ranges, chunk_ranges))
        ]
        shared = sum(element.parts for element in elements)
    chunks = fetch(ranges.slice_ranges(chunk_ranges, shared, ranges.total(chunk_ranges)))
    joined = b"".join(chunks)
    count = _count(stored)
    length = len(joined) + len(stored.head) + sum(element.length for element in elements)
    if length != stored.size:
        raise DamagedError(f"a list of messages has {length} bytes instead of {stored.size}")
    try:
        raws = chunking.elements(chunking.array_header(count - len(elements)) + joined)
    except ValueError as error:
        raise DamagedError(f"a list of messages can't be read: {error}") from error
    ends = ends_of(chunks)
    at = used = 0
    fresh: list[CachedMessage] = []
    for raw in raws:
        at += len(raw)
        before = used
        while used < len(ends) and ends[used] <= at:
            used += 1
        if not used or ends[used - 1] != at:
            raise DamagedError("a message does not end where a part of it ends")
        fresh.append(CachedMessage(object, object(), digest(raw), len(raw), used - before, raw))
    return CachedMessages(thread_version, stored, chunk_ranges, elements + fresh)


def _count(stored: ChunkedValue) -> int:
    if not stored.head:
        return 1
    head = delta_snapshot.inner_head(stored.head)
    count = head[0] & 0x0F if len(head) == 1 else int.from_bytes(head[1:], "big")
    if count > stored.size or head != chunking.array_header(count):
        raise DamagedError("a list of messages does not begin like one")
    return count


def build(elements: list[CachedMessage], loads: Callable[[bytes], list[Any]]) -> list[Any]:
    """New messages, which share nothing that can change with any others.

    Args:
        loads: Decodes one msgpack array.
    """
    if len(elements) < _MANY:
        return _build(elements, loads)
    with gc_pause.paused():
        return _build(elements, loads)


def _build(elements: list[CachedMessage], loads: Callable[[bytes], list[Any]]) -> list[Any]:
    raws = [element.raw for element in elements]  # before the images: one of the two is there
    templates = [element.template for element in elements]
    if None not in templates:
        return messages.instantiate([element.type for element in elements], templates)  # type: ignore[arg-type]
    missing = [index for index, template in enumerate(templates) if template is None]
    encoded = b"".join(raw for index in missing if (raw := raws[index]) is not None)
    decoded = loads(chunking.array_header(len(missing)) + encoded)
    out: list[Any] = [None] * len(elements)
    for index, message in zip(missing, decoded, strict=True):
        _learn(elements[index], message)
        out[index] = message
    kept = [(index, template) for index, template in enumerate(templates) if template is not None]
    rebuilt = messages.instantiate(
        [elements[i].type for i, _ in kept], [template for _, template in kept]
    )
    for (index, _), message in zip(kept, rebuilt, strict=True):
        out[index] = message
    return out


def _learn(element: CachedMessage, message: Any) -> None:
    """Keep an image of a message that was just decoded and that nobody else has seen yet."""
    template = messages.make_template(message)
    if template is None:
        return
    element.type = type(message)
    element.fingerprint = messages.fingerprints([message])[0]
    element.template = template
    if element.parts == 1:
        element.raw = None
