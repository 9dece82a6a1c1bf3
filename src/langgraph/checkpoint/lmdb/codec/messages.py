"""LangChain messages: notice cheaply that a message did not change, and copy a message cheaply.

The fingerprint of a message is its attributes as strict msgpack, which is written at C speed. It
tells exact types apart (1, True and 1.0) and covers all containers, so messages with equal
fingerprints are serialized to equal bytes. The template of a message makes copies that share only
texts and numbers.

Both work only for messages made of JSON types. Other messages are serialized and deserialized each
time.
"""

from __future__ import annotations

import marshal
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias

from langchain_core import messages
from langchain_core.messages import BaseMessage
from msgpack import Packer, Unpacker

Fingerprint: TypeAlias = "bytes | tuple[str, bytes] | object"
"""Packed attributes; or a long text and the other attributes, packed; or, for a message that cannot
be packed, an object that is equal to no other."""

MESSAGE_TYPES: Final[frozenset[type]] = frozenset(
    cls
    for name in messages.__all__
    if isinstance(cls := getattr(messages, name), type)
    and issubclass(cls, BaseMessage)
    and cls.__module__.startswith("langchain_core.messages.")
)
"""Classes whose serialized form depends only on the attributes in a fingerprint. A subclass may
override how it is serialized, so the types have to be these exactly."""

_LONG: Final = 500
"""Characters of a text that is compared by itself. Nearly always it is the same object as before,
so the comparison is fast and the fingerprint takes no memory."""
_ATOMS: Final = frozenset((str, int, float, bool, type(None)))
_TEXT: Final = frozenset((str,))
_MAYBE_BINARY: Final = bytes((*range(0xC4, 0xCA), *range(0xD4, 0xD9)))
"""First bytes of byte strings and extension types in msgpack. Texts and numbers may have them,
too."""
_NOT_PACKABLE: Final = (TypeError, ValueError, OverflowError, AttributeError)
"""Errors of packing, and of a forged message that lacks an attribute."""

_attributes = attrgetter("__dict__", "__pydantic_extra__", "__pydantic_private__")
_all_attributes = attrgetter("__dict__", "__pydantic_extra__", "__pydantic_fields_set__")
_new = object.__new__
_set = object.__setattr__


def fingerprints(values: list[Any]) -> list[Fingerprint]:
    """Return the fingerprints of messages."""
    try:
        return _fingerprints(values)
    except _NOT_PACKABLE:
        return [_fingerprint(value) for value in values]


def _fingerprints(values: list[Any]) -> list[Fingerprint]:
    pack = Packer(strict_types=True).pack  # a packer is not thread-safe
    out: list[Fingerprint] = []
    for attributes, extra, private in map(_attributes, values):
        if private is not None:
            out.append(object())
            continue
        content = attributes.get("content")
        by_itself = type(content) is str and len(content) > _LONG
        packed = pack({**attributes, "content": None} if by_itself else attributes)
        if extra:
            packed += pack(extra)
        out.append((content, packed) if by_itself else packed)
    return out


def _fingerprint(message: BaseMessage) -> Fingerprint:
    try:
        return _fingerprints([message])[0]
    except _NOT_PACKABLE:
        return object()


def shows_json_only(fingerprint: Fingerprint) -> bool:
    """Return True if every change of the message with a fingerprint changes the fingerprint.

    msgpack encodes bytes and byte arrays alike, so a message with either does not qualify.
    """
    packed = fingerprint[1] if type(fingerprint) is tuple else fingerprint
    if type(packed) is not bytes:
        return False
    if packed.translate(None, _MAYBE_BINARY) == packed:
        return True
    unpacker = Unpacker(strict_map_key=False, max_buffer_size=len(packed))
    unpacker.feed(packed)
    return _is_json(list(unpacker))


def _is_json(todo: list[Any]) -> bool:
    """Return True if values are made of JSON types only."""
    while todo:
        value = todo.pop()
        kind = type(value)
        if kind in _ATOMS:
            continue
        if kind is dict:
            todo += value.keys()
            todo += value.values()
        elif kind is list:
            todo += value
        else:
            return False
    return True


class MessageTemplate(NamedTuple):
    """A template to make copies of a message from."""

    attributes: dict[str, Any]
    """All attributes; None in place of each container."""
    empty: tuple[tuple[str, type], ...]
    """Names and types of the empty containers."""
    extra: type
    """Type of the object with the extra attributes: dict, or NoneType."""
    others: bytes | None
    """Filled containers and extra attributes, marshalled; None if there are neither."""
    fields_set: frozenset[str]


def make_templates(
    values: list[Any], fingerprints: list[Fingerprint]
) -> list[MessageTemplate | None]:
    """Return the templates of messages.

    None if a copy could differ from the message, or share a list or a dict with it.

    Args:
        values: The messages.
        fingerprints: Their fingerprints.
    """
    return [*map(_make_template, values, fingerprints)]


def _make_template(message: Any, fingerprint: Fingerprint) -> MessageTemplate | None:
    cls: Any = type(message)
    if cls not in MESSAGE_TYPES or not shows_json_only(fingerprint):
        return None
    attributes, extra, fields_set = _all_attributes(message)
    if (
        (extra is not None and type(extra) is not dict)
        or type(fields_set) is not set
        or not _TEXT.issuperset(map(type, fields_set))
    ):
        return None  # a forged store may hold any attributes
    fields = _fields(cls)
    has_fields_only = fields.issuperset(attributes) and fields >= fields_set
    find = _containers if has_fields_only else _containers.__wrapped__
    containers = find(tuple(attributes), tuple(map(type, attributes.values())))
    kept = attributes.copy()
    filled: dict[str, Any] = {}
    for key, _ in containers:
        if attributes[key]:
            filled[key] = attributes[key]
        kept[key] = None
    try:
        others = marshal.dumps((filled, extra or {})) if filled or extra else None
    except ValueError:
        return None
    empty, names = containers, frozenset(fields_set)
    if filled:
        empty = tuple([row for row in containers if row[0] not in filled])
    if has_fields_only:
        empty, names = _shared(empty), _shared(names)
    return MessageTemplate(kept, empty, type(extra), others, names)


@lru_cache(maxsize=1000)
def _containers(names: tuple[str, ...], types: tuple[type, ...]) -> tuple[tuple[str, type], ...]:
    """Return the names and types of the containers among attributes."""
    return tuple([row for row in zip(names, types, strict=True) if row[1] not in _ATOMS])


@lru_cache(maxsize=len(MESSAGE_TYPES))
def _fields(cls: Any) -> frozenset[str]:
    return frozenset(cls.model_fields)


@lru_cache(maxsize=1000)
def _shared(value: Any) -> Any:
    """Return one object for all equal ones. Only for the names of fields, which are few."""
    return value


def instantiate(types: list[type], templates: list[MessageTemplate]) -> list[Any]:
    """Return new messages."""
    out = []
    for cls, (kept, empty, make_extra, others, fields_set) in zip(types, templates, strict=True):
        attributes = kept.copy()
        for key, make in empty:
            attributes[key] = make()
        extra = make_extra()
        if others is not None:
            filled, filled_extra = marshal.loads(others)  # noqa: S302 - made by _make_template
            attributes.update(filled)
            if filled_extra:
                extra.update(filled_extra)
        message: Any = _new(cls)
        _set(message, "__dict__", attributes)
        _set(message, "__pydantic_extra__", extra)
        _set(message, "__pydantic_fields_set__", set(fields_set))
        _set(message, "__pydantic_private__", None)
        out.append(message)
    return out
