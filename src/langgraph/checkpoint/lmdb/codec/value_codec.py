"""Channel values to and from the engine: only what changed is encoded, cut and stored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb.codec import (
    bytes_diff,
    chunking,
    delta_snapshot,
    message_list,
    messages,
    serializer,
)
from langgraph.checkpoint.lmdb.codec.value_cache import (
    LayoutCache,
    MessageLayout,
    PlainLayout,
    WriteKey,
    ends_of,
)
from langgraph.checkpoint.lmdb.engine.chunks import Chunked, Inline, NewValue, Part, digest
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import envelope

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from langgraph.checkpoint.serde.base import SerializerProtocol

    from langgraph.checkpoint.lmdb.codec.value_cache import ChannelKey, Layout, LayoutKey
    from langgraph.checkpoint.lmdb.engine.chunks import Hints, Kept, Place, StoredValue
    from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
    from langgraph.checkpoint.lmdb.format.ranges import Run

INLINE = 512
"""Bytes of a payload up to which it stands in the record of what it is new in."""
INHERITED_INLINE = 64
"""Bytes of a payload up to which it stands in the records of later checkpoints, too. A longer one
becomes a chunk there: values that change with each step cost one record, others are stored once."""

SMALL = 1024
"""Bytes of a payload up to which it is one chunk, which is compared with no other."""
MAX_RECORD_PART = 16384
"""Bytes of a checkpoint's metadata up to which they stand in its record; likewise for the rest of
it but channels."""

PLAIN, MESSAGES = 0, 1
"""Shapes of chunked values: any bytes, or messages that each begin a chunk."""


@dataclass(slots=True)
class Base:
    """The version of a value that a new one is compared with: the parent's."""

    place: Place
    stored: StoredValue | None
    snapshot: Callable[[], AbstractContextManager[Snapshot]]
    """Opens the store, to read what is not remembered of the value."""


@dataclass(slots=True)
class Encoded:
    """A value ready to be stored."""

    new: NewValue | Inline
    layout: Callable[[Place, Chunked, list[Run]], Layout] | None = None
    """What to remember once it is stored: takes where, as what, and the runs of its chunks."""


