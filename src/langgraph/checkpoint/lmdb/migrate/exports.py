"""Exports: the threads of a store as lines of JSON, from which an import stores them again.

The lines of an export, each an object with a `kind`:

    store       format, version
    thread      thread_id, created, updated, ttl_minutes
    checkpoint  checkpoint_ns, checkpoint_id, parent_id, checkpoint, metadata, values, writes,
                history
    writes      checkpoint_ns, checkpoint_id, writes
    end         threads, checkpoints

A checkpoint belongs to the last thread before it; parents come first. `writes` are the pending
writes of a checkpoint that is not stored. A thread that only has such writes has no times. A value
is a pair of the serializer's form and its bytes in base64. The last line shows that the export is
complete.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any, Final

from langgraph.checkpoint.serde.base import SerializerProtocol

from langgraph.checkpoint.lmdb.errors import ThreadExistsError, UsageError
from langgraph.checkpoint.lmdb.migrate.models import Key, Record
from langgraph.checkpoint.lmdb.migrate.saver_source import KvSource
from langgraph.checkpoint.lmdb.migrate.target import Target
from langgraph.checkpoint.lmdb.models import TaskWrite, ThreadInfo
from langgraph.checkpoint.lmdb.saver import KvSaver

FORMAT: Final = "langgraph-lmdb export"
VERSION: Final = 1


class ImportClock:
    """A clock for the saver of an import, which sets it to the times of the exported threads."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class ImportReport:
    """The counts of what an import stored."""

    threads: int = 0
    checkpoints: int = 0


