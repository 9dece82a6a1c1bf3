"""Plain values: a serializer that reads every type without importing or running anything.

A store names the classes of its values. LangGraph's serializer imports them. `PlainSerializer`
returns a `Typed` value instead: the name of the type and its content. It writes again, unchanged,
what it has read.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from langgraph.checkpoint.lmdb.errors import SerializationError

TYPE: Final = "$type"
"""Key of the name of the type, in the JSON form of a typed value."""
VALUE: Final = "$value"
BYTES: Final = "$bytes"
"""Key of the bytes of a value, as base64."""

_ARRAY, _SNAPSHOT = 6, 7
"""Extension types of LangGraph's serializer. The types below them are objects of Python."""
_EXTENSION: Final = "extension "
_DEEPEST: Final = 200
"""Levels of nested values that are shown."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A value of a type that is named and not imported."""

    type: str
    """Module and name of the type."""
    content: Any
    """Fields of the object as a dict, or what its constructor takes."""
    code: int = field(compare=False, repr=False)
    """Extension type of msgpack."""
    payload: bytes = field(compare=False, repr=False)
    """Encoding of the object."""

    def get(self, name: str) -> Any:
        """Return a field of the object; None if it has no such field."""
        return self.content.get(name) if isinstance(self.content, dict) else None

    def __str__(self) -> str:
        return f"{self.type}({self.content})"


@dataclass(frozen=True, slots=True)
class TypedSend(Typed):
    """A `Send`, which the rules of run states read."""

    @property
    def node(self) -> str:
        return str(self.content[0])

    @property
    def arg(self) -> Any:
        return self.content[1]


@dataclass(frozen=True, slots=True)
class TypedInterrupt(Typed):
    """An `Interrupt`, which the rules of run states read."""

    @property
    def value(self) -> Any:
        return self.get("value")

    @property
    def id(self) -> Any:
        return self.get("id")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stored value of a `DeltaChannel`, from which later writes are counted."""

    value: Any


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value in a form that is not read: pickled, encrypted by a serializer, or damaged."""

    form: str
    payload: bytes


class PlainSerializer:
    """A serializer that reads values as plain data, and writes only plain data."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the encoding of plain data."""
        if obj is None:
            return "null", b""
        if isinstance(obj, Opaque):
            return obj.form, obj.payload
        if isinstance(obj, bytearray):
            return "bytearray", bytes(obj)
        if isinstance(obj, bytes):
            return "bytes", obj
        return "msgpack", _pack(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return a value as plain data and `Typed`, `Snapshot` and `Opaque` values."""
        form, payload = data
        try:
            if form == "null":
                return None
            if form == "bytes":
                return payload
            if form == "bytearray":
                return bytearray(payload)
            if form == "json":
                return json.loads(payload)
            if form == "msgpack":
                return _unpack(payload)
        except (ValueError, TypeError, RecursionError):
            pass
        return Opaque(form, payload)


def to_json(value: Any, depth: int = _DEEPEST) -> Any:
    """Return a value as data for JSON; every type has one form.

    A typed value is `{"$type": NAME, "$value": CONTENT}`, bytes are `{"$bytes": BASE64}`.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _typed("float", str(value))
    if isinstance(value, (bytes, bytearray)):
        return {BYTES: base64.b64encode(value).decode()}
    if depth == 0:
        return _typed("...", None)
    if isinstance(value, Typed):
        return _typed(value.type, to_json(value.content, depth - 1))
    if isinstance(value, Snapshot):
        return _typed("snapshot", to_json(value.value, depth - 1))
    if isinstance(value, Opaque):
        return _typed(value.form, to_json(value.payload))
    if isinstance(value, dict):
        return {_key(key): to_json(part, depth - 1) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(part, depth - 1) for part in value]
    return _typed(type(value).__name__, str(value))


def json_size(value: Any) -> int:
    """Return the bytes of a value as JSON."""
    return len(json.dumps(to_json(value), ensure_ascii=False).encode("utf-8", "replace"))


def _typed(name: str, content: Any) -> dict[str, Any]:
    return {TYPE: name, VALUE: content}


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(to_json(key))


def _pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, default=_to_extension, unicode_errors="surrogatepass")
    return packed


def _to_extension(value: Any) -> Any:
    if isinstance(value, Typed):
        return msgpack.ExtType(value.code, value.payload)
    if isinstance(value, Snapshot):
        return msgpack.ExtType(_SNAPSHOT, _pack(value.value))
    if isinstance(value, Opaque) and value.form.startswith(_EXTENSION):
        return msgpack.ExtType(int(value.form[len(_EXTENSION) :]), value.payload)
    raise SerializationError(f"a value of type {type(value).__name__} is not plain data")


def _unpack(payload: bytes) -> Any:
    return msgpack.unpackb(
        payload, ext_hook=_from_extension, strict_map_key=False, unicode_errors="surrogatepass"
    )


def _from_extension(code: int, payload: bytes) -> Any:
    try:
        content = _unpack(payload)
        if code == _SNAPSHOT:
            return Snapshot(content)
        if code == _ARRAY:
            kind, shape, _, data = content
            fields = {"dtype": kind, "shape": shape, "data": data}
            return Typed("numpy.ndarray", fields, code, payload)
        if 0 <= code < _ARRAY:
            return _object(f"{content[0]}.{content[1]}", content[2], code, payload)
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    return Opaque(f"{_EXTENSION}{code}", payload)


def _object(name: str, content: Any, code: int, payload: bytes) -> Typed:
    if name == "langgraph.types.Send" and isinstance(content, list) and len(content) > 1:
        return TypedSend(name, content, code, payload)
    kind = TypedInterrupt if name == "langgraph.types.Interrupt" else Typed
    return kind(name, content, code, payload)
