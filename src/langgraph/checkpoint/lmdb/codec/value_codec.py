"""Channel values to and from the engine: only what changed is encoded, cut and stored."""

from __future__ import annotations

from functools import partial
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
from langgraph.checkpoint.lmdb.codec.contents import MESSAGES, NONE, PLAIN, Contents
from langgraph.checkpoint.lmdb.codec.encoded import Encoded
from langgraph.checkpoint.lmdb.codec.hinting import PartMaker
from langgraph.checkpoint.lmdb.codec.nones import ReadBack
from langgraph.checkpoint.lmdb.codec.value_cache import (
    CachedBytes,
    CachedMessages,
    ValueCache,
    WriteKey,
    ends_of,
)
from langgraph.checkpoint.lmdb.engine.chunks import (
    ChunkedValue,
    InlineValue,
    NewValue,
)
from langgraph.checkpoint.lmdb.errors import DamagedError, LmdbSaverError, SerializationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.serde.base import SerializerProtocol

    from langgraph.checkpoint.lmdb.codec.contents import Content
    from langgraph.checkpoint.lmdb.codec.encoded import MakeCached, ParentValue
    from langgraph.checkpoint.lmdb.codec.message_list import Source
    from langgraph.checkpoint.lmdb.codec.value_cache import CachedValue, CacheKey, ChannelKey
    from langgraph.checkpoint.lmdb.engine.chunks import (
        NewChunk,
        StoredResult,
        StoredValue,
        ThreadVersion,
    )
    from langgraph.checkpoint.lmdb.engine.dedup_cache import DedupCache
    from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
    from langgraph.checkpoint.lmdb.format.ranges import ChunkRange

MAX_INLINE = 512
"""Bytes of a payload up to which it stands in the record of what it is new in."""
MAX_INHERITED_INLINE = 64
"""Bytes of a payload up to which it stands in the records of later checkpoints, too. A longer one
becomes a chunk there: values that change with each step cost one record, others are stored once."""

MIN_CHUNKED = 1024
"""Bytes of a payload up to which it is one chunk, which is compared with no other."""
MAX_RECORD_PART = 16384
"""Bytes of a checkpoint's metadata up to which they stand in its record; likewise for the rest of
it but channels."""


