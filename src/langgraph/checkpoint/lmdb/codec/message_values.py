"""Values made of messages: one message, a list, or a list in the snapshot of a `DeltaChannel`.

LangGraph puts a wrapper around such a snapshot. The serializer encodes the wrapper as an extension
type of msgpack, whose content is the encoded value. So the list in it has only a longer head.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from langgraph.checkpoint.serde import types

from langgraph.checkpoint.lmdb.codec import chunking
from langgraph.checkpoint.lmdb.codec.messages import MESSAGE_TYPES
from langgraph.checkpoint.lmdb.codec.serializer import MESSAGES, check_none
from langgraph.checkpoint.lmdb.engine.chunks import ChunkedValue
from langgraph.checkpoint.lmdb.errors import SerializationError

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

MAX_CONTENT: Final = (1 << 32) - 1
"""Bytes of the largest content of an extension type."""
_FIXED: Final = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
"""First byte of an extension type by the bytes of its content."""
_SIZED: Final = (
    (1 << 8, 0xC7, Struct(">BBB")),
    (1 << 16, 0xC8, Struct(">BHB")),
    (1 << 32, 0xC9, Struct(">BIB")),
)
"""Limit of the bytes of content, first byte and head of each other extension type."""


class Form(Enum):
    """A form of value made of messages."""

    MESSAGE = 1
    LIST = 2
    SNAPSHOT = 3


class MessageValues:
    """The encodings of values made of messages.

    Args:
        serde: The serializer; a plain JsonPlusSerializer.
    """

    def __init__(self, serde: SerializerProtocol) -> None:
        self.snapshot_format = SnapshotFormat.of(serde)

    def messages_of(self, value: Any) -> tuple[Form, list[Any]] | None:
        """Return the form and the messages of a value; None if it has others or no elements."""
        cls = type(value)
        if cls in MESSAGE_TYPES:
            return Form.MESSAGE, [value]
        form = Form.LIST
        if self.snapshot_format is not None and cls is self.snapshot_format.wrapper:
            form, value = Form.SNAPSHOT, value.value
        if type(value) is list and value and MESSAGE_TYPES.issuperset(map(type, value)):
            return form, value
        return None

    def head(self, form: Form, count: int, length: int) -> bytes:
        """Return the head of `count` messages with `length` bytes.

        Raises:
            SerializationError: They are too long for the form.
        """
        if form is Form.MESSAGE:
            return b""
        header = chunking.array_header(count)
        if form is Form.LIST:
            return header
        assert self.snapshot_format is not None
        if len(header) + length > MAX_CONTENT:
            raise SerializationError(f"a snapshot of {length} bytes is too large")
        return self.snapshot_format.head(len(header) + length) + header

    def wrapper_of(self, stored: ChunkedValue) -> Callable[[list[Any]], Any] | None:
        """Return the function from messages to their value; None if the value has another form."""
        if stored.encoding != MESSAGES:
            return None
        if not stored.head:
            return _only_message
        if inner_head(stored.head) == stored.head:
            return _unchanged
        found = self.snapshot_format
        return found.wrapper if found and found.is_around(stored.head, stored.size) else None


def _only_message(values: list[Any]) -> Any:
    return check_none(values[0], MESSAGES)


def _unchanged(values: list[Any]) -> list[Any]:
    return values


class SnapshotFormat:
    """The encoding of the wrapper around a snapshot.

    Args:
        wrapper: Class of the wrapper, a named tuple of one field, `value`.
        code: Its extension type.
    """

    def __init__(self, wrapper: type, code: int) -> None:
        self.wrapper = wrapper
        self.code = code

    @classmethod
    def of(cls, serde: SerializerProtocol) -> SnapshotFormat | None:
        """Return the format of the installed LangGraph, or None if it has no known wrapper."""
        wrapper = getattr(types, "_DeltaSnapshot", None)
        if not isinstance(wrapper, type) or getattr(wrapper, "_fields", None) != ("value",):
            return None
        tag, empty = serde.dumps_typed(wrapper([]))
        found = cls(wrapper, empty[1]) if tag == "msgpack" and len(empty) == 3 else None
        return found if found and empty == found.head(1) + chunking.array_header(0) else None

    def head(self, size: int) -> bytes:
        """Return the head of a wrapper around at most `MAX_CONTENT` bytes."""
        if size in _FIXED:
            return bytes((_FIXED[size], self.code))
        for limit, first, head in _SIZED:
            if size < limit:
                return head.pack(first, size, self.code)
        raise ValueError(f"size must be at most {MAX_CONTENT}, got {size}")

    def is_around(self, head: bytes, size: int) -> bool:
        """Return True if `size` bytes that begin with `head` are a wrapper that is not empty."""
        own = len(head) - len(inner_head(head))
        return 0 < own < size <= MAX_CONTENT + own and head[:own] == self.head(size - own)


def inner_head(head: bytes) -> bytes:
    """Return the head of the value in a wrapper; the same head if it is not a wrapper's."""
    first = head[0] if head else 0
    if first in _FIXED.values():
        return head[2:]
    for _, known, own in _SIZED:
        if first == known:
            return head[own.size :]
    return head
