"""Decoding of stored values: a part that was decoded a moment ago is not decoded again.

SqliteSaver stores the whole state with each checkpoint, PostgresSaver and InMemorySaver the whole
value of a channel with each version. Most messages in them are those of the checkpoint before.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Final, TypeAlias

from langgraph.checkpoint.serde.base import CipherProtocol, SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from msgpack import ExtType, packb

from langgraph.checkpoint.lmdb.migrate.models import Key
from langgraph.checkpoint.lmdb.migrate.refusals import located_reads

_Part: TypeAlias = "tuple[int, bytes]"
"""Type and content of an extension type of msgpack: an encoded object."""

_MAX_PART: Final = 64 << 10
"""Bytes of the largest object that is kept."""
_OVERHEAD: Final = 1 << 10
"""Bytes that a kept object takes besides its content, about."""


class Decoder:
    """Decodes values. Values may share objects, so they must not be changed.

    Objects are kept only with exactly LangGraph's serializers.

    Args:
        serde: The serializer of the values.
        limit: Bytes of objects that are kept, about.
    """

    def __init__(self, serde: SerializerProtocol, limit: int = 32 << 20) -> None:
        self._serde = serde
        self._cipher: CipherProtocol | None = None
        self._inner = serde
        if type(serde) is EncryptedSerializer:
            self._cipher, self._inner = serde.cipher, serde.serde
        self._is_known = type(self._inner) is JsonPlusSerializer
        self._limit = limit // 2
        self._mutex = threading.Lock()
        self._new: dict[_Part, Any] = {}
        self._old: dict[_Part, Any] = {}
        self._bytes = 0
        """Bytes of the objects in `_new`."""

    def load(self, key: Key, channel: str | None, tag: str, payload: bytes) -> Any:
        """Return a stored value.

        Raises:
            DeserializationError: It cannot be read, or has a type that is refused.
        """
        used: dict[_Part, Any] = {}
        with located_reads(key, channel):
            value = self._serde_with(used, tag).loads_typed((tag, payload))
        self._keep(used)  # after the block, which raises for a refused type
        return value

    def _serde_with(self, used: dict[_Part, Any], tag: str) -> SerializerProtocol:
        """Return a serializer that adds the objects it decodes to `used`."""
        if not self._is_known or tag.partition("+")[0] != "msgpack":
            return self._serde
        plain: Any = JsonPlusSerializer(__unpack_ext_hook__=partial(self._decode, used))
        return plain if self._cipher is None else EncryptedSerializer(self._cipher, plain)

    def _decode(self, used: dict[_Part, Any], code: int, content: bytes) -> Any:
        part = (code, content)
        for known in (used, self._new, self._old):
            if part in known:
                value = known[part]
                break
        else:
            value = self._inner.loads_typed(("msgpack", packb(ExtType(code, content))))
        if len(content) <= _MAX_PART:
            used[part] = value
        return value

    def _keep(self, used: dict[_Part, Any]) -> None:
        """Keep objects, and drop those that were not used for long."""
        with self._mutex:
            for part, value in used.items():
                if part not in self._new:
                    self._new[part] = value
                    self._bytes += len(part[1]) + _OVERHEAD
            if self._bytes > self._limit:
                self._old, self._new, self._bytes = self._new, {}, 0
