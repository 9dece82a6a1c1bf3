"""What keys there are, found with few seeks: threads, kinds of records, and what is not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import counts, threads
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Reader

_AT_ONCE = 5000
"""Keys that are looked at in one snapshot."""
_FIRST, _LAST = b"", b"\xff" * 512
_OF_STORE = frozenset((keys.FORMAT, keys.NEXT_THREAD, keys.COUNTS, keys.SWEEP_LEASE))


def scan_keys(
    kv: KeyValueStore, start: bytes, stop: bytes, look: Callable[[Reader, bytes], None]
) -> None:
    """Look at the keys of a range, in one snapshot after another."""
    while start < stop:
        with kv.read() as reader:
            for count, key in enumerate(reader.keys(start, stop)):
                if count == _AT_ONCE:
                    start = key
                    break
                look(reader, key)
            else:
                return


_NUMBERED = (b"n", b"o", b"p", b"t", b"x")
"""Kinds of keys that go on with the number of a thread."""
_LETTERS = frozenset((b"\x00", b"T", b"e", b"m", b"r", *_NUMBERED))
_OF_THREAD = frozenset((b"c", b"d", b"h", b"k", b"w"))
"""Kinds of keys within those of a thread."""


def thread_numbers(kv: KeyValueStore) -> list[int]:
    """The numbers of all threads that anything is stored of; one seek each."""
    found: set[int] = set()
    for letter in _NUMBERED:
        at, stop = letter, keys.prefix_end(letter)
        while at < stop:
            with kv.read() as reader:
                for _ in range(_AT_ONCE):
                    first = next(iter(reader.keys(at, stop)), None)
                    if first is None:
                        at = stop
                        break
                    try:
                        number, end = keys.read_number(first, 1)
                    except IntegrityError:
                        at = first + b"\x00"
                        continue
                    found.add(number)
                    at = keys.prefix_end(first[:end])
    return sorted(found)


def unknown_keys(reader: Reader) -> Iterator[bytes]:
    """Keys that no record has; seeks from kind to kind, and from thread to thread."""
    at = _FIRST
    while (key := next(iter(reader.keys(at, _LAST)), None)) is not None:
        at = key + b"\x00"
        letter = key[:1]
        if letter == b"\x00":
            if key not in _OF_STORE:
                yield key
            continue
        if letter not in _LETTERS:
            yield key
            continue
        if letter not in _NUMBERED:
            at = keys.prefix_end(letter)
            continue
        try:
            _, end = keys.read_number(key, 1)
        except IntegrityError:
            yield key
            continue
        if letter == b"n":
            at = keys.prefix_end(key[:end])
        elif letter == b"t":
            kind = key[end : end + 1]
            if kind in _OF_THREAD:
                at = keys.prefix_end(key[: end + 1])
            elif kind:
                yield key
        elif not _ends(key, end, letter == b"p"):
            yield key


def _ends(key: bytes, at: int, another: bool) -> bool:
    """Whether a key ends at an offset, or with another number there."""
    try:
        return (keys.read_number(key, at)[1] if another else at) == len(key)
    except IntegrityError:
        return False


def totals(reader: Reader) -> tuple[counts.Counts, int, bool]:
    """The sums of what thread records say; the greatest number of a thread that anything is stored
    of; and whether all of these records could be read."""
    total, last, whole = counts.NOTHING, 0, True
    for letter in _NUMBERED:
        at, stop = letter, keys.prefix_end(letter)
        while (key := next(iter(reader.keys(at, stop)), None)) is not None:
            try:
                number, end = keys.read_number(key, 1)
            except IntegrityError:
                at = key + b"\x00"
                continue
            at = keys.prefix_end(key[:end])
            last = max(last, number)
            if letter == b"t" and end == len(key):
                try:
                    share = threads.counts_of(threads.decode(key, reader.get(key) or b""))
                    total = counts.Counts(*(a + b for a, b in zip(total, share, strict=True)))
                except IntegrityError:
                    whole = False
    return total, last, whole
