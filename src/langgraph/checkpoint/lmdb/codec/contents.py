"""What a serializer makes of a value, apart from what its encryption makes of that.

LangGraph's `EncryptedSerializer` gives other bytes for the same value each time, so values are
compared as they are before they are encrypted.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from langgraph.checkpoint.lmdb.codec import serializer
from langgraph.checkpoint.lmdb.codec.nones import ReadBack
from langgraph.checkpoint.lmdb.engine.chunks import InlineValue, digest

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import CipherProtocol, SerializerProtocol

    from langgraph.checkpoint.lmdb.codec.value_cache import CachedBytes

PLAIN, MESSAGES, NONE = 0, 1, 2
"""Encodings of values: any bytes; messages that each begin a chunk; or any bytes that the
serializer read back as None when the value was put."""

Content: TypeAlias = InlineValue
"""Tag, payload and encoding of a value that is not encrypted."""


class Contents:
    """Serializes values in two steps: their content first, and then its encryption if any.

    Args:
        serde: Any serializer. One that encrypts in a way of its own is taken as one that does not.
    """

    def __init__(self, serde: SerializerProtocol) -> None:
        self._serde = serde
        self._cipher: CipherProtocol | None = None
        if isinstance(serde, EncryptedSerializer) and (
            type(serde).dumps_typed is EncryptedSerializer.dumps_typed
            and type(serde).loads_typed is EncryptedSerializer.loads_typed
        ):
            self._serde, self._cipher = serde.serde, serde.cipher
        self._read_back = ReadBack(self._serde)

    def of(self, value: Any) -> Content:
        """Return the content of a value.

        Raises:
            SerializationError: The serializer does not know it, or a part of it.
        """
        tag, payload = serializer.dumps(self._serde, value)
        encoding = NONE if self._read_back.is_none(value, tag, payload) else PLAIN
        return InlineValue(tag, encoding, payload)

    def seal(self, content: Content) -> InlineValue:
        """Return tag and payload as they are stored."""
        if self._cipher is None:
            return content
        name, encrypted = self._cipher.encrypt(content.payload)
        return InlineValue(f"{content.tag}+{name}", content.encoding, encrypted)

    def can_be(self, content: Content, tag: str, size: int) -> bool:
        """Return whether a stored value may have this content, by its tag and size alone."""
        return self._cipher is not None or ((content.tag, content.size) == (tag, size))

    def is_in(self, content: Content, stored: InlineValue) -> bool:
        """Return whether a stored value has this content."""
        return self._open(stored) == content

    def is_of(self, content: Content, cached: CachedBytes) -> bool:
        """Return whether the value of a layout has this content."""
        stored = cached.stored
        if stored.encoding != content.encoding:
            return False
        if self._cipher is None:
            return cached.holds(content)
        if cached.mark is None:
            sealed = InlineValue(stored.tag, stored.encoding, stored.head + cached.body)
            cached.mark = self.mark(self._open(sealed))
        return cached.mark == self.mark(content)

    def mark(self, content: Content | None) -> bytes | None:
        """Return what tells contents apart where stored bytes do not; empty for none."""
        if self._cipher is None:
            return None
        if content is None:
            return b""
        return digest(content.tag.encode() + b"\x00" + content.payload)

    def _open(self, stored: InlineValue) -> Content | None:
        """Return the content of a stored value; None if it is not encrypted as it should be."""
        if self._cipher is None:
            return stored
        tag, _, name = stored.tag.partition("+")
        with suppress(Exception):  # a cipher may raise anything for what another key encrypted
            if name:
                payload = self._cipher.decrypt(name, stored.payload)
                return InlineValue(tag, stored.encoding, payload)
        return None
