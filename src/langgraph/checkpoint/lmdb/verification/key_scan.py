"""Scans over keys with few seeks: thread numbers, unknown keys, and totals."""

from __future__ import annotations

from collections.abc import Iterator

from langgraph.checkpoint.lmdb.engine import counts, thread_record
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.format.keys import Kind
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Reader

SCAN_BATCH = 5000
"""Keys that are read in one snapshot."""
_STORE = b"\x00"
_STORE_KEYS = frozenset((keys.FORMAT, keys.NEXT_THREAD, keys.COUNTS, keys.SWEEP_LEASE))
THREAD_KINDS = (
    Kind.LAYER,
    Kind.LAYER_USER,
    Kind.NAMESPACE,
    Kind.ORPHANED,
    Kind.SHARED_REFS,
    Kind.THREAD,
    Kind.TOMBSTONE,
)
"""Kinds whose letter is followed by a thread number."""
_KINDS = frozenset((_STORE, Kind.THREAD_ID, Kind.TIME, Kind.THREAD_TERM, Kind.TERM, *THREAD_KINDS))
"""Kinds that begin a key."""
_PAIRS = (Kind.LAYER_USER, Kind.SHARED_REFS)
"""Kinds whose keys have the numbers of two threads."""
_RECORDS_OF_THREAD = frozenset(
    (Kind.CHECKPOINT, Kind.CHUNK, Kind.COMPACTED, Kind.CHILD, Kind.WRITES)
)
"""Kinds that follow the key of a thread."""
_END = b"\xff" * 512


def thread_numbers(kv: KeyValueStore) -> list[int]:
    """Return the numbers of all threads with any record; one seek each."""
    found: set[int] = set()
    for kind in THREAD_KINDS:
        start: bytes | None = kind
        while start is not None:
            with kv.read() as reader:
                for count, (number, key) in enumerate(numbers(reader, kind, start)):
                    if count == SCAN_BATCH:
                        start = key
                        break
                    found.add(number)
                else:
                    start = None
    return sorted(found)


def unknown_keys(reader: Reader) -> Iterator[bytes]:
    """Yield the keys that no release writes; one seek per kind and per thread."""
    at = b""
    while (key := reader.first_key(at, _END)) is not None:
        at = key + b"\x00"
        kind = key[:1]
        if kind == _STORE:
            if key not in _STORE_KEYS:
                yield key
            continue
        if kind == Kind.SNAPSHOTS and key != kind:  # checked as a store of its own
            at = keys.prefix_end(kind)
            continue
        if kind not in _KINDS:
            yield key
            continue
        if kind not in THREAD_KINDS:
            at = keys.prefix_end(kind)
            continue
        try:
            _, end = keys.read_number(key, 1)
        except IntegrityError:
            yield key
            continue
        if kind == Kind.NAMESPACE:
            at = keys.prefix_end(key[:end])
        elif kind == Kind.THREAD:
            record_kind = key[end : end + 1]
            if record_kind in _RECORDS_OF_THREAD:
                at = keys.prefix_end(key[: end + 1])
            elif record_kind:
                yield key
        elif not _ends_at(key, end, before_number=kind in _PAIRS):
            yield key


def _ends_at(key: bytes, at: int, *, before_number: bool) -> bool:
    """Return True if a key ends at an offset, or with one more number there."""
    try:
        return (keys.read_number(key, at)[1] if before_number else at) == len(key)
    except IntegrityError:
        return False


def totals(reader: Reader) -> tuple[counts.Counts, int, bool]:
    """Add up the records of threads and layers.

    Returns:
        The sums, the greatest thread number of any record, and True if all thread records could be
        read.
    """
    total, last, complete = counts.NOTHING, 0, True
    for kind in THREAD_KINDS:
        for number, key in numbers(reader, kind):
            last = max(last, number)
            if kind in (Kind.THREAD, Kind.LAYER) and keys.read_number(key, 1)[1] == len(key):
                try:
                    share = thread_record.counts_of(
                        thread_record.decode(key, reader.get(key) or b"")
                    )
                    total = counts.Counts(*(a + b for a, b in zip(total, share, strict=True)))
                except IntegrityError:
                    complete = False
    return total, last, complete


def numbers(
    reader: Reader, prefix: bytes, start: bytes | None = None, malformed: list[bytes] | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield each number that follows a prefix, with the first key that has it; one seek each.

    Args:
        reader: The snapshot.
        prefix: The bytes before the number.
        start: The first key to read, if not the first one with the prefix.
        malformed: A list to which keys without a valid number are added.
    """
    at, stop = start or prefix, keys.prefix_end(prefix)
    while (key := reader.first_key(at, stop)) is not None:
        try:
            number, end = keys.read_number(key, len(prefix))
        except IntegrityError:
            if malformed is not None:
                malformed.append(key)
            at = key + b"\x00"
            continue
        yield number, key
        at = keys.prefix_end(key[:end])


def has_prefix(reader: Reader, prefix: bytes) -> bool:
    """Return True if any key begins with a prefix."""
    return reader.first_key(prefix, keys.prefix_end(prefix)) is not None
