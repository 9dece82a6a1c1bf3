"""Repair of one thread: unreadable records are removed, the rest is rebuilt, chunks are kept.

A thread with unreadable records can also be removed as a whole.
"""

from __future__ import annotations

from contextlib import suppress

from langgraph.checkpoint.lmdb.engine import (
    channel_history,
    checkpoints,
    counts,
    garbage,
    layers,
    namespaces,
    sharing,
    states,
    threads,
)
from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
from langgraph.checkpoint.lmdb.engine.options import StoreOptions
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.engine.time_index import INDEX_LAG_MS
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import Kind, NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer
from langgraph.checkpoint.lmdb.models import LOST, Problem
from langgraph.checkpoint.lmdb.verification import index_check, key_scan, kinds
from langgraph.checkpoint.lmdb.verification.consistency import check_thread
from langgraph.checkpoint.lmdb.verification.thread_check import CheckpointKey


def repair_thread(writer: Writer, number: int, options: StoreOptions) -> list[Problem]:
    """Repair a live thread, or a thread with checkpoints or writes but no record of its own.

    Returns:
        The data that was lost, as problems.
    """
    repair = _ThreadRepair(writer, number, options)
    repair.run()
    return repair.lost


def remove_thread(writer: Writer, thread_id: str, number: int | None) -> bool:
    """Delete a thread with unreadable records, and every index entry that leads to it.

    A damaged record does not tell which entries lead to it, so all entries are read.

    Args:
        writer: The write transaction.
        thread_id: The thread.
        number: The number of the thread. None: find it.

    Returns:
        False if neither the key of the id nor the record of the thread tells the number.
    """
    found = _number_of(writer, thread_id) if number is None else number
    if found is None:
        return False
    writer.delete(keys.thread_id(thread_id))
    delete_records(writer, found)
    with suppress(IntegrityError):  # a damaged layer remains, and `verify` reports it
        sharing.release(writer, found, layers.by_user(writer).get(found, ()))
    for index in index_check.STORE_INDEXES:
        if index is not index_check.THREAD_IDS:
            for key in list(index.entries_of(writer, found)):
                writer.delete(key)
    owners = garbage.rebuild_shared_refs(writer, found, None)
    garbage.free_unused_chunks(writer, found, None)
    for owner in owners:
        garbage.free_orphaned_chunks(writer, owner)
    counts.write(writer, key_scan.totals(writer)[0])
    return True


def _number_of(reader: Reader, thread_id: str) -> int | None:
    """Return the number of a thread, from the key of its id or else from its record."""
    name = keys.thread_id(thread_id)
    with suppress(IntegrityError):
        number, _ = keys.read_number(envelope.unseal(name, reader.get(name) or b""), 0)
        if _id_of(reader, number) in (thread_id, None):
            return number
    for number, _ in key_scan.numbers(reader, Kind.THREAD):
        if _id_of(reader, number) == thread_id:
            return number
    return None


def _id_of(reader: Reader, number: int) -> str | None:
    """Return the id in the record of a thread; None if the record is missing or unreadable."""
    with suppress(IntegrityError):
        thread = threads.read(reader, number)
        return None if thread is None else thread.id
    return None


def delete_records(writer: Writer, number: int) -> None:
    """Delete all records of a thread except its chunks, readable or not."""
    for kind in (Kind.CHECKPOINT, Kind.CHILD, Kind.WRITES, Kind.COMPACTED):
        _delete_prefix(writer, keys.of_thread(kind, number))
    _delete_prefix(writer, keys.namespaces(number))
    writer.delete(keys.thread_number(number))
    writer.delete(keys.tombstone(number))


def _delete_prefix(writer: Writer, prefix: bytes) -> None:
    writer.delete_range(prefix, keys.prefix_end(prefix))


