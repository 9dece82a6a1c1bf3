"""Telling, when a value is put, whether its serializer reads it back as None.

Several values that are not None are read back as None: a pydantic root model of None, or an
enumeration's member of the value None where its class is not allowed. That is recorded with the
value. A None that is read and was not recorded is an error, since the value would be lost silently.

Only the value itself is looked at. Inside of a container JsonPlusSerializer gives None in place of
an object that it makes nothing of, here as in any other saver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb.codec.messages import MESSAGE_TYPES

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

_NEVER: Final[frozenset[type]] = MESSAGE_TYPES | {
    *(str, int, float, bool, bytes, bytearray, list, tuple, dict)
}
"""Types whose objects JsonPlusSerializer never reads back as None: those that it encodes as they
are, and messages, which it always allows and whose content is never None. Subclasses may be encoded
as something else, so the types have to be these exactly."""


class ReadBack:
    """What a serializer makes of what it has encoded.

    Only values that may be None then are decoded: with JsonPlusSerializer, encrypted or not, few
    types; with other serializers every value.

    Args:
        serde: The serializer.
    """

    def __init__(self, serde: SerializerProtocol) -> None:
        self._serde = serde
        inner = serde.serde if _behaves_as(serde, EncryptedSerializer) else serde  # type: ignore[attr-defined]
        self._is_known = _behaves_as(inner, JsonPlusSerializer) and not getattr(
            inner, "_custom_unpack_ext_hook", False
        )

    def is_none(self, value: Any, tag: str, payload: bytes) -> bool:
        """Return whether None is right where the value is read.

        Args:
            value: The value.
            tag: The serializer's name for the encoding.
            payload: The value, encoded.
        """
        if value is None:
            return True
        if self._is_known and (type(value) in _NEVER or _is_send(type(value))):
            return False
        return self._read(tag, payload) is None

    def is_map(self, value: dict[str, Any], tag: str, payload: bytes) -> bool:
        """Return whether a map is read back as a map."""
        if self._is_known and type(value) is dict:
            return True
        found = self._read(tag, payload)
        return found is _UNKNOWN or isinstance(found, dict)

    def _read(self, tag: str, payload: bytes) -> Any:
        try:
            return self._serde.loads_typed((tag, payload))
        except Exception:  # noqa: BLE001 - the serializer may lack the key to read what it writes
            return _UNKNOWN


_UNKNOWN: Final = object()


def _is_send(kind: type) -> bool:
    """Whether a class is LangGraph's `Send`, which is always allowed; LangGraph need not be there
    for this package to work."""
    return kind.__name__ == "Send" and kind.__module__ == "langgraph.types"


def _behaves_as(serde: object, kind: type) -> bool:
    """Whether an object has the methods of a class, neither overridden nor replaced."""
    return isinstance(serde, kind) and all(
        getattr(getattr(serde, name), "__func__", None) is getattr(kind, name)
        for name in ("dumps_typed", "loads_typed")
    )