def export_lines(
    saver: KvSaver, threads: Iterable[ThreadInfo], early: Iterable[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield the lines of an export. One checkpoint at a time is in memory.

    Args:
        saver: The saver. Its serializer must write again what it reads, unchanged.
        threads: The threads to export.
        early: Ids of threads to export that have pending writes and no checkpoints.
    """
    source, serde = KvSource(saver), saver.serde
    counts = ImportReport()
    yield {"kind": "store", "format": FORMAT, "version": VERSION}
    for thread_id, line in chain(map(_thread_line, threads), map(_early_line, early)):
        counts.threads += 1
        yield line
        for key in source.keys(thread_id):
            record = source.read(key)
            if record is None:  # it was just deleted
                continue
            if record.checkpoint is None:
                yield _writes_line(record, serde)
            else:
                counts.checkpoints += 1
                yield _checkpoint_line(record, serde)
    yield {"kind": "end", "threads": counts.threads, "checkpoints": counts.checkpoints}


def early_threads(saver: KvSaver, prefix: str | None = None) -> Iterator[str]:
    """Yield the ids of the threads that have pending writes and no checkpoints."""
    for thread_id in saver._threads_without_checkpoints():
        if thread_id.startswith(prefix or ""):
            yield thread_id


def import_lines(
    lines: Iterable[str], saver: KvSaver, clock: ImportClock, *, resume: bool = False
) -> Iterator[ImportReport]:
    """Store the threads of an export; yield the counts so far after each checkpoint.

    Args:
        lines: The lines of the export.
        saver: The saver, which has the clock.
        clock: The clock.
        resume: True: also import threads that the store has, to continue an import.

    Raises:
        UsageError: A line is not a line of an export, or the last line is missing.
        ThreadExistsError: The store has a thread, and `resume` is False.
    """
    importer = _Importer(saver, clock, resume)
    number = 0
    for number, line in enumerate(lines, 1):
        try:
            importer.add(json.loads(line))
        except (LookupError, TypeError, ValueError) as error:
            if isinstance(error, (UsageError, ThreadExistsError)):
                raise
            message = f"line {number} is not a line of an export: {error}"
            raise UsageError(message, advice="Export with: --lossless") from error
        yield importer.counts
    if not importer.is_complete:
        raise UsageError(
            f"the export is incomplete: it ends at line {number}",
            advice="Export again, then import with: --resume",
        )


class _Importer:
    """An import: where it is among the lines."""

    def __init__(self, saver: KvSaver, clock: ImportClock, resume: bool) -> None:
        self.counts = ImportReport()
        self.is_complete = False
        self._saver = saver
        self._target = Target(saver, KvSource(saver))
        self._clock = clock
        self._began = clock.now
        self._resume = resume
        self._is_export = False
        self._thread: dict[str, Any] | None = None
        self._first: Record | None = None
        """The first checkpoint of the thread, if nothing was stored after it."""

    def add(self, line: dict[str, Any]) -> None:
        """Store what a line has."""
        kind = line["kind"]
        if kind == "store":
            if (line["format"], line["version"]) != (FORMAT, VERSION):
                raise ValueError(f"its format must be {FORMAT!r}, version {VERSION}")
            self._is_export = True
        elif not self._is_export:
            raise ValueError("the first line must name the format")
        elif kind == "thread":
            self._end_thread()
            self._begin_thread(line)
        elif kind == "checkpoint":
            self._put(line)
        elif kind == "writes":
            self._put_writes(line)
        elif kind == "end":
            self._end_thread()
            self.is_complete = True
        else:
            raise ValueError(f"unknown kind {kind!r}")

    def _begin_thread(self, line: dict[str, Any]) -> None:
        thread_id = line["thread_id"]
        if not self._resume and any(self._saver.list(_config(thread_id), limit=1, values=False)):
            raise ThreadExistsError(
                "the store has this thread",
                thread_id=thread_id,
                advice="To continue an import that was interrupted, import with: --resume",
            )
        self._thread, self._first = line, None
        created = line["created"]
        self._clock.now = (
            self._began if created is None else datetime.fromisoformat(created).timestamp()
        )

    def _put(self, line: dict[str, Any]) -> None:
        if self._thread is None:
            raise ValueError("a thread must come before its checkpoints")
        record = _record(self._thread["thread_id"], line, self._saver.serde)
        updated = datetime.fromisoformat(self._thread["updated"]).timestamp()
        is_first = self._clock.now != updated
        self._target.put(record, {})
        self._clock.now = updated
        self._first = record if is_first and not record.writes else None
        self._target.put_writes(record, [write.task_id for write in record.writes])
        self.counts.checkpoints += 1

    def _put_writes(self, line: dict[str, Any]) -> None:
        if self._thread is None:
            raise ValueError("a thread must come before its writes")
        serde = self._saver.serde
        record = Record(_key(self._thread["thread_id"], line), writes=_writes(line, serde))
        self._target.put_writes(record, [write.task_id for write in record.writes])

    def _end_thread(self) -> None:
        """Set the times of a thread whose checkpoints are stored."""
        if self._thread is None:
            return
        if self._first is not None:
            self._target.put(self._first, {})  # now at the time of the last activity
        if self._thread["ttl_minutes"] is not None:
            self._saver.set_ttl(self._thread["thread_id"], self._thread["ttl_minutes"])
        self.counts.threads += 1
        self._thread = self._first = None


def _config(thread_id: str) -> Any:
    return {"configurable": {"thread_id": thread_id}}


def _thread_line(info: ThreadInfo) -> tuple[str, dict[str, Any]]:
    ttl = None if info.expires is None else (info.expires - info.updated).total_seconds() / 60
    return info.thread_id, {
        "kind": "thread",
        "thread_id": info.thread_id,
        "created": info.created.isoformat(),
        "updated": info.updated.isoformat(),
        "ttl_minutes": ttl,
    }


def _early_line(thread_id: str) -> tuple[str, dict[str, Any]]:
    times = dict.fromkeys(("created", "updated", "ttl_minutes"))
    return thread_id, {"kind": "thread", "thread_id": thread_id, **times}


def _writes_line(record: Record, serde: SerializerProtocol) -> dict[str, Any]:
    return {
        "kind": "writes",
        "checkpoint_ns": record.key.checkpoint_ns,
        "checkpoint_id": record.key.checkpoint_id,
        "writes": _encoded_writes(record, serde),
    }


def _encoded_writes(record: Record, serde: SerializerProtocol) -> list[list[Any]]:
    return [
        [write.task_id, write.task_path, write.index, write.channel, _encoded(write.value, serde)]
        for write in record.writes
    ]


def _encoded(value: Any, serde: SerializerProtocol) -> list[str]:
    form, data = serde.dumps_typed(value)
    return [form, base64.b64encode(data).decode()]


def _decoded(pair: list[str], serde: SerializerProtocol) -> Any:
    form, data = pair
    return serde.loads_typed((form, base64.b64decode(data, validate=True)))


def _key(thread_id: str, line: dict[str, Any]) -> Key:
    return Key(thread_id, line["checkpoint_ns"], line["checkpoint_id"])


def _writes(line: dict[str, Any], serde: SerializerProtocol) -> list[TaskWrite]:
    return [
        TaskWrite(task_id, path, index, channel, _decoded(value, serde))
        for task_id, path, index, channel, value in line["writes"]
    ]


def _checkpoint_line(record: Record, serde: SerializerProtocol) -> dict[str, Any]:
    encoded = partial(_encoded, serde=serde)
    checkpoint = dict(record.checkpoint or {})
    values = checkpoint.pop("channel_values")
    return {
        "kind": "checkpoint",
        "checkpoint_ns": record.key.checkpoint_ns,
        "checkpoint_id": record.key.checkpoint_id,
        "parent_id": record.parent,
        "checkpoint": encoded(checkpoint),
        "metadata": encoded(record.metadata),
        "values": {channel: encoded(value) for channel, value in values.items()},
        "writes": _encoded_writes(record, serde),
        "history": {
            channel: {
                "writes": [
                    [task_id, name, encoded(value)] for task_id, name, value in history["writes"]
                ],
                **({"seed": encoded(history["seed"])} if "seed" in history else {}),
            }
            for channel, history in record.history.items()
        },
    }


def _record(thread_id: str, line: dict[str, Any], serde: SerializerProtocol) -> Record:
    decoded = partial(_decoded, serde=serde)
    history: dict[str, Any] = {}
    for channel, found in line["history"].items():
        writes = [(task_id, name, decoded(value)) for task_id, name, value in found["writes"]]
        history[channel] = {"writes": writes}
        if "seed" in found:
            history[channel]["seed"] = decoded(found["seed"])
    values = {channel: decoded(value) for channel, value in line["values"].items()}
    return Record(
        _key(thread_id, line),
        line["parent_id"],
        {**decoded(line["checkpoint"]), "channel_values": values},
        decoded(line["metadata"]),
        _writes(line, serde),
        history,
    )
