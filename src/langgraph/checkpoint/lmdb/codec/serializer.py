"""Serializers: errors name the value that failed, and encryption is a separate step.

LangGraph's `EncryptedSerializer` returns other bytes for the same value each time, so values are
compared before they are encrypted.

Several values that are not None are read back as None: a pydantic root model of None, or an enum
member with the value None if its class is not allowed. The encoding of the value records that. If
a value with another encoding is read as None, an error is raised, since the value would be lost
silently. Only the value itself is checked: inside a container JsonPlusSerializer returns None for
an object that it cannot read, as with any other saver.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.codec.messages import MESSAGE_TYPES
from langgraph.checkpoint.lmdb.codec.value_cache import CachedBytes
from langgraph.checkpoint.lmdb.engine.chunks import InlineValue, StoredValue, digest
from langgraph.checkpoint.lmdb.errors import (
    DeserializationError,
    LmdbSaverError,
    SerializationError,
)

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import CipherProtocol, SerializerProtocol

PLAIN, MESSAGES, NONE = 0, 1, 2
"""Encodings of values: any bytes; messages that each begin a chunk; or any bytes that the
serializer read back as None when the value was put."""

_NEVER_NONE: Final[frozenset[type]] = MESSAGE_TYPES | {
    *(str, int, float, bool, bytes, bytearray, list, tuple, dict)
}
"""Types whose objects JsonPlusSerializer never reads back as None: it encodes them unchanged, or
they are messages, which it always allows. A subclass may be encoded differently, so the types have
to be these exactly."""
_UNREADABLE: Final = object()
_MAX_DEPTH: Final = 50


class Serializer:
    """A serializer of values. The content of a value is its tag and payload before encryption.

    Args:
        serde: Any LangGraph serializer. If it encrypts, but is not exactly an
            `EncryptedSerializer`, its output is taken for content.
    """

    def __init__(self, serde: SerializerProtocol) -> None:
        self._cipher: CipherProtocol | None = None
        self._serde = self._inner = serde
        if _behaves_as(serde, EncryptedSerializer):
            self._inner, self._cipher = serde.serde, serde.cipher  # type: ignore[attr-defined]
        self._is_known = _is_json_plus(self._inner)
        self.keeps_messages = type(serde) is JsonPlusSerializer and self._is_known
        """True if the encoding of a message depends only on the message."""

    def dumps(self, value: Any) -> InlineValue:
        """Return the content of a value.

        Raises:
            SerializationError: The serde cannot serialize the value or one of its parts.
        """
        tag, payload = self._dumps(value)
        encoding = NONE if self._may_be_none(value, tag, payload) else PLAIN
        return InlineValue(tag, encoding, payload)

    def dumps_map(self, value: dict[str, Any]) -> InlineValue:
        """Return the content of a map.

        Raises:
            SerializationError: The serde cannot serialize the map, or does not read it back as one.
        """
        tag, payload = self._dumps(value)
        if not (self._is_known and type(value) is dict):
            found = self._read_back(tag, payload)
            if found is not _UNREADABLE and not isinstance(found, dict):
                raise SerializationError("the serializer does not read a map back as a map")
        return InlineValue(tag, PLAIN, payload)

    def dumps_array(self, values: list[Any]) -> bytes | None:
        """Return a list as one msgpack array; None if the serde raises or returns another form."""
        try:
            tag, payload = self._serde.dumps_typed(values)
        except Exception:  # noqa: BLE001 - `dumps` raises it again, with the location
            return None
        return payload if tag == "msgpack" else None

    def encrypt(self, content: InlineValue) -> InlineValue:
        """Return the value to store for a content.

        Raises:
            SerializationError: The cipher fails.
        """
        if self._cipher is None:
            return content
        try:
            name, encrypted = self._cipher.encrypt(content.payload)
        except Exception as error:
            raise SerializationError(
                f"a value cannot be encrypted: {type(error).__name__}: {error}"
            ) from error
        return InlineValue(f"{content.tag}+{name}", content.encoding, encrypted)

    def may_equal(self, content: InlineValue, tag: str, size: int) -> bool:
        """Return False if the tag or the size of a stored value exclude that it has a content."""
        return self._cipher is not None or (content.tag, content.size) == (tag, size)

    def equals(self, content: InlineValue, stored: InlineValue) -> bool:
        """Return True if a stored value has a content."""
        return self._decrypt(stored) == content

    def equals_cached(self, content: InlineValue, cached: CachedBytes) -> bool:
        """Return True if a cached value has a content."""
        stored = cached.stored
        if stored.encoding != content.encoding:
            return False
        if self._cipher is None:
            return cached.holds(content)
        if cached.content_digest is None:
            encrypted = InlineValue(stored.tag, stored.encoding, stored.head + cached.body)
            cached.content_digest = self.content_digest(self._decrypt(encrypted))
        return cached.content_digest == self.content_digest(content)

    def content_digest(self, content: InlineValue | None) -> bytes | None:
        """Return the digest to compare contents by, empty without a content; None if the stored
        bytes can be compared."""
        if self._cipher is None:
            return None
        if content is None:
            return b""
        return digest(content.tag.encode() + b"\x00" + content.payload)

    def loads(self, stored: StoredValue, payload: bytes) -> Any:
        """Return the value of a stored payload.

        Raises:
            DeserializationError: The serde fails, or returns None for a value that was not None.
        """
        return check_none(self._loads(stored.tag, payload), stored.encoding)

    def loads_array(self, encoded: bytes) -> list[Any]:
        """Return the values of a msgpack array.

        Raises:
            DeserializationError: The serde fails.
        """
        values: list[Any] = check_none(self._loads("msgpack", encoded), PLAIN)
        return values

    def _dumps(self, value: Any) -> tuple[str, bytes]:
        try:
            tag, payload = self._inner.dumps_typed(value)
        except LmdbSaverError:
            raise
        except Exception as error:
            inside = _find_unserializable(self._inner, value, "", _MAX_DEPTH)
            raise SerializationError(
                f"a value cannot be serialized: {type(error).__name__}: {error}",
                inside=inside or None,
            ) from error
        if not isinstance(tag, str) or not isinstance(payload, (bytes, bytearray, memoryview)):
            raise SerializationError(
                "a serializer must return a str and bytes, "
                f"got {type(tag).__name__} and {type(payload).__name__}",
                advice="Correct dumps_typed of the serde.",
            )
        return validation.plain(tag), bytes(payload)

    def _may_be_none(self, value: Any, tag: str, payload: bytes) -> bool:
        """Return True if the value may be read as None.

        To find out, the value is decoded, except values of the types that JsonPlusSerializer never
        reads back as None.
        """
        if value is None:
            return True
        if self._is_known and (type(value) in _NEVER_NONE or _is_send(type(value))):
            return False
        return self._read_back(tag, payload) is None

    def _read_back(self, tag: str, payload: bytes) -> Any:
        try:
            return self._inner.loads_typed((tag, payload))
        except Exception:  # noqa: BLE001 - the serde may lack the key to read what it writes
            return _UNREADABLE

    def _decrypt(self, stored: InlineValue) -> InlineValue | None:
        """Return the content of a stored value; None if the cipher cannot decrypt it."""
        if self._cipher is None:
            return stored
        tag, _, name = stored.tag.partition("+")
        with suppress(Exception):  # a cipher may raise any exception for another key
            if name:
                payload = self._cipher.decrypt(name, stored.payload)
                return InlineValue(tag, stored.encoding, payload)
        return None

    def _loads(self, tag: str, payload: bytes) -> Any:
        try:
            return self._serde.loads_typed((tag, payload))
        except LmdbSaverError:
            raise
        except Exception as error:
            raise DeserializationError(
                f"a stored value cannot be deserialized: {type(error).__name__}: {error}"
            ) from error


def check_none(value: Any, encoding: int) -> Any:
    """Return a value that was read.

    Raises:
        DeserializationError: The encoding does not allow None.
    """
    if value is None and encoding != NONE:
        raise DeserializationError("the serializer returned None for a value that is not None")
    return value


def _is_json_plus(serde: object) -> bool:
    return _behaves_as(serde, JsonPlusSerializer) and not getattr(
        serde, "_custom_unpack_ext_hook", False
    )


def _behaves_as(serde: object, cls: type) -> bool:
    """Return True if an object has the methods of a serializer class, not overridden."""
    return isinstance(serde, cls) and all(
        getattr(getattr(serde, name), "__func__", None) is getattr(cls, name)
        for name in ("dumps_typed", "loads_typed")
    )


def _is_send(cls: type) -> bool:
    """Return True for LangGraph's `Send`, which is always allowed. LangGraph may be missing."""
    return cls.__name__ == "Send" and cls.__module__ == "langgraph.types"


def _find_unserializable(serde: SerializerProtocol, value: Any, path: str, depth: int) -> str:
    """Return the path to the innermost part of a value that cannot be serialized alone."""
    for step, part in _parts(value) if depth else ():
        try:
            serde.dumps_typed(part)
        except Exception:  # noqa: BLE001 - any exception shows that it is this part
            return _find_unserializable(serde, part, path + step, depth - 1)
    return path


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"[{validation.shown(key)}]", part) for key, part in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif hasattr(value, "__dict__"):
        yield from ((f".{name}", part) for name, part in vars(value).items())