class ValueCodec:
    """Encodes and decodes channel values with a serialiser.

    Args:
        serde: Any serialiser. With exactly JsonPlusSerializer, messages are handled one by one.
        level: zstd's level, or None.
        cache_size: Bytes that may be used to remember values seen before, about; 0 for none.
        hints: Which parts the store is expected to have.
    """

    def __init__(
        self, serde: SerializerProtocol, level: int | None, cache_size: int, hints: Hints
    ) -> None:
        self._hints = hints
        self._serde = serde
        self._level = level
        self._cache = LayoutCache(cache_size)
        self._by_message = type(serde) is JsonPlusSerializer and not getattr(
            serde, "_custom_unpack_ext_hook", False
        )
        self._wrapper = delta_snapshot.Wrapper.of(serde) if self._by_message else None

    def with_serde(self, serde: SerializerProtocol) -> ValueCodec:
        """The same for another serialiser. It remembers nothing of what this one decoded, as that
        may depend on which types a serialiser allows."""
        return ValueCodec(serde, self._level, self._cache.limit, self._hints)

    def encode(self, key: ChannelKey, value: Any, base: Base | None) -> Encoded:
        """Encode the value of a channel, as changes to its base where there is one.

        Raises:
            SerializationError: The serialiser does not know it, or a part of it.
        """
        if self._by_message:
            encoded = self._encode_messages(key, value, base)
            if encoded is not None:
                return encoded
        tag, payload = serializer.dumps(self._serde, value)
        if len(payload) <= INLINE:
            return Encoded(Inline(tag, payload))
        make = self._maker(None if base is None else base.place)
        if len(payload) <= SMALL:
            return Encoded(NewValue(tag, PLAIN, b"", len(payload), [make(payload)]))
        head, body = chunking.split_head(tag, payload)
        layout = self._plain_layout(key, base)
        if layout is None:
            cut = bytes_diff.cut_new(body, len(payload), make)
        else:
            cut = bytes_diff.cut_against(layout, body, len(payload), make)
        new = NewValue(tag, PLAIN, head, len(payload), cut.items, _chunked(base))

        def remembered(place: Place, stored: Chunked, chunk_runs: list[Run]) -> Layout:
            return PlainLayout(place, stored, chunk_runs, body, cut.ends)

        return Encoded(new, remembered)

    def encode_record_part(self, value: Any) -> NewValue | Inline:
        """Encode what is not a channel's: it stands in the record unless it is large."""
        tag, payload = serializer.dumps(self._serde, value)
        if len(payload) <= MAX_RECORD_PART:
            return Inline(tag, payload)
        cut = bytes_diff.cut_new(payload, len(payload), self._maker(None))
        return NewValue(tag, PLAIN, b"", len(payload), cut.items)

    def _encode_messages(self, key: ChannelKey, value: Any, base: Base | None) -> Encoded | None:
        wrapper = self._wrapper
        wrapped = wrapper is not None and type(value) is wrapper.kind
        if wrapped:
            value = value.value
        single = not wrapped and type(value) in messages.MESSAGE_TYPES
        if not single and (
            type(value) is not list
            or not value
            or not messages.MESSAGE_TYPES.issuperset(map(type, value))
        ):
            return None
        values: list[Any] = [value] if single else value
        found = message_list.encode(
            values,
            self._message_layout(key, base, wrapped=wrapped),
            self._dumps_array,
            self._maker(None if base is None else base.place),
        )
        if found is None:
            return None
        head = b"" if single else chunking.array_head(len(values))
        if wrapper is not None and wrapped:
            if len(head) + found.length >= delta_snapshot.LIMIT:
                return None
            head = wrapper.head(len(head) + found.length) + head
        size = len(head) + found.length
        new = NewValue("msgpack", MESSAGES, head, size, found.items, _chunked(base))

        def remembered(place: Place, stored: Chunked, chunk_runs: list[Run]) -> Layout:
            return MessageLayout(place, stored, chunk_runs, found.elements, found.known)

        return Encoded(new, remembered)

    def inherit(self, stored: StoredValue, place: Place | None) -> Encoded | StoredValue:
        """A parent's value, as its child has it."""
        if isinstance(stored, Chunked) or len(stored.payload) <= INHERITED_INLINE:
            return stored
        part = self._maker(place)(stored.payload)
        return Encoded(NewValue(stored.tag, PLAIN, b"", len(part.raw), [part]))

    def remember(self, key: ChannelKey, made: Encoded, place: Place, kept: Kept) -> None:
        """Keep in mind a value that is its channel's now."""
        if made.layout is not None and isinstance(kept.value, Chunked):
            self._cache.put(key, made.layout(place, kept.value, kept.runs))

    def _dumps_array(self, values: list[Any]) -> bytes | None:
        try:
            tag, payload = self._serde.dumps_typed(values)
        except Exception:  # noqa: BLE001 - the plain path meets it again, and says where
            return None
        return payload if tag == "msgpack" else None

    def _loads_array(self, encoded: bytes) -> list[Any]:
        values: list[Any] = serializer.loads(self._serde, "msgpack", encoded)
        return values

    def _maker(self, place: Place | None) -> Callable[[bytes], Part]:
        """Makes parts; those that the thread seems to have are not compressed in vain."""

        def make(raw: bytes) -> Part:
            mark = digest(raw)
            if place is not None and self._hints.get(place, mark) is not None:
                return Part(raw, mark, None)
            return Part(raw, mark, envelope.pack(raw, self._level))

        return make

    def _plain_layout(self, key: ChannelKey, base: Base | None) -> PlainLayout | None:
        if base is None:
            return None
        layout = self._cache.get(key, base.place)
        if isinstance(layout, PlainLayout):
            return layout  # any earlier value of the channel will do: its chunks are still there
        stored = _chunked(base)
        if stored is None or stored.shape != PLAIN:
            return None
        with base.snapshot() as snapshot:
            return _read_plain(stored, base.place, snapshot)

    def _message_layout(
        self, key: ChannelKey, base: Base | None, *, wrapped: bool
    ) -> MessageLayout | None:
        if base is None:
            return None
        stored = _chunked(base)
        layout = self._cache.get(key, base.place)
        if stored is None and wrapped and isinstance(layout, MessageLayout):
            return layout  # the snapshot before: what came between has no value of the channel
        if stored is None or stored.shape != MESSAGES:
            return None
        if isinstance(layout, MessageLayout) and layout.stored == stored:
            return layout
        with base.snapshot() as snapshot:
            return _read_messages(stored, base.place, snapshot, layout)

    def fetch(
        self, key: LayoutKey, stored: StoredValue, place: Place, snapshot: Snapshot
    ) -> Callable[[], Any]:
        """Read a value from the store; what is returned makes the Python value, at any later time.

        Raises:
            DamagedError: The value is not what was stored.
        """
        if isinstance(stored, Inline):
            return lambda: serializer.loads(self._serde, stored.tag, stored.payload)
        layout = self._cache.get(key, place)
        known = layout is not None and layout.stored == stored
        finish = self._of_messages(stored)
        if finish is not None:
            if not known or not isinstance(layout, MessageLayout):
                old = layout
                layout = _read_messages(stored, place, snapshot, old)
                if not _is_head(layout, old):
                    self._cache.put(key, layout)
            elements = layout.elements
            return lambda: finish(message_list.build(elements, self._loads_array))
        if not known or not isinstance(layout, PlainLayout):
            layout = _read_plain(stored, place, snapshot)
            if stored.shape == PLAIN and stored.size > SMALL:
                self._cache.put(key, layout)
        body = layout.body
        return lambda: serializer.loads(self._serde, stored.tag, stored.head + body)

    def _of_messages(self, stored: Chunked) -> Callable[[list[Any]], Any] | None:
        """What makes a value of its messages; None if it is not rebuilt from messages."""
        if stored.shape != MESSAGES or not self._by_message:
            return None
        if not stored.head:
            return itemgetter(0)
        if delta_snapshot.inner_head(stored.head) == stored.head:
            return _unchanged
        wrapper = self._wrapper
        return wrapper.kind if wrapper and wrapper.is_around(stored.head, stored.size) else None

    def fetch_write(
        self, stored: StoredValue, place: Place, snapshot: Snapshot
    ) -> Callable[[], Any]:
        """The same for what a channel is rebuilt from: a write, which never changes."""
        return self.fetch(WriteKey(place, stored), stored, place, snapshot)

    def fetch_once(self, stored: StoredValue, snapshot: Snapshot) -> Callable[[], Any]:
        """The same for what is not to be remembered."""
        return partial(serializer.loads, self._serde, stored.tag, snapshot.payload(stored))

    def load(self, stored: StoredValue, snapshot: Snapshot) -> Any:
        """A stored value of no channel."""
        return self.fetch_once(stored, snapshot)()

    def load_map(self, stored: StoredValue, snapshot: Snapshot) -> Any:
        """A stored value of no channel that has to be a map.

        Raises:
            DamagedError: It is something else.
        """
        value = self.load(stored, snapshot)
        if not isinstance(value, dict):
            raise DamagedError(f"there is {type(value).__name__} where a map was stored")
        return value

    def effort(self, key: ChannelKey, stored: StoredValue, place: Place) -> int:
        """Bytes that have to be decoded to rebuild a value; messages with images count for less."""
        layout = self._cache.get(key, place) if isinstance(stored, Chunked) else None
        if isinstance(layout, MessageLayout) and layout.stored == stored:
            return stored.size // _IMAGE_SPEED
        return stored.size


