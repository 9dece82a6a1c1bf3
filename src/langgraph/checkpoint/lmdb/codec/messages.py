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
from msgpack import Packer

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
_NOT_PACKABLE: Final = (TypeError, ValueError, OverflowError)
"""Errors of packing."""

_attributes = attrgetter("__dict__", "__pydantic_extra__")
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
    for attributes, extra in map(_attributes, values):
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


def is_json_only(message: BaseMessage) -> bool:
    """Return True if every change of a message changes its fingerprint.

    msgpack encodes bytes and byte arrays alike, so a message with either does not qualify. Neither
    does a message with private attributes, which the fingerprint lacks.
    """
    if getattr(message, "__pydantic_private__", None) is not None:
        return False
    todo: list[Any] = list(_attributes(message))
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


def make_template(message: BaseMessage) -> MessageTemplate | None:
    """Return the template of a message.

    None if a copy could differ from the message, or share a list or a dict with it.
    """
    if type(message) not in MESSAGE_TYPES or not is_json_only(message):
        return None
    attributes, extra, fields_set = _all_attributes(message)
    if (
        (extra is not None and type(extra) is not dict)
        or type(fields_set) is not set
        or not all(type(name) is str for name in fields_set)
    ):
        return None  # a forged store may hold any attributes
    changing = {key: value for key, value in attributes.items() if type(value) not in _ATOMS}
    empty = tuple([(key, type(value)) for key, value in changing.items() if not value])
    filled = {key: value for key, value in changing.items() if value}
    try:
        others = marshal.dumps((filled, extra or {})) if filled or extra else None
    except ValueError:
        return None
    names = frozenset(fields_set)
    if type(message).model_fields.keys() >= fields_set | attributes.keys():
        empty, names = _shared(empty), _shared(names)
    return MessageTemplate(attributes | dict.fromkeys(changing), empty, type(extra), others, names)


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
            filled, filled_extra = marshal.loads(others)  # noqa: S302 - made by make_template
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
