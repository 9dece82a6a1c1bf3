"""Repair of a store: all indexes and counts are rebuilt from the readable records.

1. The store's own records are rebuilt, so that threads can be saved.
2. Records of unknown kinds are removed.
3. Damaged threads, and threads that show damaged layers, get records of their own.
4. In each damaged thread, unreadable records are removed. Its names, indexes and thread record are
   rebuilt. All records of a deleted thread are removed.
5. The references to shared chunks are rebuilt.
6. Chunks that are not needed are removed.
7. Stale index entries are removed, and the counts are rebuilt.

Each step is one or more transactions. Chunks are removed after all references to them are rebuilt,
so after a crash another repair completes the work. Each record that holds data of its own is
written to the quarantine before it is removed, except records of deleted threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from langgraph.checkpoint.lmdb.engine import counts, garbage, leases, records, store, threads
from langgraph.checkpoint.lmdb.engine.options import StoreOptions
from langgraph.checkpoint.lmdb.errors import FormatVersionError, IntegrityError, ReadOnlyError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import Kind
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Progress, Writer
from langgraph.checkpoint.lmdb.models import REPAIRED, Problem, VerifyReport
from langgraph.checkpoint.lmdb.verification import index_check, key_scan, kinds, layer_repair
from langgraph.checkpoint.lmdb.verification.consistency import check_thread
from langgraph.checkpoint.lmdb.verification.index_check import StoreIndex
from langgraph.checkpoint.lmdb.verification.parts import parts_of
from langgraph.checkpoint.lmdb.verification.quarantine import Quarantine
from langgraph.checkpoint.lmdb.verification.thread_repair import delete_records, repair_thread
from langgraph.checkpoint.lmdb.verification.verify import verify

T = TypeVar("T")

_MAX_ROUNDS = 3
"""Repairs of one call: a repair may reveal further problems."""
_DELETE_BATCH = 1000
"""Index entries that are deleted in one transaction."""


def repair(
    kv: KeyValueStore, options: StoreOptions, progress: Progress | None = None
) -> VerifyReport:
    """Check a store, and repair its problems.

    Args:
        kv: The store.
        options: Options of the store.
        progress: As for `verify`.

    Raises:
        FormatVersionError: A newer release wrote some records. Nothing is changed.
        ReadOnlyError: The store is open for reading only.
    """
    if kv.readonly:
        raise ReadOnlyError("a store that is open for reading only cannot be repaired")
    before = after = verify(kv, options, progress)
    quarantine = Quarantine(kv.folder)
    lost: list[Problem] = []
    for _ in range(_MAX_ROUNDS):
        if not after.problems or after.records_unchecked is not None:
            break
        _reject_newer_records(after)
        for part in parts_of(kv, options):
            lost += map(part.describe, _Repair(part.kv, part.options, quarantine).run())
        after = verify(kv, options)
    left = set(after.problems)
    repaired = [replace(p, outcome=REPAIRED) for p in before.problems if p not in left]
    return replace(after, problems=(*repaired, *lost, *after.problems), quarantine=quarantine.path)


def _reject_newer_records(report: VerifyReport) -> None:
    for problem in report.problems:
        if problem.kind == kinds.NEWER:
            raise FormatVersionError(
                problem.message, advice="Repair the store with the release that wrote it."
            )


class _Repair:
    """A repair of all problems that one verification finds."""

    def __init__(self, kv: KeyValueStore, options: StoreOptions, quarantine: Quarantine) -> None:
        self.kv = kv
        self.options = options
        self.quarantine = quarantine

    def run(self) -> list[Problem]:
        """Return the data that was lost, as problems."""
        lost: list[Problem] = []
        self._write(_rebuild_store_records)
        damaged = self._damaged_threads()
        self._write(_delete_unknown_records)
        unused = self._dissolve_layers(damaged)
        deleted = {number for number in damaged if self._is_deleted(number)}
        for number in deleted:
            self.kv.write(partial(delete_records, number=number))
        for number in damaged:
            if number not in deleted:
                lost += self._write(_repair_records, number, self.options)
        self._rebuild_shared_chunks([*damaged, *unused], deleted | unused)
        for index in index_check.STORE_INDEXES:
            self._delete_stale_entries(index)
        self._write(_rebuild_store_records)
        return lost

    def _write(self, apply: Callable[..., T], *arguments: Any) -> T:
        return self.quarantine.run(self.kv, apply, *arguments)

    def _damaged_threads(self) -> list[int]:
        """Return the numbers of the threads with problems, the newest thread first."""
        damaged: list[int] = []
        for number in reversed(key_scan.thread_numbers(self.kv)):
            with self.kv.read() as reader:
                if check_thread(reader, number, self.options.state_of).problems:
                    damaged.append(number)
        return damaged

    def _dissolve_layers(self, damaged: list[int]) -> set[int]:
        """Let damaged threads, and the users of damaged layers, have all their records themselves.

        Layers are removed from `damaged`, and these users are added.

        Returns:
            The layers that no thread shows any more. Their chunks are still stored.
        """
        with self.kv.read() as reader:
            users, broken = layer_repair.users_to_detach(reader, damaged)
        for number, used in users.items():
            self._write(layer_repair.detach, number, used)
        concerned = broken | {layer.number for used in users.values() for layer in used}
        self._write(layer_repair.delete_damaged, concerned)
        unused = self.kv.write(partial(layer_repair.delete_unused, numbers=concerned))
        damaged[:] = sorted({*damaged, *users} - concerned, reverse=True)
        return unused

    def _is_deleted(self, number: int) -> bool:
        with self.kv.read() as reader:
            return (
                reader.raw(keys.thread_number(number)) is None
                and reader.raw(keys.tombstone(number)) is not None
            )

    def _rebuild_shared_chunks(self, damaged: list[int], deleted: set[int]) -> None:
        """Rebuild references to shared chunks, and then delete chunks that are not needed."""
        users = set(damaged)
        for number in damaged:
            users |= self._users_of(number)
        owners = set(damaged)
        for number in sorted(users):
            owners |= self._write(_rebuild_shared_refs, number)
        for number in sorted(owners):
            if number in deleted:
                self.kv.write(partial(_delete_unneeded_chunks, number=number))
            else:
                self._write(_delete_unneeded_chunks, number)

    def _users_of(self, owner: int) -> set[int]:
        """Return the threads that the references to an owner's chunks name."""
        prefix = keys.shared_refs(owner)
        with self.kv.read() as reader:
            found = list(reader.keys(prefix, keys.prefix_end(prefix)))
        return {keys.read_number(key, len(prefix))[0] for key in found}

    def _delete_stale_entries(self, index: StoreIndex) -> None:
        stale, _ = index.find_stale(self.kv)
        for start in range(0, len(stale), _DELETE_BATCH):
            self._write(_delete_if_stale, index, stale[start : start + _DELETE_BATCH])


