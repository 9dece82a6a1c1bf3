"""Repair of a store: every index and count is made again from the records.

    1  records of the store itself, so that threads can be saved
    2  thread by thread: what cannot be read goes; names, indexes and the thread's record
    3  who uses whose chunks
    4  chunks that nobody needs
    5  entries of indexes that lead to nothing, and the counts

Each step is a transaction, and none of them frees what one before it might still have to settle: a
process that dies leaves a store that can be repaired again. What has a value and is deleted is in
the quarantine first.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from langgraph.checkpoint.lmdb.engine import counts, garbage, leases, store, threads
from langgraph.checkpoint.lmdb.errors import FormatVersionError, IntegrityError, ReadOnlyError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.verification import (
    index_check,
    key_scan,
    report,
    thread_repair,
    verify,
)
from langgraph.checkpoint.lmdb.verification.quarantine import Quarantine

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.engine.options import StoreOptions
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Progress, Reader, Writer
    from langgraph.checkpoint.lmdb.verification.report import Problem, VerifyReport

_T = TypeVar("_T")

_ROUNDS = 3
"""What a repair uncovers, another one repairs."""
_AT_ONCE = 1000


def repair(
    kv: KeyValueStore, options: StoreOptions, progress: Progress | None = None
) -> VerifyReport:
    """Check a store, and repair what is wrong.

    Args:
        kv: The store.
        settings: How it is used.
        progress: As for `verify`.

    Raises:
        FormatVersionError: A newer release wrote some records; nothing is changed.
        ReadOnlyError: The store was opened for reading.
    """
    if kv.readonly:
        raise ReadOnlyError("a store that was opened for reading cannot be repaired")
    before = after = verify.verify(kv, progress)
    quarantine = Quarantine(kv.folder)
    lost: list[Problem] = []
    for _ in range(_ROUNDS):
        if not after.problems or after.records_unchecked is not None:
            break
        _refuse_newer(after)
        lost += _Repair(kv, options, quarantine).run()
        after = verify.verify(kv)
    left = set(after.problems)
    repaired = [replace(p, outcome=report.REPAIRED) for p in before.problems if p not in left]
    return replace(after, problems=(*repaired, *lost, *after.problems), quarantine=quarantine.path)


def _refuse_newer(found: VerifyReport) -> None:
    for problem in found.problems:
        if problem.kind == report.NEWER:
            raise FormatVersionError(
                problem.message, advice="Repair the store with the release that wrote it."
            )


class _Repair:
    def __init__(self, kv: KeyValueStore, options: StoreOptions, quarantine: Quarantine) -> None:
        self.kv = kv
        self.options = options
        self.quarantine = quarantine

    def run(self) -> list[Problem]:
        lost: list[Problem] = []
        self._write(_restore_store)
        numbers = key_scan.thread_numbers(self.kv)
        has_unreadable = [number for number in reversed(numbers) if self._is_harmed(number)]
        self._write(self._remove_foreign)
        deleted = set(filter(self._is_deleted, has_unreadable))
        for number in deleted:  # what users have deleted is nothing to keep
            self.kv.write(partial(_forget, number))
        for number in has_unreadable:
            if number not in deleted:
                lost += self._write(partial(self._mend, number))
        users, owners = set(has_unreadable), set(has_unreadable)
        for number in has_unreadable:
            users |= self._users(number)
        for number in sorted(users):
            owners |= self._write(partial(_restore_pins, number))
        for number in sorted(owners):
            write = self.kv.write if number in deleted else self._write
            write(partial(_restore_chunks, number))
        for letter, (_, is_stale) in index_check.STORE_WIDE.items():
            self._remove_stale(letter, is_stale)
        self._write(_restore_store)
        return lost

    def _write(self, apply: Callable[[Writer], _T]) -> _T:
        return self.quarantine.run(self.kv, apply)

    def _is_harmed(self, number: int) -> bool:
        with self.kv.read() as reader:
            return bool(verify.inspect(reader, number).problems)

    def _is_deleted(self, number: int) -> bool:
        with self.kv.read() as reader:
            return (
                reader.raw(keys.thread_number(number)) is None
                and reader.raw(keys.tombstone(number)) is not None
            )

    def _users(self, owner: int) -> set[int]:
        prefix = keys.shared_refs(owner)
        with self.kv.read() as reader:
            found = [*reader.keys(prefix, keys.prefix_end(prefix))]
        return {keys.read_number(key, len(prefix))[0] for key in found}

    def _remove_foreign(self, writer: Writer) -> None:
        for key in list(key_scan.unknown_keys(writer)):
            writer.delete(key)

    def _mend(self, number: int, writer: Writer) -> list[Problem]:
        live = writer.raw(keys.thread_number(number)) is not None
        writer.delete(keys.tombstone(number))
        if not live and not any(_has_records(writer, number, kind) for kind in (b"c", b"w")):
            thread_repair.delete_records(writer, number)
            return []
        return thread_repair.repair_thread(writer, number, self.options)

    def _remove_stale(self, letter: bytes, is_stale: Callable[[Reader, bytes], bool]) -> None:
        found: list[bytes] = []

        def look(reader: Reader, key: bytes) -> None:
            if is_stale(reader, key):
                found.append(key)

        key_scan.scan_keys(self.kv, letter, keys.prefix_end(letter), look)
        for start in range(0, len(found), _AT_ONCE):
            self._write(partial(_delete_if, found[start : start + _AT_ONCE], is_stale))


def _forget(number: int, writer: Writer) -> None:
    thread_repair.delete_records(writer, number)


def _delete_if(
    found: list[bytes], is_stale: Callable[[Reader, bytes], bool], writer: Writer
) -> None:
    for key in found:
        if is_stale(writer, key):
            writer.delete(key)


def _has_records(reader: Reader, number: int, kind: bytes) -> bool:
    prefix = keys.of_thread(kind, number)
    return next(iter(reader.keys(prefix, keys.prefix_end(prefix))), None) is not None


def _thread(reader: Reader, number: int) -> Thread | None:
    key = keys.thread_number(number)
    record = reader.get(key)
    return None if record is None else threads.decode(key, record)


def _restore_pins(number: int, writer: Writer) -> set[int]:
    thread = _thread(writer, number)
    owners = garbage.rebuild_shared_refs(writer, number, thread)
    if thread is not None:
        threads.save(writer, thread)
        for entry in index_check.of_thread(thread):
            index_check.add(writer, entry)
    return owners


def _restore_chunks(number: int, writer: Writer) -> None:
    garbage.free_unused_chunks(writer, number, _thread(writer, number))


def _restore_store(writer: Writer) -> None:
    """Make the records that the store has of itself again."""
    total, last, _ = key_scan.totals(writer)
    counts.write(writer, total)
    try:
        envelope.unseal(keys.FORMAT, writer.get(keys.FORMAT) or b"")
    except IntegrityError:
        store.write_format(writer)
    try:
        upcoming = threads.next_number(writer)
    except IntegrityError:
        upcoming = 0
    if upcoming <= last:
        payload = keys.number(last + 1)
        sealed = envelope.seal(keys.NEXT_THREAD, envelope.pack(payload, None))
        writer.put(keys.NEXT_THREAD, sealed)
    try:
        leases.read(writer)
    except IntegrityError:
        writer.delete(keys.SWEEP_LEASE)
