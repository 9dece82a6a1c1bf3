"""Lists of messages: each message is encoded once, and rebuilt from its image after that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.codec import chunking, delta_snapshot, gc_pause, messages
from langgraph.checkpoint.lmdb.codec.value_cache import Element, Known, MessageLayout, ends_of
from langgraph.checkpoint.lmdb.engine.chunks import digest
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import ranges

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.codec.messages import State
    from langgraph.checkpoint.lmdb.engine.chunks import Chunked, Part, Place
    from langgraph.checkpoint.lmdb.format.ranges import Run

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

    items: list[Run | Part]
    """Where the parts are stored, or what they are; runs may be of several parts."""
    elements: list[Element]
    known: Known
    """Of the elements."""
    length: int
    """Bytes of all messages, encoded."""


def encode(
    values: list[Any],
    layout: MessageLayout | None,
    dumps: Callable[[list[Any]], bytes | None],
    make: Callable[[bytes], Part],
) -> Encoding | None:
    """Encode what is new in a list of messages; None if `dumps` gives up.

    Args:
        values: Messages of `messages.MESSAGE_TYPES`.
        layout: The version before.
        dumps: Encodes a list as one msgpack array.
        make: Makes a part of bytes.
    """
    types = list(map(type, values))
    states = messages.states(values)
    old = layout.elements if layout is not None else []
    first, tail = _unchanged(Known(types, states), layout)
    last, stop = len(old) - tail, len(values) - tail
    near, far = (first, last) if last - first <= _SEARCHED * (stop - first) else (first, first)
    moved = {e.state: index for index, e in enumerate(old[near:far], near)}
    places = [_moved(old, moved, types[i], states[i]) for i in range(first, stop)]
    fresh = [values[first + i] for i, place in enumerate(places) if place is None]
    encoded = dumps(fresh) if fresh else b"\x90"
    if encoded is None:
        return None
    raws = iter(chunking.elements(encoded))
    replaced = _Replaced(layout, near, far)
    items: list[Run | Part] = []
    elements: list[Element] = []
    for index, place in enumerate(places, first):
        if place is not None:
            assert layout is not None
            items += _runs_of(layout, place)
            elements.append(old[place])
            continue
        raw = next(raws)
        if not messages.is_plain(values[index]):
            states[index] = object()
        parts = [make(part) for part in _parts(raw)]
        items += [replaced.find(part.digest) or part for part in parts]
        mark = parts[0].digest if len(parts) == 1 else digest(raw)
        elements.append(Element(types[index], states[index], mark, len(raw), len(parts), raw))
    known = Known(types, states)
    length = sum([element.length for element in elements])
    if layout is None:
        return Encoding(items, elements, known, length)
    end = ranges.total(layout.runs)
    before = ranges.cut(layout.runs, 0, layout.position(first))
    behind = ranges.cut(layout.runs, layout.position(last), end)
    length += layout.stored.size - len(layout.stored.head)
    length -= sum([element.length for element in old[first:last]])
    elements = [*old[:first], *elements, *old[last:]]
    return Encoding([*before, *items, *behind], elements, known, length)


def _unchanged(new: Known, layout: MessageLayout | None) -> tuple[int, int]:
    """How many messages at the front and at the back are what they were."""
    if layout is None:
        return 0, 0
    old = layout.what_is_known()
    count = len(old.types)
    if new.states[:count] == old.states and new.types[:count] == old.types:
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


def _moved(old: list[Element], moved: dict[State, int], kind: type, state: State) -> int | None:
    place = moved.get(state)
    return place if place is not None and old[place].type is kind else None


def _runs_of(layout: MessageLayout, index: int) -> list[Run]:
    start = layout.position(index)
    return ranges.cut(layout.runs, start, start + layout.elements[index].parts)


class _Replaced:
    """The messages of a layout that are not where they were, by the digests of their parts."""

    def __init__(self, layout: MessageLayout | None, first: int, last: int) -> None:
        self._layout = layout
        elements = [] if layout is None else layout.elements[first:last]
        self._whole = {element.digest: index for index, element in enumerate(elements, first)}
        self._parts: dict[bytes, Run] = {}
        for index, element in enumerate(elements, first):
            if element.parts > 1 and element.raw is not None and layout is not None:
                where = ranges.singles(_runs_of(layout, index))
                self._parts.update(zip(map(digest, _parts(element.raw)), where, strict=True))

    def find(self, mark: bytes) -> Run | None:
        """Where a part with this digest is stored."""
        index = self._whole.get(mark)
        if index is not None and self._layout is not None:
            where = _runs_of(self._layout, index)
            if ranges.total(where) == 1:
                return where[0]
        return self._parts.get(mark)


def _parts(raw: bytes) -> list[bytes]:
    return [raw] if len(raw) <= LARGE else chunking.cut(raw, len(raw))


def read(
    place: Place,
    stored: Chunked,
    chunk_runs: list[Run],
    layout: MessageLayout | None,
    fetch: Callable[[list[Run]], list[bytes]],
) -> MessageLayout:
    """The layout of a stored list; what it shares with a known one is not read again.

    Raises:
        DamagedError: The chunks are not the messages that they should be.
    """
    elements: list[Element] = []
    shared = 0
    if layout is not None and layout.place == place:
        elements = layout.elements[: layout.whole(ranges.common_prefix(layout.runs, chunk_runs))]
        shared = sum(element.parts for element in elements)
    chunks = fetch(ranges.cut(chunk_runs, shared, ranges.total(chunk_runs)))
    joined = b"".join(chunks)
    count = _count(stored)
    length = len(joined) + len(stored.head) + sum(element.length for element in elements)
    if length != stored.size:
        raise DamagedError(f"a list of messages has {length} bytes instead of {stored.size}")
    try:
        raws = chunking.elements(chunking.array_head(count - len(elements)) + joined)
    except ValueError as error:
        raise DamagedError(f"a list of messages can't be read: {error}") from error
    ends = ends_of(chunks)
    at = used = 0
    fresh: list[Element] = []
    for raw in raws:
        at += len(raw)
        before = used
        while used < len(ends) and ends[used] <= at:
            used += 1
        if not used or ends[used - 1] != at:
            raise DamagedError("a message does not end where a part of it ends")
        fresh.append(Element(object, object(), digest(raw), len(raw), used - before, raw))
    return MessageLayout(place, stored, chunk_runs, elements + fresh)


def _count(stored: Chunked) -> int:
    if not stored.head:
        return 1
    head = delta_snapshot.inner_head(stored.head)
    count = head[0] & 0x0F if len(head) == 1 else int.from_bytes(head[1:], "big")
    if count > stored.size or head != chunking.array_head(count):
        raise DamagedError("a list of messages does not begin like one")
    return count


def build(elements: list[Element], loads: Callable[[bytes], list[Any]]) -> list[Any]:
    """New messages, which share nothing that can change with any others.

    Args:
        loads: Decodes one msgpack array.
    """
    if len(elements) < _MANY:
        return _build(elements, loads)
    with gc_pause.paused():
        return _build(elements, loads)


def _build(elements: list[Element], loads: Callable[[bytes], list[Any]]) -> list[Any]:
    raws = [element.raw for element in elements]  # before the images: one of the two is there
    images = [element.image for element in elements]
    if None not in images:
        return messages.rebuild([element.type for element in elements], images)  # type: ignore[arg-type]
    missing = [index for index, image in enumerate(images) if image is None]
    encoded = b"".join(raw for index in missing if (raw := raws[index]) is not None)
    decoded = loads(chunking.array_head(len(missing)) + encoded)
    out: list[Any] = [None] * len(elements)
    for index, message in zip(missing, decoded, strict=True):
        _learn(elements[index], message)
        out[index] = message
    kept = [(index, image) for index, image in enumerate(images) if image is not None]
    rebuilt = messages.rebuild([elements[i].type for i, _ in kept], [image for _, image in kept])
    for (index, _), message in zip(kept, rebuilt, strict=True):
        out[index] = message
    return out


def _learn(element: Element, message: Any) -> None:
    """Keep an image of a message that was just decoded and that nobody else has seen yet."""
    image = messages.image(message)
    if image is None:
        return
    element.type = type(message)
    element.state = messages.states([message])[0]
    element.image = image
    if element.parts == 1:
        element.raw = None
