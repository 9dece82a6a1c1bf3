"""LangChain messages: telling cheaply that one did not change, and copying one cheaply.

A message's state is its attributes as strict msgpack, written at C speed. That tells exact types
apart (1, True and 1.0) and follows every container, so equal states serialise to equal bytes. Of
each stored message an image is kept, from which copies are made that share no more than texts and
numbers.

Both hold only for messages made of plain JSON types; others are serialised and rebuilt each time.
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
"""Packed attributes; or a long text and the others, packed; or an object that equals nothing, of a
message that has no such state."""

MESSAGE_TYPES: Final[frozenset[type]] = frozenset(
    cls
    for name in messages.__all__
    if isinstance(cls := getattr(messages, name), type)
    and issubclass(cls, BaseMessage)
    and cls.__module__.startswith("langchain_core.messages.")
)
"""The classes whose serialised form depends on nothing but the attributes that a state holds.
Subclasses may override how they are dumped, so the types have to be these exactly."""

_attributes = attrgetter("__dict__", "__pydantic_extra__")
_image_attributes = attrgetter("__dict__", "__pydantic_extra__", "__pydantic_fields_set__")
_new = object.__new__
_set = object.__setattr__
_NOT_PACKABLE: Final = (TypeError, ValueError, OverflowError)
"""What packing raises for a message that has no state."""
_LONG: Final = 500
"""Characters of a text from which on it is a part of a state by itself: nearly always it is the
same object as before, which compares in no time and takes no memory."""
_PLAIN: Final = frozenset((str, int, float, bool, type(None)))


class MessageTemplate(NamedTuple):
    """What copies of a message are made from."""

    attributes: dict[str, Any]
    """With None for each that can change."""
    empty: tuple[tuple[str, type], ...]
    """Those of them that are empty containers, with their types."""
    extra: type
    """Of what holds extra attributes: dict, or NoneType."""
    others: bytes | None
    """Marshalled: other attributes that can change, and extra ones; None if there are neither."""
    fields_set: frozenset[str]


def fingerprints(values: list[Any]) -> list[Fingerprint]:
    """The states of messages."""
    try:
        return _fingerprints(values)
    except _NOT_PACKABLE:
        return [_fingerprint(value) for value in values]


def _fingerprints(values: list[Any]) -> list[Fingerprint]:
    pack = Packer(strict_types=True).pack  # of its own: packing in two threads would mix
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
    """Whether a state tells all changes of a message apart.

    msgpack writes bytes and byte arrays alike, so a message with any of them is not plain; nor is
    one with private attributes, which a state leaves out.
    """
    if getattr(message, "__pydantic_private__", None) is not None:
        return False
    todo: list[Any] = list(_attributes(message))
    while todo:
        value = todo.pop()
        kind = type(value)
        if kind in _PLAIN:
            continue
        if kind is dict:
            todo += value.keys()
            todo += value.values()
        elif kind is list:
            todo += value
        else:
            return False
    return True


def make_template(message: BaseMessage) -> MessageTemplate | None:
    """The image of a message; None if a copy of it could differ, or share what can change."""
    if type(message) not in MESSAGE_TYPES or not is_json_only(message):
        return None
    attributes, extra, fields_set = _image_attributes(message)
    if (
        (extra is not None and type(extra) is not dict)
        or type(fields_set) is not set
        or not all(type(name) is str for name in fields_set)
    ):
        return None  # a store can say anything of a message
    changing = {key: value for key, value in attributes.items() if type(value) not in _PLAIN}
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
    """One object for all that are equal. For names of fields alone: of them there are few."""
    return value


def instantiate(types: list[type], images: list[MessageTemplate]) -> list[Any]:
    """New messages from their images."""
    out = []
    for cls, (kept, empty, make_extra, others, fields_set) in zip(types, images, strict=True):
        attributes = kept.copy()
        for key, make in empty:
            attributes[key] = make()
        extra = make_extra()
        if others is not None:
            filled, filled_extra = marshal.loads(others)  # noqa: S302 - made above
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