class _ThreadRepair:
    """A repair of one thread in one transaction, on the result of a check."""

    def __init__(self, writer: Writer, number: int, options: StoreOptions) -> None:
        self.writer = writer
        self.number = number
        self.options = options
        self.lost: list[Problem] = []
        self.check = check_thread(writer, number, options.state_of)
        self.thread = self.check.thread or self._recreate_thread()

    def run(self) -> None:
        check = self.check
        self._rebuild_thread_id()
        self._rebuild_namespaces()
        self._report_missing_records()
        for checkpoint_key in self._sound_checkpoints():
            self._detach_from_lost_parent(checkpoint_key)
        for checkpoint_key in sorted(check.broken):
            self._delete_checkpoint(checkpoint_key)
        for checkpoint_key in sorted(check.lost_history - check.broken):
            self._mark_history_lost(checkpoint_key)
        for key in check.unreadable:
            self._delete_record(key)
        self._rebuild_checkpoint_indexes()
        used = self._delete_empty_namespaces()
        if used:
            self._save_thread(used)
        else:
            delete_records(self.writer, self.number)
            self.writer.delete(keys.thread_id(self.thread.id))

    def _recreate_thread(self) -> Thread:
        """Return a new record for a thread without a readable record."""
        entries = self.check.checkpoints.values()
        times = [entry.stored_at for entry in entries if entry.readable]
        now = self.options.now()
        updated = max(times, default=now)
        thread = Thread(
            number=self.number,
            id=self._find_thread_id(),
            created=min(times, default=now),
            updated=updated,
            indexed_at=updated,
            generation=now,  # above every earlier generation, so that caches are invalid
            needs_trim=True,
        )
        what = "the record of the thread with its times and its TTL is lost"
        self.lost.append(Problem(kinds.LOST_THREAD, what, thread_id=thread.id, outcome=LOST))
        return thread

    def _find_thread_id(self) -> str:
        """Return the id that leads to the thread, or a new one."""
        prefix = keys.thread_id("")
        for key in self.writer.keys(prefix, keys.prefix_end(prefix)):
            part = key[len(prefix) :]
            try:
                payload = envelope.unseal(key, self.writer.get(key) or b"")
                if payload == keys.number(self.number) and not keys.is_truncated(part):
                    return keys.decoded(part, key)
            except IntegrityError:
                continue
        return self._new_thread_id()

    def _new_thread_id(self) -> str:
        thread_id = f"recovered-{self.number}"
        while self.writer.raw(keys.thread_id(thread_id)) is not None:
            thread_id += "+"
        what = "the thread's id is lost"
        self.lost.append(Problem(kinds.LOST_NAME, what, thread_id=thread_id, outcome=LOST))
        return thread_id

    def _rebuild_thread_id(self) -> None:
        """Write the index entry of the thread's id, or of a new id if another thread has it."""
        name = keys.thread_id(self.thread.id)
        payload = keys.number(self.number)
        try:
            record = self.writer.get(name)
            taken = record is not None and envelope.unseal(name, record) != payload
        except IntegrityError:
            taken = False
        if taken and not index_check.THREAD_IDS.is_stale(self.writer, name):
            self.thread.id = self._new_thread_id()
            name = keys.thread_id(self.thread.id)
        self.writer.put(name, envelope.seal(name, envelope.pack(payload, None)))

    def _rebuild_namespaces(self) -> None:
        """Write a record for each used namespace without a readable one."""
        names, unnamed = self.check.names, self.check.unnamed_namespaces
        lost_names = set(map(self._name_in_key, unnamed)) - {None, "", *names.values()}
        for key in unnamed:
            self.writer.delete(key)
        root = self.check.root
        nameless = sorted({root, *self.check.used} - names.keys())
        is_only_one = len({*nameless} - {root}) == len(lost_names) == 1
        for namespace in nameless:
            if namespace == root:
                name = ""
            elif is_only_one:
                name = lost_names.pop() or ""
            else:
                name = f"recovered-{namespace.number}"
                while name in names.values():
                    name += "+"
                what = f"the name of namespace {namespace.number} is lost"
                self._report(kinds.LOST_NAME, what, name)
            names[namespace] = name
            namespaces.write(self.writer, namespace, name)

    def _name_in_key(self, key: bytes) -> str | None:
        """Return the name of a namespace from its key, or None if the key has it truncated."""
        part = key[len(keys.namespaces(self.number)) :]
        try:
            return None if keys.is_truncated(part) else keys.decoded(part, key)
        except IntegrityError:
            return None

    def _report_missing_records(self) -> None:
        """Report records that are missing without a trace except in indexes and counts."""
        check, recorded = self.check, self.check.thread
        stored = check.checkpoints
        count = 0 if recorded is None else recorded.checkpoints - len(stored)
        if count > 0:  # then each missing parent was stored
            parents = {
                CheckpointKey(key.namespace, keys.text(entry.parent))
                for key, entry in stored.items()
                if entry.parent is not None
            }
            check.missing |= parents - stored.keys()
        what = "the checkpoint is missing"
        for namespace, part in sorted(check.missing):
            checkpoint_id = None if keys.is_truncated(part) else part.decode("utf-8", "replace")
            name = check.names.get(namespace)
            self._report(kinds.LOST_CHECKPOINT, what, name, checkpoint_id)
        for _ in range(count - len(check.missing)):
            self._report(kinds.LOST_CHECKPOINT, "a checkpoint is missing")
        if recorded is None or check.has_unreadable or check.missing:
            return
        if recorded.writes > check.writes:
            what = f"{recorded.writes - check.writes} pending writes are missing"
            self._report(kinds.LOST_WRITES, what)
        elif count <= 0 and recorded.size > check.total_size():
            # Only compacted history can be missing then.
            roots = (key for key, entry in stored.items() if entry.parent is None)
            check.lost_history.update(roots)

    def _detach_from_lost_parent(self, checkpoint_key: CheckpointKey) -> None:
        """Make a checkpoint a root if its parent is missing or broken, with compacted history."""
        check, options = self.check, self.options
        namespace, parent = checkpoint_key.namespace, check.checkpoints[checkpoint_key].parent
        if parent is None:
            return
        if CheckpointKey(namespace, keys.text(parent)) not in check.broken | check.missing:
            return
        record = self._read(checkpoint_key)
        complete = channel_history.compact(
            self.writer,
            namespace,
            record,
            options.is_ephemeral,
            options.level,
            lambda value: check.values.problem(value) is None,
        )
        if not complete:
            what = "a part of the history before the checkpoint is lost"
            self._report_checkpoint(kinds.LOST_HISTORY, what, checkpoint_key)
        record.parent = None
        checkpoints.write(self.writer, namespace, record, options.level)

    def _delete_checkpoint(self, checkpoint_key: CheckpointKey) -> None:
        """Delete a checkpoint with its pending writes and its compacted history."""
        namespace, part = checkpoint_key
        what = "the checkpoint is damaged, and was removed"
        self._report_checkpoint(kinds.LOST_CHECKPOINT, what, checkpoint_key)
        self.writer.delete(keys.checkpoints(namespace) + part)
        checkpoint_id = self.check.checkpoints[checkpoint_key].id
        if checkpoint_id is not None:
            _delete_prefix(self.writer, keys.writes(namespace, checkpoint_id))
            _delete_prefix(self.writer, keys.compacted(namespace, checkpoint_id))

    def _mark_history_lost(self, checkpoint_key: CheckpointKey) -> None:
        checkpoint_id = self.check.checkpoints[checkpoint_key].id or ""
        channel_history.mark_lost(
            self.writer, checkpoint_key.namespace, checkpoint_id, self.options.level
        )
        what = "the compacted history of the checkpoint is lost"
        self._report_checkpoint(kinds.LOST_HISTORY, what, checkpoint_key)

    def _delete_record(self, key: bytes) -> None:
        if key.startswith(keys.of_thread(Kind.WRITES, self.number)):
            what = "pending writes of a checkpoint that is not stored are lost"
            self.lost.append(
                Problem(
                    kinds.LOST_WRITES,
                    what,
                    thread_id=self.thread.id,
                    record=key.hex(),
                    outcome=LOST,
                )
            )
        self.writer.delete(key)

    def _rebuild_checkpoint_indexes(self) -> None:
        """Write the index entries of all checkpoints; delete the other entries of children."""
        prefix = keys.of_thread(Kind.CHILD, self.number)
        entries: set[bytes] = set()
        for checkpoint_key in self._sound_checkpoints():
            namespace, record = checkpoint_key.namespace, self._read(checkpoint_key)
            entries.update(index_check.entries_of_checkpoint(namespace, record))
        for entry in entries:
            index_check.add(self.writer, entry)
        for key in list(self.writer.keys(prefix, keys.prefix_end(prefix))):
            if key not in entries:
                self.writer.delete(key)

    def _delete_empty_namespaces(self) -> set[NamespaceRef]:
        """Delete the records of empty namespaces; return the other namespaces."""
        used = {
            namespace
            for namespace in self.check.names
            if any(
                key_scan.has_prefix(self.writer, keys.of_namespace(kind, namespace))
                for kind in (Kind.CHECKPOINT, Kind.WRITES)
            )
        }
        for namespace, name in self.check.names.items():
            if namespace != self.check.root and namespace not in used:
                self.writer.delete(keys.namespace(self.number, name))
        return used

    def _save_thread(self, used: set[NamespaceRef]) -> None:
        thread = self.thread
        thread.next_namespace = max(thread.next_namespace, *(n.number for n in used)) + 1
        last_segment = max(self.check.chunks.segment_numbers(self.number), default=-2)
        thread.next_segment = max(thread.next_segment, last_segment // 2 * 2 + 2)  # always even
        if not 0 <= thread.updated - thread.indexed_at < INDEX_LAG_MS:
            thread.indexed_at = thread.updated
        states.refresh(self.writer, thread, self.options.state_of)
        threads.save(self.writer, thread)
        for entry in index_check.entries_of_thread(thread):
            index_check.add(self.writer, entry)

    def _sound_checkpoints(self) -> list[CheckpointKey]:
        return sorted(self.check.checkpoints.keys() - self.check.broken)

    def _read(self, checkpoint_key: CheckpointKey) -> CheckpointRecord:
        namespace, part = checkpoint_key
        key = keys.checkpoints(namespace) + part
        return checkpoints.decode(key, self.writer.get(key) or b"")

    def _report_checkpoint(self, kind: str, message: str, checkpoint_key: CheckpointKey) -> None:
        name = self.check.names.get(checkpoint_key.namespace)
        self._report(kind, message, name, self.check.checkpoints[checkpoint_key].id)

    def _report(
        self, kind: str, message: str, name: str | None = None, checkpoint_id: str | None = None
    ) -> None:
        self.lost.append(
            Problem(
                kind,
                message,
                thread_id=self.thread.id,
                checkpoint_ns=name,
                checkpoint_id=checkpoint_id,
                outcome=LOST,
            )
        )
