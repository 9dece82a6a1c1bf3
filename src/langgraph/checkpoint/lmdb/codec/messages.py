"""LangChain messages: telling cheaply that one did not change, and copying one cheaply.

A message's state is its attributes, written by `marshal` at C speed. That tells exact types apart
(1, True and 1.0) and follows every container, so equal states serialise to equal bytes. Of each
stored message an image is kept, from which fresh copies are made that share nothing mutable.

Both hold only for messages made of plain JSON types; others are serialised and rebuilt each time.
"""

from __future__ import annotations

import marshal
from operator import attrgetter
from typing import Any, Final, TypeAlias

from langchain_core import messages
from langchain_core.messages import BaseMessage

State: TypeAlias = "bytes | object"
"""Marshalled attributes; or an object that equals nothing, of a message that has no such state."""

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
_PLAIN: Final = frozenset((str, int, float, bool, type(None)))
_STATE_VERSION: Final = 2  # without back references, which depend on who else holds an object
_IMAGE_VERSION: Final = (
    4  # with them: keys and texts are shared, which is safe as they can't change
)


def states(values: list[Any]) -> list[State]:
    """The states of messages."""
    dumps = marshal.dumps
    try:
        return [dumps(attributes, _STATE_VERSION) for attributes in map(_attributes, values)]
    except ValueError:
        return [_state(value) for value in values]


def _state(message: BaseMessage) -> State:
    try:
        return marshal.dumps(_attributes(message), _STATE_VERSION)
    except ValueError:
        return object()


def is_plain(message: BaseMessage) -> bool:
    """Whether a state tells all changes of a message apart.

    `marshal` writes bytes, byte arrays and numpy arrays alike, so a message with any of them is
    not plain; nor is one with private attributes, which a state leaves out.
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
        elif kind in (list, tuple):
            todo += value
        else:
            return False
    return True


def image(message: BaseMessage) -> bytes | None:
    """What copies of a message, just deserialised and known to nobody else, are made from."""
    if type(message) not in MESSAGE_TYPES or not is_plain(message):
        return None
    try:
        return marshal.dumps(_image_attributes(message), _IMAGE_VERSION)
    except ValueError:
        return None


def rebuild(types: list[type], images: list[bytes]) -> list[Any]:
    """New messages from their images."""
    loads = marshal.loads
    out = []
    for cls, (attributes, extra, fields_set) in zip(types, map(loads, images), strict=True):
        message: Any = _new(cls)
        _set(message, "__dict__", attributes)
        _set(message, "__pydantic_extra__", extra)
        _set(message, "__pydantic_fields_set__", fields_set)
        _set(message, "__pydantic_private__", None)
        out.append(message)
    return out
