"""Snapshots: consistent views of the store."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import (
    checkpoints,
    layers,
    namespaces,
    paging,
    sharing,
    threads,
    time_index,
)
from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
from langgraph.checkpoint.lmdb.engine.states import is_indexed
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.engine.time_index import TimeIndexEntry
from langgraph.checkpoint.lmdb.errors import DamagedError, IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import Kind, Layer, NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader

if TYPE_CHECKING:
    from typing_extensions import Self

_FEW = 500
"""Threads with a prefix that are read and sorted, rather than picked from all by time."""
_RECENT = 5000
"""Threads that are read by time to find the latest ones with a common prefix."""


class Snapshot:
    """A consistent view of the store, within a `with` block. Never held across a yield."""

    __slots__ = ("_context", "_is_hidden", "reader")

    def __init__(
        self, context: AbstractContextManager[Reader], is_hidden: Callable[[Thread], bool]
    ) -> None:
        self._context = context
        self._is_hidden = is_hidden

    def __enter__(self) -> Self:
        self.reader: Reader = self._context.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.__exit__(kind, error, trace)

    def thread(self, thread_id: str) -> Thread | None:
        """Return the thread of this id, unless it is missing or has expired."""
        thread = threads.find(self.reader, thread_id)
        return None if thread is None or self._is_hidden(thread) else thread

    def namespace(self, thread_id: str, checkpoint_ns: str) -> NamespaceRef | None:
        """Return a namespace, unless it is missing or its thread is missing or has expired."""
        thread = self.thread(thread_id)
        return None if thread is None else namespaces.find(self.reader, thread, checkpoint_ns)

    def thread_of_any_age(self, thread_id: str) -> tuple[Thread | None, bool]:
        """Return the thread of this id, and True if it has expired."""
        thread = threads.find(self.reader, thread_id)
        return thread, thread is not None and self._is_hidden(thread)

    def has_root(self, thread: Thread, checkpoint_id: str | None) -> bool:
        """Return True if a thread has this checkpoint in its root namespace."""
        return checkpoint_id is not None and (
            checkpoints.read(self.reader, thread.root, checkpoint_id) is not None
        )

    def threads(self, on_damage: Callable[[DamagedError], None] | None = None) -> Iterator[Thread]:
        """List the threads that have not expired, by id; see `threads.all_threads`."""
        found = threads.all_threads(self.reader, on_damage)
        return (thread for thread in found if not self._is_hidden(thread))

    def describe_key(self, key: bytes) -> dict[str, str]:
        """Return the ids of the thread, namespace and checkpoint that a record belongs to, if
        known."""
        found: dict[str, str] = {}
        if key[:1] != keys.Kind.THREAD:
            return found
        with suppress(IntegrityError):
            number, at = keys.read_number(key, 1)
            kind = key[at : at + 1]
            owners = sharing.threads_of(self.reader, number)
            thread = owners[0][0] if owners else None
            if thread is not None:
                found["thread_id"] = thread.id
            if kind in (keys.Kind.CHECKPOINT, keys.Kind.WRITES, keys.Kind.COMPACTED):
                number, at = keys.read_number(key, at + 1)
                checkpoint = kind == keys.Kind.CHECKPOINT
                part = key[at:] if checkpoint else keys.read_sortable_text(key, at)[0]
                if not keys.is_truncated(part) and part[:1] != b"\xff":
                    found["checkpoint_id"] = keys.decoded(part, key)
                names = () if thread is None else namespaces.of_thread(self.reader, thread)
                for name, namespace in names:
                    if namespace.number == number:
                        found["checkpoint_ns"] = name
        return found

    def threads_with_term(self, term: bytes) -> Iterator[Thread]:
        """List the threads with a term that have not expired."""
        read = partial(sharing.threads_of, self.reader)
        numbers = checkpoints.threads_with_term(self.reader, term)
        for _, owners in paging.read_each(self.reader, read, numbers):
            for thread, _ in owners:
                if not self._is_hidden(thread):
                    yield thread

    def newest_threads(
        self,
        prefix: str,
        since: int,
        before: int,
        states: Collection[int] | None = None,
        on_damage: Callable[[DamagedError], None] | None = None,
    ) -> Iterator[Thread]:
        """List the threads with checkpoints that have not expired: latest activity first, then by
        id.

        With states that the time index lists, only threads in these states are read.

        Args:
            prefix: Prefix of their ids.
            since: Milliseconds since the epoch; only threads with activity at that time or later.
            before: Milliseconds since the epoch; only threads without activity from that time on.
            states: Only threads in these states. None: all.
            on_damage: Function to call for a thread that cannot be read. If given, all threads are
                read. None: raise the error.
        """
        if on_damage is None and states is not None and all(map(is_indexed, states)):
            kinds = [time_index.BY_STATE + state for state in states]
            found = _by_time(self.reader, kinds, time_index.STATE_LAG_MS, since, before)
        elif on_damage is not None or _is_rare(self.reader, prefix):
            found = _by_prefix(self.reader, prefix, on_damage)
        else:
            kinds = [time_index.BY_ACTIVITY, time_index.BY_ACTIVITY_OTHER]
            found = _by_time(self.reader, kinds, time_index.INDEX_LAG_MS, since, before)
            if prefix:
                found = _recent_then_by_prefix(self.reader, prefix, found)
        for thread in found:
            if (
                thread.checkpoints
                and (states is None or thread.state in states)
                and thread.id.startswith(prefix)
                and since <= thread.updated < before
                and not self._is_hidden(thread)
            ):
                yield thread

    def with_term(
        self, term: bytes, before: bytes | None, count: int
    ) -> tuple[list[tuple[str, str, str]], bytes | None]:
        """Return thread id, namespace and id of checkpoints with a term, by descending id.

        Args:
            term: The index term.
            before: Position where the last call ended. None: begin at the greatest id.
            count: Entries to read, about.

        Returns:
            The checkpoints, and the position where the next call begins. None: there are no more.
        """
        found, stop = checkpoints.newest_with_term(self.reader, term, before, count)
        numbers = dict.fromkeys(namespace.thread for _, namespace in found)
        names = dict(paging.read_each(self.reader, self._names, iter(numbers)))
        rows: list[tuple[str, str, str]] = []
        for checkpoint_id, namespace in found:
            part = keys.text(checkpoint_id)
            for thread_id, layer, names_of in names[namespace.thread]:
                if layer and not layers.shows(layer, namespace.number, Kind.CHECKPOINT, part):
                    continue
                if namespace.number not in names_of:
                    key = keys.checkpoint(namespace, checkpoint_id)
                    envelope.raise_damaged(key, "its namespace has lost its name")
                rows.append((thread_id, names_of[namespace.number], checkpoint_id))
        return rows, stop if found else None

    def _names(self, number: int) -> list[tuple[str, Layer | None, dict[int, str]]]:
        """Return the threads that show a thread or layer and have not expired: the id of each, the
        part of the layer that it shows, and the names of its namespaces."""
        return [
            (thread.id, layer, self._names_of(thread))
            for thread, layer in sharing.threads_of(self.reader, number)
            if not self._is_hidden(thread)
        ]

    def _names_of(self, thread: Thread) -> dict[int, str]:
        return {n.number: name for name, n in namespaces.of_thread(self.reader, thread)}

    def ancestry(
        self, thread_id: str, checkpoint_ns: str, checkpoint: CheckpointRecord
    ) -> Iterator[CheckpointRecord]:
        """Yield a checkpoint, its parent, and so on; see `checkpoints.ancestry`."""
        thread = threads.find(self.reader, thread_id)
        if thread is None:
            return iter(())
        namespace = namespaces.find(self.reader, thread, checkpoint_ns)
        if namespace is None:
            return iter(())
        return checkpoints.ancestry(self.reader, namespace, checkpoint)


def _by_time(
    reader: Reader, kinds: Collection[int], lag: int, since: int, before: int
) -> Iterator[Thread]:
    """List the threads with activity since a time, latest first, then by id.

    Args:
        reader: A snapshot.
        kinds: Kinds of entries of the time index. A thread has at most one of them.
        lag: Milliseconds that these entries lag behind their threads at most.
        since: Milliseconds since the epoch.
        before: The time of the entries is before this one.
    """
    heap: list[tuple[int, str, int, Thread]] = []
    entries = heapq.merge(
        *(time_index.newest(reader, kind, before) for kind in kinds),
        key=lambda entry: entry.time,
        reverse=True,
    )

    def read(entry: TimeIndexEntry) -> Thread | None:
        return threads.by_number(reader, entry.thread)

    for entry, thread in paging.read_each(reader, read, entries):
        # Entries lag behind their threads: the remaining threads were active before `latest`.
        latest = entry.time + lag
        while heap and -heap[0][0] >= latest:
            yield heapq.heappop(heap)[3]
        if latest <= since:
            break
        if thread is not None:
            heapq.heappush(heap, (-thread.updated, thread.id, thread.number, thread))
    while heap:
        yield heapq.heappop(heap)[3]


def _is_rare(reader: Reader, prefix: str) -> bool:
    """Return True if a prefix is not empty and few threads have it."""
    start = _ids_with(prefix)
    found = islice(reader.keys(start, keys.prefix_end(start)), _FEW + 1)
    return prefix != "" and len([*found]) <= _FEW


def _recent_then_by_prefix(
    reader: Reader, prefix: str, by_time: Iterator[Thread]
) -> Iterator[Thread]:
    """List recent threads by time, and then the others with the prefix."""
    recent = 0
    last = None
    for thread in islice(by_time, _RECENT):
        recent += 1
        last = thread
        yield thread
    if last is not None and recent == _RECENT:
        for thread in _by_prefix(reader, prefix, None):
            if _activity(thread) > _activity(last):
                yield thread


def _by_prefix(
    reader: Reader, prefix: str, on_damage: Callable[[DamagedError], None] | None
) -> Iterator[Thread]:
    """List the threads whose ids have a prefix, latest activity first, then by id."""
    found = threads.all_threads(reader, on_damage, _ids_with(prefix))
    return iter(sorted((one for one in found if one.id.startswith(prefix)), key=_activity))


def _ids_with(prefix: str) -> bytes:
    return keys.Kind.THREAD_ID + keys.utf8(prefix)[: keys.TEXT_LIMIT]


def _activity(thread: Thread) -> tuple[int, str]:
    return -thread.updated, thread.id
