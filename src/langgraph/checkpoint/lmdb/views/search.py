"""Search: the texts in the values of a store that match a pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import CheckpointTuple

from langgraph.checkpoint.lmdb.views.plain import Opaque, Snapshot, Typed
from langgraph.checkpoint.lmdb.views.stores import all_threads, config_of, place_of

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import KvSaver

_INTERNAL = ("branch:to:", "join:")
_THREADS = 200
_BYTES = 4 << 20
"""Threads, and bytes of threads, that one page of a search reads at most."""
_FIRST_HITS = 3


@dataclass(frozen=True, slots=True)
class Hit:
    """A text that matches, and where it is."""

    thread_id: str
    namespace: str
    checkpoint_id: str
    step: int | None
    path: str
    """Way from the channel to the text: `messages[0].content`."""
    text: str
    start: int
    """First character of the match in the text."""
    end: int

    def to_dict(self) -> dict[str, Any]:
        """Return the hit as data for JSON."""
        return asdict(self)


def search(
    saver: KvSaver,
    pattern: re.Pattern[str],
    *,
    prefix: str | None = None,
    thread_id: str | None = None,
    channel: str | None = None,
    history: bool = False,
) -> Iterator[Hit]:
    """Yield the texts that match a pattern, the first match of each text.

    Args:
        saver: The saver.
        pattern: The pattern.
        prefix: Beginning of the ids of the threads to search.
        thread_id: The one thread to search.
        channel: The one channel to search.
        history: True: search all checkpoints, not only the latest of each thread.
    """
    ids = (
        iter([thread_id])
        if thread_id is not None
        else (info.thread_id for info in all_threads(saver, prefix, details=False))
    )
    for name in ids:
        for found in _checkpoints(saver, name, history):
            yield from _hits(found, pattern, channel)


@dataclass(frozen=True, slots=True)
class SearchPage:
    """The hits in some threads, in the order of their last activity."""

    threads: list[list[Hit]]
    """For each thread with hits, its first hits."""
    last: str | None
    """Id of the thread to continue after. None: there are no more threads."""


def search_page(
    saver: KvSaver, pattern: re.Pattern[str], after: str | None, count: int
) -> SearchPage:
    """Return the hits in the latest checkpoints of some threads.

    Args:
        saver: The saver.
        pattern: The pattern.
        after: Id of the thread to continue after.
        count: Highest number of threads with hits.

    Raises:
        ThreadNotFoundError: The thread to continue after does not exist any more.
    """
    found: list[list[Hit]] = []
    size = 0
    threads = saver.threads(limit=_THREADS, after=after, details=False)
    for info in threads:
        hits = search(saver, pattern, thread_id=info.thread_id)
        if first := [*islice(hits, _FIRST_HITS)]:
            found.append(first)
        size += info.bytes
        if len(found) == count or size >= _BYTES:
            return SearchPage(found, info.thread_id)
    return SearchPage(found, threads[-1].thread_id if len(threads) == _THREADS else None)


def texts(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the texts of a plain value with the way to each."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Typed):
        yield from texts(path, value.content)
    elif isinstance(value, Snapshot):
        yield from texts(path, value.value)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from texts(f"{path}.{key}", part)
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from texts(f"{path}[{index}]", part)
    elif value is not None and not isinstance(value, (bytes, bytearray, Opaque)):
        yield path, str(value)


def _checkpoints(saver: KvSaver, thread_id: str, history: bool) -> Iterator[CheckpointTuple]:
    if history:
        config: Any = {"configurable": {"thread_id": thread_id}}
        yield from saver.list(config, skip_damaged=True)
        return
    yield from saver.list(config_of(thread_id), limit=1, skip_damaged=True)


def _hits(found: CheckpointTuple, pattern: re.Pattern[str], channel: str | None) -> Iterator[Hit]:
    at = place_of(found)
    for path, text in _texts_of(found, channel):
        match = pattern.search(text)
        if match is not None:
            yield Hit(
                thread_id=at["thread_id"],
                namespace=at["checkpoint_ns"],
                checkpoint_id=found.checkpoint["id"],
                step=(found.metadata or {}).get("step"),
                path=path,
                text=text,
                start=match.start(),
                end=match.end(),
            )


def _texts_of(found: CheckpointTuple, channel: str | None) -> Iterator[tuple[str, str]]:
    for name, value in found.checkpoint["channel_values"].items():
        if not name.startswith(_INTERNAL) and channel in (None, name):
            yield from texts(name, value)
    for _, name, value in found.pending_writes or ():
        if not name.startswith(_INTERNAL) and channel in (None, name):
            yield from texts(f"{name} (pending write)", value)
