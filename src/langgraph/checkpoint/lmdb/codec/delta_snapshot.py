"""The wrapper that LangGraph puts around a snapshot of a `DeltaChannel`.

The serialiser makes an extension type of msgpack of it, whose content is the encoded value. So a
list of messages in it is handled like any other, with a longer head.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from langgraph.checkpoint.serde import types

from langgraph.checkpoint.lmdb.codec import chunking

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

_FIXED: Final = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
_SIZED: Final = (
    (1 << 8, 0xC7, Struct(">BBB")),
    (1 << 16, 0xC8, Struct(">BHB")),
    (1 << 32, 0xC9, Struct(">BIB")),
)
LIMIT: Final = 1 << 32
"""Bytes of content from which on there is no extension type for it."""


class DeltaSnapshotFormat:
    """How a serialiser encodes the wrapper.

    Args:
        kind: The wrapper's class, a named tuple of one field, `value`.
        code: Its extension type.
    """

    def __init__(self, kind: type, code: int) -> None:
        self.kind = kind
        self.code = code

    @classmethod
    def of(cls, serde: SerializerProtocol) -> DeltaSnapshotFormat | None:
        """The wrapper of this release of LangGraph; None if it has none that is known."""
        kind = getattr(types, "_DeltaSnapshot", None)
        if not isinstance(kind, type) or getattr(kind, "_fields", None) != ("value",):
            return None
        tag, empty = serde.dumps_typed(kind([]))
        found = cls(kind, empty[1]) if tag == "msgpack" and len(empty) == 3 else None
        return found if found and empty == found.head(1) + chunking.array_header(0) else None

    def head(self, size: int) -> bytes:
        """What stands before `size` bytes of encoded value, which are less than `LIMIT`."""
        if size in _FIXED:
            return bytes((_FIXED[size], self.code))
        for limit, first, form in _SIZED:
            if size < limit:
                return form.pack(first, size, self.code)
        raise ValueError(f"{size} bytes are too many for an extension type")

    def is_around(self, head: bytes, size: int) -> bool:
        """Whether `size` bytes that begin with `head` are the wrapper with something in it."""
        own = len(head) - len(inner_head(head))
        return 0 < own < size < LIMIT + own and head[:own] == self.head(size - own)


def inner_head(head: bytes) -> bytes:
    """The head of what is in a wrapper, or the whole head of what is in none."""
    first = head[0] if head else 0
    if first in _FIXED.values():
        return head[2:]
    for _, known, form in _SIZED:
        if first == known:
            return head[form.size :]
    return head
