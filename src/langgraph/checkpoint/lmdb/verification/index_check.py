"""Checks of index entries: whether each entry leads to a record that calls for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from langgraph.checkpoint.lmdb.engine import checkpoints, thread_record, threads
from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import Kind, NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Reader, Writer
from langgraph.checkpoint.lmdb.verification.key_scan import SCAN_BATCH

_TERM_END = 1 + keys.HASH_SIZE


@dataclass(frozen=True, slots=True)
class StoreIndex:
    """An index over all threads."""

    kind: bytes
    """Kind of the index's keys."""
    stale_message: str
    """Text of the problem for a stale entry."""
    parse: Callable[[bytes, bytes], tuple[Any, ...]]
    """Function of key and record that returns the target of an entry: the thread's number, and what
    else the key has. It raises IntegrityError for a malformed entry."""
    is_wanted: Callable[..., bool]
    """Function of reader, key and target that returns True if the target calls for the entry."""

    def is_stale(self, reader: Reader, key: bytes) -> bool:
        """Return True if an entry is malformed or its target does not call for it."""
        try:
            target = self.parse(key, reader.get(key) or b"")
        except IntegrityError:
            return True
        try:
            return not self.is_wanted(reader, key, *target)
        except IntegrityError:
            return False  # the entry may be all that is left of a damaged target

    def entries_of(self, reader: Reader, thread: int) -> Iterator[bytes]:
        """Yield the entries that lead to a thread; reads the keys of the whole index."""
        for key in reader.keys(self.kind, keys.prefix_end(self.kind)):
            with suppress(IntegrityError):
                if self.parse(key, b"")[0] == thread:
                    yield key

    def find_stale(self, kv: KeyValueStore) -> tuple[list[bytes], int]:
        """Return the stale entries, and the number of all entries."""
        stale: list[bytes] = []
        count, start, stop = 0, self.kind, keys.prefix_end(self.kind)
        while True:
            with kv.read() as reader:
                batch = list(islice(reader.keys(start, stop), SCAN_BATCH))
                found = reader.gather(partial(self.is_stale, reader, key) for key in batch)
                stale += [key for key, is_stale in zip(batch, found, strict=True) if is_stale]
            count += len(batch)
            if len(batch) < SCAN_BATCH:
                return stale, count
            start = batch[-1] + b"\x00"


def _parse_thread_id(key: bytes, record: bytes) -> tuple[int]:
    payload = envelope.unseal(key, record)
    number, end = keys.read_number(payload, 0)
    _require(end == len(payload), key)
    return (number,)


def _has_id(reader: Reader, key: bytes, thread: int) -> bool:
    found = threads.read(reader, thread)
    return found is not None and keys.thread_id(found.id) == key


def _parse_term(key: bytes, record: bytes) -> tuple[int, int, bytes]:
    part, at = keys.read_sortable_text(key, _TERM_END)
    thread, at = keys.read_number(key, at)
    namespace, at = keys.read_number(key, at)
    _require(at == len(key) and not record, key)
    return thread, namespace, part


def _checkpoint_has_term(
    reader: Reader, key: bytes, thread: int, namespace: int, part: bytes
) -> bool:
    checkpoint_key = keys.checkpoints(NamespaceRef(thread, namespace)) + part
    record = reader.get(checkpoint_key)
    if record is None:
        return False
    found = checkpoints.decode(checkpoint_key, record)
    return key[1:_TERM_END] in found.terms


def _parse_thread_term(key: bytes, record: bytes) -> tuple[int]:
    thread, at = keys.read_number(key, _TERM_END)
    _require(at == len(key) and not record, key)
    return (thread,)


def _thread_has_term(reader: Reader, key: bytes, thread: int) -> bool:
    prefix = keys.of_thread(Kind.CHECKPOINT, thread)
    for checkpoint_key in reader.keys(prefix, keys.prefix_end(prefix), reverse=True):
        found = checkpoints.decode(checkpoint_key, reader.get(checkpoint_key) or b"")
        if key[1:_TERM_END] in found.thread_terms:
            return True
    return False


def _parse_time_entry(key: bytes, record: bytes) -> tuple[int]:
    _, at = keys.read_number(key, 1)
    _, at = keys.read_number(key, at)
    thread, at = keys.read_number(key, at)
    _require(at == len(key) and not record, key)
    return (thread,)


def _has_time_entry(reader: Reader, key: bytes, thread: int) -> bool:
    found = threads.read(reader, thread)
    return found is not None and key in entries_of_thread(found)


def _require(condition: bool, key: bytes) -> None:
    if not condition:
        envelope.raise_damaged(key, "malformed index entry")


THREAD_IDS = StoreIndex(
    Kind.THREAD_ID,
    "the index of thread ids leads to a missing or different thread",
    _parse_thread_id,
    _has_id,
)
STORE_INDEXES = (
    THREAD_IDS,
    StoreIndex(
        Kind.TERM,
        "the index of terms leads to a missing checkpoint or one without the term",
        _parse_term,
        _checkpoint_has_term,
    ),
    StoreIndex(
        Kind.THREAD_TERM,
        "the index of terms leads to a missing thread or one without the term",
        _parse_thread_term,
        _thread_has_term,
    ),
    StoreIndex(
        Kind.TIME,
        "the time index leads to a missing thread or one with another time",
        _parse_time_entry,
        _has_time_entry,
    ),
)


def entries_of_checkpoint(namespace: NamespaceRef, record: CheckpointRecord) -> list[bytes]:
    """Return the index entries that must lead to a checkpoint, and to its thread."""
    found = [keys.with_term(term, record.id, namespace) for term in record.terms]
    found += [keys.thread_with_term(term, namespace.thread) for term in record.thread_terms]
    if record.parent is not None:
        found.append(keys.children(namespace, record.parent) + keys.text(record.id))
    return found


def entries_of_thread(thread: Thread) -> list[bytes]:
    """Return the entries of the time index that must lead to a thread."""
    return [entry.key() for entry in thread_record.entries(thread)]


def add(writer: Writer, entry: bytes) -> None:
    """Write an index entry, unless it exists."""
    found = writer.raw(entry)
    if found is None or found[1]:
        writer.put(entry, b"")