class ValueCodec:
    """Encodes and decodes channel values with a serialiser.

    Args:
        serde: Any serialiser. With exactly JsonPlusSerializer, messages are handled one by one.
        level: zstd's level, or None.
        cache_size: Bytes that may be used to remember values seen before, about; 0 for none.
        hints: Which parts the store is expected to have.
    """

    def __init__(
        self, serde: SerializerProtocol, level: int | None, cache_size: int, dedup_cache: DedupCache
    ) -> None:
        self._dedup_cache = dedup_cache
        self._serde = serde
        self._contents = Contents(serde)
        self._read_back = ReadBack(serde)
        self._level = level
        self._cache = ValueCache(cache_size)
        self._by_message = type(serde) is JsonPlusSerializer and not getattr(
            serde, "_custom_unpack_ext_hook", False
        )
        self._snapshot_format = (
            delta_snapshot.DeltaSnapshotFormat.of(serde) if self._by_message else None
        )

    def with_serde(self, serde: SerializerProtocol) -> ValueCodec:
        """The same for another serialiser. It remembers nothing of what this one decoded, as that
        may depend on which types a serialiser allows."""
        return ValueCodec(serde, self._level, self._cache.limit, self._dedup_cache)

    def encode(self, key: ChannelKey, value: Any, base: ParentValue | None) -> Encoded:
        """Encode the value of a channel, as changes to its base where there is one.

        Raises:
            SerializationError: The serialiser does not know it, or a part of it.
        """
        if self._by_message:
            encoded = self._encode_messages(key, value, base)
            if encoded is not None:
                return encoded
        return self._encode_content(key, self._contents.of(value), base)

    def _encode_content(
        self, key: ChannelKey, content: Content, base: ParentValue | None
    ) -> Encoded:
        again = partial(self._encode_content, key, content)
        stored = None if base is None else base.stored
        if isinstance(stored, InlineValue) and self._contents.is_in(content, stored):
            return self.inherit(stored, base, again)
        cached = self._cached_bytes(key, base, content)
        if cached is not None and cached.stored == stored and self._contents.is_of(content, cached):
            return Encoded(cached.stored, lambda *_: cached, again)
        value, mark = self._contents.seal(content), self._contents.mark(content)
        tag, encoding, payload = value
        if len(payload) <= MAX_INLINE:
            return Encoded(value, None, again)
        make_chunk = self._chunk_maker(key, base)
        if len(payload) <= MIN_CHUNKED:
            return Encoded(*_in_one_part(tag, encoding, make_chunk(payload), mark), again)
        head, body = chunking.split_header(tag, payload)
        if cached is None:
            cut = bytes_diff.chunk_bytes(head, body, make_chunk)
        else:
            cut = bytes_diff.diff_chunks(cached, head, body, make_chunk)
        new = NewValue(tag, encoding, head, len(payload), cut.items, _chunked(base))
        hinted = self._hinted(cached)

        def remembered(
            thread_version: ThreadVersion, stored: ChunkedValue, chunk_ranges: list[ChunkRange]
        ) -> CachedValue:
            return CachedBytes(thread_version, stored, chunk_ranges, body, cut.ends, mark, hinted)

        return Encoded(new, remembered, again)

    def encode_record_part(self, value: dict[str, Any]) -> NewValue | InlineValue:
        """Encode a map that is not a channel's: it stands in the record unless it is large.

        Raises:
            SerializationError: The serializer does not know it, or reads it back as something else.
        """
        tag, payload = serializer.dumps(self._serde, value)
        if not self._read_back.is_map(value, tag, payload):
            raise SerializationError("a map has been serialized to what is not read back as a map")
        if len(payload) <= MAX_RECORD_PART:
            return InlineValue(tag, PLAIN, payload)
        head, body = chunking.split_header(tag, payload)
        cut = bytes_diff.chunk_bytes(head, body, PartMaker(self._dedup_cache, self._level, None))
        return NewValue(tag, PLAIN, head, len(payload), cut.items)

    def _encode_messages(
        self, key: ChannelKey, value: Any, base: ParentValue | None
    ) -> Encoded | None:
        wrapper = self._snapshot_format
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
        source = message_list.of_values([value] if single else value, self._dumps_array)
        return self._encode_source(key, source, single, wrapped, base)

    def _encode_source(
        self, key: ChannelKey, source: Source, single: bool, wrapped: bool, base: ParentValue | None
    ) -> Encoded | None:
        """Encode one message, a list of messages, or a wrapped list; None if that fails."""
        cached = self._cached_messages(key, base, wrapped=wrapped)
        found = message_list.encode(source, cached, self._chunk_maker(key, base))
        if found is None:
            return None
        head = b"" if single else chunking.array_header(len(found.elements))
        if self._snapshot_format is not None and wrapped:
            if len(head) + found.length >= delta_snapshot.LIMIT:
                return None
            head = self._snapshot_format.head(len(head) + found.length) + head
        new = NewValue(
            "msgpack", MESSAGES, head, len(head) + found.length, found.items, _chunked(base)
        )

        def again(base: ParentValue | None) -> Encoded:
            source = message_list.of_elements(found.elements, self._dumps_array)
            encoded = self._encode_source(key, source, single, wrapped, base)
            assert encoded is not None, "it was possible before"
            return encoded

        if cached is not None and cached.stored == new.base and cached.holds(new):
            same = CachedMessages(
                cached.thread_version,
                cached.stored,
                cached.ranges,
                found.elements,
                found.list_fingerprint,
                cached.hinted,
            )
            return Encoded(same.stored, lambda *_: same, again)
        hinted = self._hinted(cached)

        def remembered(
            thread_version: ThreadVersion, stored: ChunkedValue, chunk_ranges: list[ChunkRange]
        ) -> CachedValue:
            return CachedMessages(
                thread_version, stored, chunk_ranges, found.elements, found.list_fingerprint, hinted
            )

        return Encoded(new, remembered, again)

    def inherit(
        self,
        stored: StoredValue,
        base: ParentValue | None,
        again: Callable[[ParentValue | None], Encoded] | None = None,
    ) -> Encoded:
        """Take a value over from a checkpoint before."""
        again = again or partial(self.inherit, stored)
        if isinstance(stored, ChunkedValue) or len(stored.payload) <= MAX_INHERITED_INLINE:
            return Encoded(stored, None, again)
        thread_version = None if base is None else base.thread_version
        part = PartMaker(self._dedup_cache, self._level, thread_version)(stored.payload)
        return Encoded(*_in_one_part(stored.tag, stored.encoding, part, None), again)

    def remember(
        self, key: ChannelKey, made: Encoded, thread_version: ThreadVersion, kept: StoredResult
    ) -> None:
        """Keep in mind a value that is its channel's now."""
        if made.cached is not None and isinstance(kept.value, ChunkedValue):
            self._cache.put(key, made.cached(thread_version, kept.value, kept.ranges))

    def _dumps_array(self, values: list[Any]) -> bytes | None:
        try:
            tag, payload = self._serde.dumps_typed(values)
        except Exception:  # noqa: BLE001 - the plain path meets it again, and says where
            return None
        return payload if tag == "msgpack" else None

    def _loads_array(self, encoded: bytes) -> list[Any]:
        values: list[Any] = serializer.loads(self._serde, "msgpack", encoded, may_be_none=False)
        return values

    def _chunk_maker(self, key: ChannelKey, base: ParentValue | None) -> PartMaker:
        if base is None:
            return PartMaker(self._dedup_cache, self._level, None)
        thread_version, channels = base.thread_version, base.siblings

        def remembered() -> Iterator[CachedValue]:
            for channel in channels:
                cached = self._cache.get(key._replace(channel=channel), thread_version)
                if cached is not None:
                    yield cached

        return PartMaker(self._dedup_cache, self._level, thread_version, remembered)

    def _hinted(self, cached: CachedValue | None) -> int | None:
        """What a layout says of hints that is made from another one, or of new parts alone."""
        return self._dedup_cache.losses if cached is None else cached.hinted

    def _cached_bytes(
        self, key: ChannelKey, base: ParentValue | None, content: Content
    ) -> CachedBytes | None:
        """The base as bytes, if these can be of any use."""
        if base is None:
            return None
        cached = self._cache.get(key, base.thread_version)
        known = cached if isinstance(cached, CachedBytes) else None
        stored = _chunked(base)
        if stored is None or (known is not None and known.stored == stored):
            return known  # any earlier value of the channel will do: its chunks are still there
        if content.size <= MIN_CHUNKED and not self._contents.can_be(
            content, stored.tag, stored.size
        ):
            return None
        with base.snapshot() as snapshot:
            return _read_plain(stored, base.thread_version, snapshot)

    def _cached_messages(
        self, key: ChannelKey, base: ParentValue | None, *, wrapped: bool
    ) -> CachedMessages | None:
        if base is None:
            return None
        stored = _chunked(base)
        cached = self._cache.get(key, base.thread_version)
        if stored is None and wrapped and isinstance(cached, CachedMessages):
            return cached  # the snapshot before: what came between has no value of the channel
        if stored is None or stored.encoding != MESSAGES:
            return None
        if isinstance(cached, CachedMessages) and cached.stored == stored:
            return cached
        with base.snapshot() as snapshot:
            return _read_messages(stored, base.thread_version, snapshot, cached)

    def fetch(
        self, key: CacheKey, stored: StoredValue, thread_version: ThreadVersion, snapshot: Snapshot
    ) -> Callable[[], Any]:
        """Read a value from the store; what is returned makes the Python value, at any later time.

        Raises:
            DamagedError: The value is not what was stored.
        """
        if isinstance(stored, InlineValue):
            return partial(self._loads, stored, stored.payload)
        cached = self._cache.get(key, thread_version)
        known = cached is not None and cached.stored == stored
        finish = self._of_messages(stored)
        if finish is not None:
            if not known or not isinstance(cached, CachedMessages):
                old = cached
                cached = _read_messages(stored, thread_version, snapshot, old)
                if not _is_head(cached, old):
                    self._cache.put(key, cached)
            elements = cached.elements
            return lambda: finish(message_list.build(elements, self._loads_array))
        if not known or not isinstance(cached, CachedBytes):
            cached = _read_plain(stored, thread_version, snapshot)
            if stored.encoding == PLAIN and stored.size > MIN_CHUNKED:
                self._cache.put(key, cached)
        body = cached.body
        return lambda: self._loads(stored, stored.head + body)

    def _loads(self, stored: StoredValue, payload: bytes) -> Any:
        return serializer.loads(
            self._serde, stored.tag, payload, may_be_none=stored.encoding == NONE
        )

    def _of_messages(self, stored: ChunkedValue) -> Callable[[list[Any]], Any] | None:
        """What makes a value of its messages; None if it is not rebuilt from messages."""
        if stored.encoding != MESSAGES or not self._by_message:
            return None
        if not stored.head:
            return _only
        if delta_snapshot.inner_head(stored.head) == stored.head:
            return _unchanged
        wrapper = self._snapshot_format
        return wrapper.kind if wrapper and wrapper.is_around(stored.head, stored.size) else None

    def fetch_write(
        self, stored: StoredValue, thread_version: ThreadVersion, snapshot: Snapshot
    ) -> Callable[[], Any]:
        """The same for what a channel is rebuilt from: a write, which never changes."""
        return self.fetch(WriteKey(thread_version, stored), stored, thread_version, snapshot)

    def fetch_once(self, stored: StoredValue, snapshot: Snapshot) -> Callable[[], Any]:
        """The same for what is not to be remembered."""
        return partial(self._loads, stored, snapshot.payload(stored))

    def load(self, stored: StoredValue, snapshot: Snapshot) -> Any:
        """A stored value of no channel."""
        return self.fetch_once(stored, snapshot)()

    def load_map(self, stored: StoredValue, snapshot: Snapshot, part: str) -> Any:
        """A stored value of no channel that has to be a map.

        Args:
            part: The part of the checkpoint that it is, for errors.

        Raises:
            DamagedError: It is something else.
            DeserializationError: The serializer cannot read it.
        """
        try:
            value = self.load(stored, snapshot)
            if not isinstance(value, dict):
                raise DamagedError(f"there is {type(value).__name__} where a map was stored")
        except LmdbSaverError as error:
            raise serializer.add_location(error, channel=part)  # noqa: B904
        return value

    def decode_cost(
        self, key: ChannelKey, stored: StoredValue, thread_version: ThreadVersion
    ) -> int:
        """Bytes that have to be decoded to rebuild a value; messages with images count for less."""
        cached = self._cache.get(key, thread_version) if isinstance(stored, ChunkedValue) else None
        if isinstance(cached, CachedMessages) and cached.stored == stored:
            return stored.size // TEMPLATE_SPEEDUP
        return stored.size