def _unchanged(values: list[Any]) -> list[Any]:
    return values


_IMAGE_SPEED = 6  # a rough weight: rebuilding a message from its image against decoding it


def _read_plain(stored: Chunked, place: Place, snapshot: Snapshot) -> PlainLayout:
    chunk_runs = snapshot.runs(stored)
    parts = snapshot.chunks(chunk_runs, stored.size)
    body = b"".join(parts)
    snapshot.check_size(stored, body)
    return PlainLayout(place, stored, chunk_runs, body, ends_of(parts))


def _read_messages(
    stored: Chunked, place: Place, snapshot: Snapshot, layout: Layout | None
) -> MessageLayout:
    old = layout if isinstance(layout, MessageLayout) else None
    return message_list.read(
        place, stored, snapshot.runs(stored), old, lambda runs: snapshot.chunks(runs, stored.size)
    )


def _is_head(layout: MessageLayout, other: Layout | None) -> bool:
    """Whether a list is the beginning of another one, as when history is walked backwards."""
    count = len(layout.elements)
    return (
        isinstance(other, MessageLayout)
        and 0 < count < len(other.elements)
        and other.elements[count - 1] is layout.elements[-1]
    )


def _chunked(base: Base | None) -> Chunked | None:
    return base.stored if base is not None and isinstance(base.stored, Chunked) else None
