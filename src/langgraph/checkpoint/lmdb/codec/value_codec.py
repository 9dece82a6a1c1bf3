"""Channel values to the engine's values and back: only what changed is encoded and stored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from langgraph.checkpoint.lmdb.codec import bytes_diff, message_list
from langgraph.checkpoint.lmdb.codec.chunk_maker import ChunkMaker
from langgraph.checkpoint.lmdb.codec.message_values import Form, MessageValues
from langgraph.checkpoint.lmdb.codec.serializer import MESSAGES, PLAIN, Serializer
from langgraph.checkpoint.lmdb.codec.value_cache import (
    CachedBytes,
    CachedMessages,
    CachedValue,
    CacheKey,
    ChannelKey,
    ValueCache,
    WriteKey,
)
from langgraph.checkpoint.lmdb.engine import chunks
from langgraph.checkpoint.lmdb.engine.chunks import (
    ChunkedValue,
    InlineValue,
    NewValue,
    StoredResult,
    StoredValue,
    ThreadVersion,
)
from langgraph.checkpoint.lmdb.engine.dedup_cache import DedupCache
from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
from langgraph.checkpoint.lmdb.errors import DamagedError, LmdbSaverError
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange
from langgraph.checkpoint.lmdb.kv.base import Reader

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

MAX_INLINE: Final = 512
"""Bytes of a payload that the record of its first checkpoint or write may hold."""
MAX_INHERITED_INLINE: Final = 64
"""Bytes of a payload that the records of later checkpoints may hold, too. A longer payload becomes
a chunk there: a value that changes with each step costs one record, others are stored once."""
MAX_SINGLE_CHUNK: Final = 1024
"""Bytes of the largest payload that is always one chunk: only the whole is compared with the
parent's value."""
MAX_RECORD_PART: Final = 16384
"""Bytes of the metadata, or of the body of a checkpoint, that its record may hold."""
_TEMPLATE_SPEEDUP: Final = 6
"""Time to decode a message, divided by the time to copy it from a template; about."""

Encode: TypeAlias = "Callable[[], Encoded]"
"""Function that encodes a serialized value, in any thread. It reads neither the value nor the
store."""
MakeCached: TypeAlias = "Callable[[ThreadVersion, ChunkedValue, list[ChunkRange]], CachedValue]"


@dataclass(slots=True)
class ParentValue:
    """The value of a channel in the parent checkpoint, which a new value is compared with."""

    thread_version: ThreadVersion | None
    """Version of the thread; None if the thread is new."""
    stored: StoredValue | None
    """The value; None if the channel has none."""
    view: Callable[[Callable[[Snapshot], Any]], Any]
    """Function that runs another one on a snapshot, to read the value if it is not cached."""
    siblings: Collection[str] = ()
    """Channels of the parent, whose values may have the same content."""

    @property
    def chunked(self) -> ChunkedValue | None:
        """The value if it has chunks, or None."""
        return self.stored if isinstance(self.stored, ChunkedValue) else None


@dataclass(slots=True)
class Encoded:
    """An encoded value, ready to be stored."""

    to_store: NewValue | StoredValue
    """The value to store; the parent's stored value if it is the same."""
    make_cached: MakeCached | None
    """Function that returns the cache entry of the stored value; None if it is not cached."""
    encode_again: Callable[[ParentValue], Encode]
    """Function of another parent that returns the function which encodes the same content against
    it."""