def _in_one_part(
    tag: str, encoding: int, part: NewChunk, mark: bytes | None
) -> tuple[NewValue, MakeCached]:
    def remembered(
        thread_version: ThreadVersion, stored: ChunkedValue, chunk_ranges: list[ChunkRange]
    ) -> CachedValue:
        return CachedBytes(thread_version, stored, chunk_ranges, part.raw, [len(part.raw)], mark)

    return NewValue(tag, encoding, b"", len(part.raw), [part]), remembered


def _unchanged(values: list[Any]) -> list[Any]:
    return values


def _only(values: list[Any]) -> Any:
    """The one message that there is."""
    return serializer.sound(values[0], may_be_none=False)


TEMPLATE_SPEEDUP = 6  # a rough weight: rebuilding a message from its image against decoding it


def _read_plain(
    stored: ChunkedValue, thread_version: ThreadVersion, snapshot: Snapshot
) -> CachedBytes:
    chunk_ranges = snapshot.ranges(stored)
    parts = snapshot.chunks(chunk_ranges, stored.size)
    body = b"".join(parts)
    snapshot.check_size(stored, body)
    return CachedBytes(thread_version, stored, chunk_ranges, body, ends_of(parts))


def _read_messages(
    stored: ChunkedValue,
    thread_version: ThreadVersion,
    snapshot: Snapshot,
    cached: CachedValue | None,
) -> CachedMessages:
    old = cached if isinstance(cached, CachedMessages) else None
    return message_list.read(
        thread_version,
        stored,
        snapshot.ranges(stored),
        old,
        lambda ranges: snapshot.chunks(ranges, stored.size),
    )


def _is_head(cached: CachedMessages, other: CachedValue | None) -> bool:
    """Whether a list is the beginning of another one, as when history is walked backwards."""
    count = len(cached.elements)
    return (
        isinstance(other, CachedMessages)
        and 0 < count < len(other.elements)
        and other.elements[count - 1] is cached.elements[-1]
    )


def _chunked(base: ParentValue | None) -> ChunkedValue | None:
    return base.stored if base is not None and isinstance(base.stored, ChunkedValue) else None
