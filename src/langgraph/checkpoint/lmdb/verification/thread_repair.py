"""Repairs of one thread's records: what cannot be read goes, all that follows from the rest is made
again. Chunks are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import channel_history, checkpoints, threads
from langgraph.checkpoint.lmdb.engine.threads import ROOT, Thread
from langgraph.checkpoint.lmdb.engine.time_index import INDEX_LAG_MS
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.verification import index_check, report, verify
from langgraph.checkpoint.lmdb.verification.report import LOST, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
    from langgraph.checkpoint.lmdb.engine.options import StoreOptions
    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer
    from langgraph.checkpoint.lmdb.verification.thread_check import ThreadCheck


def repair_thread(writer: Writer, number: int, options: StoreOptions) -> list[Problem]:
    """Mend a thread that readers see, or whose records are all that is left of it.

    Returns:
        What is lost.
    """
    return _ThreadRepair(writer, number, options).run()


def delete_records(writer: Writer, number: int) -> None:
    """Delete all records of a thread but its chunks, whether or not they can be read."""
    for kind in (b"c", b"k", b"w", b"h"):
        _clear(writer, keys.of_thread(kind, number))
    _clear(writer, keys.namespaces(number))
    writer.delete(keys.thread_number(number))
    writer.delete(keys.tombstone(number))


def _clear(writer: Writer, prefix: bytes) -> None:
    writer.delete_range(prefix, keys.prefix_end(prefix))


class _ThreadRepair:
    def __init__(self, writer: Writer, number: int, options: StoreOptions) -> None:
        self.writer = writer
        self.number = number
        self.options = options
        self.lost: list[Problem] = []
        self.found: ThreadCheck = verify.inspect(writer, number)
        self.thread = self.found.thread or self._recreate_thread()

    def run(self) -> list[Problem]:
        writer, number, found = self.writer, self.number, self.found
        self._name_thread()
        self._name_namespaces()
        self._tell_gone()
        self._make_roots()
        for checkpoint_key in found.broken:
            self._remove(checkpoint_key)
        for checkpoint_key in found.lost_history - found.broken:
            channel_history.mark_lost(
                writer, number, checkpoint_key[0], self._id(checkpoint_key), self.options.level
            )
            self._report_lost(report.LOST_HISTORY, "its folded history is lost", checkpoint_key)
        for key in found.unreadable:
            self._remove_record(key)
        self._index_children()
        used = self._drop_empty_namespaces()
        if not used:
            delete_records(writer, number)
            writer.delete(keys.thread(self.thread.id))
            return self.lost
        self._save(used)
        return self.lost

    def _recreate_thread(self) -> Thread:
        """A record for a thread that has lost it."""
        stored = [seen.stored for seen in self.found.checkpoints.values() if seen.readable]
        now = self.options.now()
        updated = max(stored, default=now)
        thread = Thread(
            number=self.number,
            id=self._lost_name(),
            created=min(stored, default=now),
            updated=updated,
            indexed_at=updated,
        )
        thread.generation = now  # greater than any that it had
        thread.needs_trim = True
        what = "the record of the thread is lost, with its times and its time to live"
        self.lost.append(Problem(report.LOST_THREAD, what, thread.id, outcome=LOST))
        return thread

    def _lost_name(self) -> str:
        prefix = keys.thread("")
        for key in self.writer.keys(prefix, keys.prefix_end(prefix)):
            part = key[len(prefix) :]
            try:
                payload = envelope.unseal(key, self.writer.get(key) or b"")
                if payload == keys.number(self.number) and not keys.is_truncated(part):
                    return keys.decoded(part, key)
            except IntegrityError:
                continue
        return self._new_name()

    def _new_name(self) -> str:
        name = f"recovered-{self.number}"
        while self.writer.raw(keys.thread(name)) is not None:
            name += "+"
        self.lost.append(Problem(report.LOST_NAME, "the thread's id is lost", name, outcome=LOST))
        return name

    def _name_thread(self) -> None:
        """See to it that the thread's id leads to it."""
        name = keys.thread(self.thread.id)
        payload = keys.number(self.number)
        try:
            record = self.writer.get(name)
            taken = record is not None and envelope.unseal(name, record) != payload
        except IntegrityError:
            taken = False
        if taken and not index_check.is_stale_name(self.writer, name):
            self.thread.id = self._new_name()
            name = keys.thread(self.thread.id)
        self.writer.put(name, envelope.seal(name, envelope.pack(payload, None)))

    def _name_namespaces(self) -> None:
        """Give every namespace that is used a record."""
        found, names = self.found, self.found.names
        lost = set(map(self._part_of, found.unnamed_namespaces)) - {None, "", *names.values()}
        for key in found.unnamed_namespaces:
            self.writer.delete(key)
        missing = sorted({ROOT, *found.used} - names.keys())
        unknown = [namespace for namespace in missing if namespace != ROOT]
        for namespace in missing:
            name = "" if namespace == ROOT else f"recovered-{namespace}"
            if [namespace] == unknown and len(lost) == 1:
                name = lost.pop() or ""
            elif namespace != ROOT:
                while name in names.values():
                    name += "+"
                text = f"the name of namespace {namespace} is lost"
                self._report(report.LOST_NAME, text, name)
            names[namespace] = name
            threads.write_namespace(self.writer, self.thread, name, namespace)

    def _part_of(self, key: bytes) -> str | None:
        part = key[len(keys.namespaces(self.number)) :]
        try:
            return None if keys.is_truncated(part) else keys.decoded(part, key)
        except IntegrityError:
            return None

    def _id(self, checkpoint_key: tuple[int, bytes]) -> str:
        return self.found.checkpoints[checkpoint_key].id or ""

    def _report_lost(self, kind: str, message: str, checkpoint_key: tuple[int, bytes]) -> None:
        seen = self.found.checkpoints[checkpoint_key]
        self._report(kind, message, self.found.names.get(checkpoint_key[0]), seen.id)

    def _read(self, checkpoint_key: tuple[int, bytes]) -> CheckpointRecord:
        key = keys.checkpoints(self.number, checkpoint_key[0]) + checkpoint_key[1]
        record = self.writer.get(key) or b""
        return checkpoints.decode(key, record, self.number, checkpoint_key[0])

    def _tell_gone(self) -> None:
        """Find out what is gone without a trace but in indexes and counts."""
        found = self.found
        left = self.thread.checkpoints - len(found.checkpoints) if found.thread else 0
        if left > 0:  # then a parent that is not there is one that was
            for (namespace, _), seen in found.checkpoints.items():
                if seen.parent is not None:
                    found.gone.add((namespace, keys.text(seen.parent)))
            found.gone -= found.checkpoints.keys()
        what = "the checkpoint is gone without a trace"
        for namespace, part in sorted(found.gone):
            name = None if keys.is_truncated(part) else part.decode("utf-8", "replace")
            self._report(report.LOST_CHECKPOINT, what, found.names.get(namespace), name)
        for _ in range(left - len(found.gone)):
            self._report(report.LOST_CHECKPOINT, "a checkpoint is gone without a trace")
        if found.thread is None or found.has_unreadable or found.gone:
            return
        if found.thread.writes > found.writes:
            count = found.thread.writes - found.writes
            self._report(report.LOST_WRITES, f"{count} pending writes are gone without a trace")
        elif left <= 0 and found.thread.size > found.total_size():  # what else could it be?
            roots = (
                checkpoint_key
                for checkpoint_key, seen in found.checkpoints.items()
                if seen.parent is None
            )
            found.lost_history.update(roots)

    def _report(
        self, kind: str, message: str, name: str | None = None, checkpoint_id: str | None = None
    ) -> None:
        self.lost.append(Problem(kind, message, self.thread.id, name, checkpoint_id, outcome=LOST))

    def _make_roots(self) -> None:
        """Make roots of the checkpoints whose parents go, while these can still be read."""
        found, writer, level = self.found, self.writer, self.options.level
        for checkpoint_key, seen in found.checkpoints.items():
            namespace = checkpoint_key[0]
            if checkpoint_key in found.broken or seen.parent is None:
                continue
            if (namespace, keys.text(seen.parent)) not in found.broken | found.gone:
                continue
            record = self._read(checkpoint_key)
            whole = channel_history.compact(
                writer,
                self.number,
                namespace,
                record,
                self.options.is_ephemeral,
                level,
                lambda value: found.value_problem(value) is None,
            )
            if not whole:
                self._report_lost(
                    report.LOST_HISTORY, "a part of the history before it is lost", checkpoint_key
                )
            record.parent = None
            checkpoints.write(writer, self.number, namespace, record, level)

    def _remove(self, checkpoint_key: tuple[int, bytes]) -> None:
        """Take a checkpoint out, with its pending writes and folded history."""
        namespace, part = checkpoint_key
        seen, writer = self.found.checkpoints[checkpoint_key], self.writer
        self._report_lost(
            report.LOST_CHECKPOINT, "the checkpoint is not whole, and was taken out", checkpoint_key
        )
        if seen.readable:
            for entry in index_check.of_checkpoint(
                self.number, namespace, self._read(checkpoint_key)
            ):
                if entry[:1] != b"m":  # others may need it
                    writer.delete(entry)
        writer.delete(keys.checkpoints(self.number, namespace) + part)
        for prefix in (keys.writes, keys.compacted):
            if seen.id is not None:
                _clear(writer, prefix(self.number, namespace, seen.id))

    def _remove_record(self, key: bytes) -> None:
        if key.startswith(keys.of_thread(b"w", self.number)):
            what = "pending writes of a checkpoint that was not stored are lost"
            where = Problem(
                report.LOST_WRITES, what, self.thread.id, record=key.hex(), outcome=LOST
            )
            self.lost.append(where)
        self.writer.delete(key)

    def _records(self) -> Iterator[tuple[int, CheckpointRecord]]:
        for checkpoint_key in self.found.checkpoints.keys() - self.found.broken:
            yield checkpoint_key[0], self._read(checkpoint_key)

    def _index_children(self) -> None:
        """Make the index of children, and all others that lead to a checkpoint."""
        prefix = keys.of_thread(b"k", self.number)
        wanted: set[bytes] = set()
        for namespace, record in self._records():
            for entry in index_check.of_checkpoint(self.number, namespace, record):
                if entry.startswith(prefix):
                    wanted.add(entry)
                index_check.add(self.writer, entry)
        for key in list(self.writer.keys(prefix, keys.prefix_end(prefix))):
            if key not in wanted:
                self.writer.delete(key)

    def _drop_empty_namespaces(self) -> set[int]:
        """Delete namespaces that hold nothing; returns the others."""
        used = {
            namespace
            for namespace in self.found.names
            if any(
                _has(self.writer, keys.of_namespace(kind, self.number, namespace))
                for kind in (b"c", b"w")
            )
        }
        for namespace, name in self.found.names.items():
            if namespace != ROOT and namespace not in used:
                self.writer.delete(keys.namespace(self.number, name))
        return used

    def _save(self, used: set[int]) -> None:
        thread = self.thread
        thread.next_namespace = max(thread.next_namespace, *used, ROOT) + 1
        segments = [*self.found.chunks.numbers(self.number)]
        thread.next_segment = max(thread.next_segment, max(segments, default=-2) // 2 * 2 + 2)
        if not 0 <= thread.updated - thread.indexed_at < INDEX_LAG_MS:
            thread.indexed_at = thread.updated
        threads.save(self.writer, thread)
        for entry in index_check.of_thread(thread):
            index_check.add(self.writer, entry)


def _has(reader: Reader, prefix: bytes) -> bool:
    return next(iter(reader.keys(prefix, keys.prefix_end(prefix))), None) is not None