class ValueCodec:
    """Encodes and decodes channel values.

    Args:
        serde: Any LangGraph serializer. With exactly JsonPlusSerializer, lists of messages are
            encoded message by message.
        level: Compression level, or None.
        cache_size: Bytes of the cache of values, about. 0: no cache.
        dedup_cache: Chunks that the store is expected to have.
    """

    def __init__(
        self, serde: SerializerProtocol, level: int | None, cache_size: int, dedup_cache: DedupCache
    ) -> None:
        self._serializer = Serializer(serde)
        self._level = level
        self._cache = ValueCache(cache_size)
        self._dedup_cache = dedup_cache
        self._message_values = MessageValues(serde) if self._serializer.keeps_messages else None

    def with_serde(self, serde: SerializerProtocol) -> ValueCodec:
        """Return a codec for another serializer. It has its own cache: the types that a serializer
        allows decide what a decoded value is."""
        return ValueCodec(serde, self._level, self._cache.limit, self._dedup_cache)

    def serialize(self, key: ChannelKey, value: Any, parent: ParentValue) -> Encode:
        """Serialize the value of a channel; return the function that encodes it, as changes to the
        parent's value if there is one.

        Raises:
            SerializationError: The serializer cannot serialize the value or one of its parts.
        """
        forms = self._message_values
        found = None if forms is None else forms.messages_of(value)
        if found is not None:
            form, values = found
            source = message_list.NewMessages(values)
            encode = self._serialize_messages(key, form, source, parent)
            if encode is not None:
                return encode
        return self.compare_content(key, self._serializer.dumps(value), parent)

    def inherit(self, stored: StoredValue, parent: ParentValue) -> Encode:
        """Return the function that encodes a value that an ancestor has."""
        return partial(self._inherit, stored, parent)

    def _inherit(self, stored: StoredValue, parent: ParentValue) -> Encoded:
        encode_again = partial(self.inherit, stored)
        if isinstance(stored, ChunkedValue) or len(stored.payload) <= MAX_INHERITED_INLINE:
            return Encoded(stored, None, encode_again)
        return self._encode_as_one_chunk(
            stored,
            ChunkMaker(self._dedup_cache, self._level, parent.thread_version),
            None,
            encode_again,
        )

    def remember(
        self, key: ChannelKey, encoded: Encoded, thread_version: ThreadVersion, result: StoredResult
    ) -> None:
        """Add a value that was stored to the cache."""
        if encoded.make_cached is not None and isinstance(result.value, ChunkedValue):
            cached = encoded.make_cached(thread_version, result.value, result.ranges)
            self._cache.put(key, cached)

    def encode_record_part(self, value: dict[str, Any]) -> NewValue | InlineValue:
        """Encode the metadata or the body of a checkpoint; the record holds it unless it is large.

        Raises:
            SerializationError: The serializer cannot serialize the map, or does not read it back
                as one.
        """
        inline = self._serializer.encrypt(self._serializer.dumps_map(value))
        if inline.size <= MAX_RECORD_PART:
            return inline
        make_chunk = ChunkMaker(self._dedup_cache, self._level, None)
        split = bytes_diff.split(inline, None, make_chunk)
        return NewValue(inline.tag, inline.encoding, split.head, inline.size, split.items)

    def compare_content(self, key: ChannelKey, content: InlineValue, parent: ParentValue) -> Encode:
        """Return the function that encodes a serialized value of a channel, as changes to the
        parent's value."""
        cached = None
        if not isinstance(parent.stored, InlineValue):
            cached = self._cached_bytes(key, parent, content)
        return partial(self._encode_content, key, content, parent, cached)

    def _encode_content(
        self,
        key: ChannelKey,
        content: InlineValue,
        parent: ParentValue,
        cached: CachedBytes | None,
    ) -> Encoded:
        serializer = self._serializer
        encode_again = partial(self.compare_content, key, content)
        stored = parent.stored
        if isinstance(stored, InlineValue) and serializer.equals(content, stored):
            return replace(self._inherit(stored, parent), encode_again=encode_again)
        if cached is not None and cached.stored == stored:
            same = cached
            if serializer.equals_cached(content, same):
                return Encoded(same.stored, lambda *_: same, encode_again)
        digest = serializer.content_digest(content)
        inline = serializer.encrypt(content)
        if inline.size <= MAX_INLINE:
            return Encoded(inline, None, encode_again)
        make_chunk = self._chunk_maker(key, parent)
        if inline.size <= MAX_SINGLE_CHUNK:
            return self._encode_as_one_chunk(inline, make_chunk, digest, encode_again)
        split = bytes_diff.split(inline, cached, make_chunk)
        new = NewValue(
            inline.tag, inline.encoding, split.head, inline.size, split.items, parent.chunked
        )
        make_cached = partial(
            CachedBytes,
            body=split.body,
            ends=split.ends,
            content_digest=digest,
            added_at=self._added_at(cached),
        )
        return Encoded(new, make_cached, encode_again)

    def _encode_as_one_chunk(
        self,
        inline: InlineValue,
        make_chunk: ChunkMaker,
        digest: bytes | None,
        encode_again: Callable[[ParentValue], Encode],
    ) -> Encoded:
        payload = inline.payload
        new = NewValue(inline.tag, inline.encoding, b"", inline.size, [make_chunk(payload)])
        make_cached = partial(CachedBytes, body=payload, ends=[len(payload)], content_digest=digest)
        return Encoded(new, make_cached, encode_again)

    def _serialize_messages(
        self,
        key: ChannelKey,
        form: Form,
        source: message_list.Source,
        parent: ParentValue,
    ) -> Encode | None:
        """Serialize a value made of messages; return None if that fails."""
        cached = self._cached_messages(key, form, parent)
        serialized = message_list.serialize(source, self._serializer, cached)
        if serialized is None:
            return None
        return partial(self._encode_messages, key, form, serialized, parent)

    def _encode_messages(
        self,
        key: ChannelKey,
        form: Form,
        serialized: message_list.SerializedList,
        parent: ParentValue,
    ) -> Encoded:
        assert self._message_values is not None
        cached = serialized.cached
        found = message_list.encode(serialized, self._chunk_maker(key, parent))
        elements, list_fingerprint = found.elements, found.list_fingerprint
        head = self._message_values.head(form, len(elements), found.length)
        size = len(head) + found.length
        new = NewValue("msgpack", MESSAGES, head, size, found.items, parent.chunked)

        def encode_again(parent: ParentValue) -> Encode:
            source = message_list.EncodedMessages(elements)
            encode = self._serialize_messages(key, form, source, parent)
            assert encode is not None, "it was possible before"
            return encode

        if cached is not None and cached.stored == new.base and cached.holds(new):
            same = replace(cached, elements=elements, list_fingerprint=list_fingerprint)
            return Encoded(same.stored, lambda *_: same, encode_again)
        make_cached = partial(
            CachedMessages,
            elements=elements,
            list_fingerprint=list_fingerprint,
            added_at=self._added_at(cached),
        )
        return Encoded(new, make_cached, encode_again)

    def _chunk_maker(self, key: ChannelKey, parent: ParentValue) -> ChunkMaker:
        siblings = self._cached_siblings(key, parent)
        return ChunkMaker(self._dedup_cache, self._level, parent.thread_version, siblings)

    def _cached_siblings(self, key: ChannelKey, parent: ParentValue) -> Iterator[CachedValue]:
        for channel in parent.siblings:
            cached = self._cache.get(key._replace(channel=channel), parent.thread_version)
            if cached is not None:
                yield cached

    def _added_at(self, cached: CachedValue | None) -> int | None:
        """Return `added_at` of a value with the chunks of a cached value and new ones."""
        return self._dedup_cache.losses if cached is None else cached.added_at

    def _cached_bytes(
        self, key: ChannelKey, parent: ParentValue, content: InlineValue
    ) -> CachedBytes | None:
        """Return an older value as bytes, if it may share chunks with a content."""
        cached = self._cache.get(key, parent.thread_version)
        known = cached if isinstance(cached, CachedBytes) else None
        stored = parent.chunked
        if stored is None or (known is not None and known.stored == stored):
            return known  # any older value is good: the store still has its chunks
        if content.size <= MAX_SINGLE_CHUNK and not self._serializer.may_equal(
            content, stored.tag, stored.size
        ):
            return None
        version = parent.thread_version
        assert version is not None
        read: CachedBytes = parent.view(lambda at: bytes_diff.read(stored, version, at.reader))
        return read

    def _cached_messages(
        self, key: ChannelKey, form: Form, parent: ParentValue
    ) -> CachedMessages | None:
        """Return an older list of messages that may share chunks with a new one."""
        stored = parent.chunked
        cached = self._cache.get(key, parent.thread_version)
        known = cached if isinstance(cached, CachedMessages) else None
        if stored is None and form is Form.SNAPSHOT:
            return known  # the last snapshot: the checkpoints since then have no value
        if stored is None or stored.encoding != MESSAGES:
            return None
        if known is not None and known.stored == stored:
            return known
        version = parent.thread_version
        assert version is not None
        read: CachedMessages = parent.view(
            lambda at: message_list.read(version, stored, at.reader, known)
        )
        return read

    def fetch(
        self, key: CacheKey, stored: StoredValue, thread_version: ThreadVersion, reader: Reader
    ) -> Callable[[], Any]:
        """Read a value from the store; return the function that decodes it, after the snapshot.

        Raises:
            DamagedError: The value is damaged.
        """
        loads = self._serializer.loads
        if isinstance(stored, InlineValue):
            return partial(loads, stored, stored.payload)
        cached = self._cache.get(key, thread_version)
        known = cached is not None and cached.stored == stored
        forms = self._message_values
        wrap = None if forms is None else forms.wrapper_of(stored)
        if wrap is not None:
            if not known or not isinstance(cached, CachedMessages):
                old = cached if isinstance(cached, CachedMessages) else None
                cached = message_list.read(thread_version, stored, reader, old)
                if not cached.is_beginning_of(old):
                    self._cache.put(key, cached)
            elements = cached.elements
            return lambda: wrap(message_list.build(elements, self._serializer))
        if not known or not isinstance(cached, CachedBytes):
            cached = bytes_diff.read(stored, thread_version, reader)
            if stored.encoding == PLAIN and stored.size > MAX_SINGLE_CHUNK:
                self._cache.put(key, cached)
        body = cached.body
        return lambda: loads(stored, stored.head + body)

    def fetch_write(
        self, stored: StoredValue, thread_version: ThreadVersion, reader: Reader
    ) -> Callable[[], Any]:
        """Read a pending write that a channel is rebuilt from. See `fetch`."""
        return self.fetch(WriteKey(thread_version, stored), stored, thread_version, reader)

    def fetch_once(self, stored: StoredValue, reader: Reader) -> Callable[[], Any]:
        """Read a value without caching it. See `fetch`."""
        return partial(self._serializer.loads, stored, chunks.payload(reader, stored))

    def load(self, stored: StoredValue, reader: Reader) -> Any:
        """Read and decode a value without caching it."""
        return self.fetch_once(stored, reader)()

    def load_map(self, stored: StoredValue, reader: Reader, part: str) -> Any:
        """Read and decode the metadata or the body of a checkpoint.

        Args:
            stored: The stored value.
            reader: The snapshot.
            part: Name of the part, for errors.

        Raises:
            DamagedError: The value is damaged or not a map.
            DeserializationError: The serializer cannot read the value.
        """
        try:
            value = self.load(stored, reader)
            if not isinstance(value, dict):
                raise DamagedError(f"the store has {type(value).__name__} in place of a map")
        except LmdbSaverError as error:
            error.add_location(channel=part)
            raise
        return value

    def decode_cost(
        self, key: ChannelKey, stored: StoredValue, thread_version: ThreadVersion
    ) -> int:
        """Return the bytes to decode for a value. Messages with templates count for less."""
        cached = self._cache.get(key, thread_version) if isinstance(stored, ChunkedValue) else None
        if isinstance(cached, CachedMessages) and cached.stored == stored:
            return stored.size // _TEMPLATE_SPEEDUP
        return stored.size