def _rebuild_store_records(writer: Writer) -> None:
    """Rebuild the counts; replace the format, the thread counter and the sweep lease if damaged."""
    total, last, _ = key_scan.totals(writer)
    counts.write(writer, total)
    if not writer.many_writers:
        _rebuild_next_thread(writer, last)
    try:
        envelope.unseal(keys.FORMAT, writer.get(keys.FORMAT) or b"")
    except IntegrityError:
        store.write_format(writer)
    try:
        leases.read(writer)
    except IntegrityError:
        writer.delete(keys.SWEEP_LEASE)


def _rebuild_next_thread(writer: Writer, last: int) -> None:
    try:
        next_thread = threads.next_number(writer)
    except IntegrityError:
        next_thread = 0
    if next_thread <= last or (last and writer.raw(keys.NEXT_THREAD) is None):
        records.put(writer, keys.NEXT_THREAD, keys.number(max(last + 1, next_thread)))


def _delete_unknown_records(writer: Writer) -> None:
    for key in list(key_scan.unknown_keys(writer)):
        writer.delete(key)


def _repair_records(writer: Writer, number: int, options: StoreOptions) -> list[Problem]:
    """Repair the records of a thread; return the data that was lost, as problems."""
    writer.delete(keys.tombstone(number))
    if writer.raw(keys.thread_number(number)) is not None or any(
        key_scan.has_prefix(writer, keys.of_thread(kind, number))
        for kind in (Kind.CHECKPOINT, Kind.WRITES)
    ):
        return repair_thread(writer, number, options)
    delete_records(writer, number)
    return []


def _rebuild_shared_refs(writer: Writer, number: int) -> set[int]:
    """Rebuild a thread's references to other threads' chunks; return the threads concerned."""
    thread = threads.read_any(writer, number)
    owners = garbage.rebuild_shared_refs(writer, number, thread)
    if thread is not None:
        threads.save_any(writer, thread)
    if thread is not None and writer.raw(keys.thread_number(number)) is not None:
        for entry in index_check.entries_of_thread(thread):
            index_check.add(writer, entry)
    return owners


def _delete_unneeded_chunks(writer: Writer, number: int) -> None:
    garbage.free_unused_chunks(writer, number, threads.read_any(writer, number))


def _delete_if_stale(writer: Writer, index: StoreIndex, entries: list[bytes]) -> None:
    for key in entries:
        if index.is_stale(writer, key):
            writer.delete(key)
