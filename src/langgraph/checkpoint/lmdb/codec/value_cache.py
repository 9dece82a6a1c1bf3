"""What is remembered of the values last seen: which parts they have, and where these are stored.

A layout is never changed once others can see it, but for what it learns of its own elements.
Everything here can be forgotten at any time; it is then read from the store again.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.codec.messages import Image, State
    from langgraph.checkpoint.lmdb.engine.chunks import Chunked, Place, StoredValue
    from langgraph.checkpoint.lmdb.format.ranges import Run


class ChannelKey(NamedTuple):
    """A channel of a thread's namespace."""

    thread_id: str
    checkpoint_ns: str
    channel: str


class WriteKey(NamedTuple):
    """A pending write, or another value that is read again and again but is no channel's latest."""

    place: Place
    stored: StoredValue


LayoutKey: TypeAlias = "ChannelKey | WriteKey"


@dataclass(slots=True)
class PlainLayout:
    """A value as bytes, cut into parts."""

    place: Place
    stored: Chunked
    runs: list[Run]
    body: bytes
    ends: list[int]
    """Where each part ends in the body."""

    @property
    def size(self) -> int:
        return len(self.body) + 40 * len(self.ends) + 500


@dataclass(slots=True)
class Element:
    """A message in a list, as stored; what is known of it only ever grows."""

    type: type
    state: State
    """Of the message as it was put or handed out last."""
    digest: bytes
    length: int
    """Bytes of it, encoded."""
    parts: int
    """How many chunks it has."""
    raw: bytes | None
    """Encoded; None once there is an image that serves instead."""
    image: Image | None = None


class Known(NamedTuple):
    """Types and states of the messages of a list, by their places in it."""

    types: list[type]
    states: list[State]

    def is_same(self, index: int, other: Known, at: int) -> bool:
        """Whether a message is what another one was."""
        return self.states[index] == other.states[at] and self.types[index] is other.types[at]


@dataclass(slots=True)
class MessageLayout:
    """A list of messages, each of which begins a part."""

    place: Place
    stored: Chunked
    runs: list[Run]
    elements: list[Element]
    known: Known | None = None
    """Of a list that was put, whose elements have nothing more to learn."""

    def what_is_known(self) -> Known:
        """What is known of the elements now."""
        if self.known is not None:
            return self.known
        return Known([e.type for e in self.elements], [e.state for e in self.elements])

    @property
    def size(self) -> int:
        return 2 * self.stored.size + 500 * (len(self.elements) + 1)

    def position(self, index: int) -> int:
        """How many chunks the messages before this one have."""
        if len(self.elements) == sum(run.length for run in self.runs):
            return index
        return sum(element.parts for element in self.elements[:index])

    def whole(self, chunks: int) -> int:
        """How many messages the first `chunks` chunks hold in full."""
        if len(self.elements) == sum(run.length for run in self.runs):
            return chunks
        ends = accumulate(element.parts for element in self.elements)
        return sum(1 for end in ends if end <= chunks)


Layout: TypeAlias = "PlainLayout | MessageLayout"


def ends_of(parts: list[bytes]) -> list[int]:
    """Where each part ends once they are joined."""
    return list(accumulate(map(len, parts)))


class LayoutCache:
    """The latest layout of each channel, and those of writes that were read.

    Args:
        limit: Bytes that all of it may take, about; 0 remembers nothing.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._reset()
        _instances.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._layouts: OrderedDict[LayoutKey, Layout] = OrderedDict()
        self._size = 0

    def get(self, key: LayoutKey, place: Place) -> Layout | None:
        """The layout of a value, if what it says of the thread still holds."""
        with self._lock:
            layout = self._layouts.get(key)
            if layout is None or layout.place != place:
                return None
            self._layouts.move_to_end(key)
            return layout

    def put(self, key: LayoutKey, layout: Layout) -> None:
        """Remember a layout, and forget those not used for longest if there is no room."""
        size = layout.size
        if size > self.limit:
            return
        with self._lock:
            old = self._layouts.pop(key, None)
            if old is not None:
                self._size -= old.size
            self._layouts[key] = layout
            self._size += size
            while self._size > self.limit and self._layouts:
                self._size -= self._layouts.popitem(last=False)[1].size


_instances: weakref.WeakSet[LayoutCache] = weakref.WeakSet()


def _after_fork() -> None:
    for instance in list(_instances):
        instance._reset()


os.register_at_fork(after_in_child=_after_fork)
