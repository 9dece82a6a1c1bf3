"""Savers that are read through the protocol: ours, InMemorySaver, and any other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import WRITES_IDX_MAP, BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb.migrate.decoding import Decoder
from langgraph.checkpoint.lmdb.migrate.models import Key, Record
from langgraph.checkpoint.lmdb.migrate.refusals import located_reads
from langgraph.checkpoint.lmdb.migrate.source import Source, ThreadState, in_order
from langgraph.checkpoint.lmdb.models import TaskWrite
from langgraph.checkpoint.lmdb.saver import KvSaver

if TYPE_CHECKING:
    from langgraph.checkpoint.memory import InMemorySaver

_NO_PATHS = (
    "The task paths of pending writes are unknown: new paths keep their order. Writes that the "
    "interrupted superstep adds later may be ordered differently."
)
_NO_EARLY_WRITES = "Pending writes whose checkpoint was never stored are not copied."
_LONG_IDS = (
    "Pending writes whose checkpoint was never stored are not copied if its id is longer than the "
    "keys of the store."
)
_PAGE = 1000
"""Threads that are listed at a time."""
_NO_VALUE = "empty"
"""Tag of a channel without a value."""
_NO_BLOB = (_NO_VALUE, b"")
_SERIALIZER = JsonPlusSerializer()


class SaverSource(Source):
    """A reader of any saver. Task paths and indexes of writes are unknown: both keep the order."""

    unknown: tuple[str, ...] = (_NO_PATHS, _NO_EARLY_WRITES)
    knows_paths = False

    def __init__(self, saver: BaseCheckpointSaver[Any]) -> None:
        self.saver = saver

    def threads(self) -> Iterator[str]:
        seen: set[str] = set()
        for found in self.saver.list(None):
            thread_id = str(found.config["configurable"]["thread_id"])
            if thread_id not in seen:
                seen.add(thread_id)
                yield thread_id

    def keys(self, thread_id: str) -> list[Key]:
        found = [_key(thread_id, item) for item in self.listed(thread_id)]
        return sorted(found, key=_order)

    def listed(self, thread_id: str) -> Iterator[CheckpointTuple]:
        """Yield the checkpoints of a thread, whose values may be missing."""
        return self.saver.list(_thread(thread_id))

    def read(self, key: Key) -> Record | None:
        with located_reads(key):
            found = self.saver.get_tuple(key.config)
            writes = self.writes(key, found)
        if found is None:
            return Record(key, writes=writes) if writes else None
        parent = (found.parent_config or {}).get("configurable", {}).get("checkpoint_id")
        checkpoint: Any = found.checkpoint
        metadata: Any = found.metadata
        return Record(key, parent or None, dict(checkpoint), dict(metadata), writes)

    def writes(self, key: Key, found: CheckpointTuple | None) -> list[TaskWrite]:  # noqa: ARG002
        """Return the pending writes of a checkpoint."""
        return _with_paths([] if found is None else found.pending_writes or [])

    def state(self, thread_id: str) -> ThreadState | None:
        newest = [*self.saver.list(_thread(thread_id), limit=1)]
        root = self.saver.get_tuple({"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}})
        latest = newest if root is None else [*newest, root]
        if not latest:
            return None
        tip = max(_key(thread_id, found).checkpoint_id for found in latest)
        return ThreadState.of(tip, [_facts(thread_id, found) for found in latest])


class MemorySource(SaverSource):
    """A reader of an InMemorySaver, whose attributes have the task paths."""

    saver: InMemorySaver
    unknown: tuple[str, ...] = ()
    knows_paths = True

    def __init__(self, saver: InMemorySaver) -> None:
        super().__init__(saver)
        self._decoder = Decoder(saver.serde)

    def threads(self) -> Iterator[str]:
        stored = (name for name, spaces in [*self.saver.storage.items()] if any(spaces.values()))
        yield from dict.fromkeys([*stored, *(key[0] for key in [*self.saver.writes])])

    def keys(self, thread_id: str) -> list[Key]:
        found = {
            Key(thread_id, ns, checkpoint_id)
            for ns, checkpoints in [*self.saver.storage.get(thread_id, {}).items()]
            for checkpoint_id in [*checkpoints]
        }
        found |= {Key(*key) for key in [*self.saver.writes] if key[0] == thread_id}
        return sorted(found, key=_order)

    def state(self, thread_id: str) -> ThreadState | None:
        keys = self.keys(thread_id)
        if not keys:
            return None
        stored = [(*key, self.saver.writes.get(key)) for key in keys]
        tip = max(key.checkpoint_id for key in keys)
        return ThreadState.of(tip, stored)

    def read(self, key: Key) -> Record | None:
        load = partial(self._decoder.load, key)
        rows = [*self.saver.writes.get(key, {}).items()]
        writes = in_order(
            [
                TaskWrite(task_id, path, index, channel, load(channel, *value))
                for (task_id, index), (_, channel, value, path) in rows
            ]
        )
        thread_id, ns, checkpoint_id = key
        stored = self.saver.storage.get(thread_id, {}).get(ns, {}).get(checkpoint_id)
        if stored is None:
            return Record(key, writes=writes) if writes else None
        body, metadata, parent = stored
        checkpoint = load(None, *body)
        blobs = {
            channel: self.saver.blobs.get((thread_id, ns, channel, version), _NO_BLOB)
            for channel, version in checkpoint["channel_versions"].items()
        }
        values = {name: load(name, *blob) for name, blob in blobs.items() if blob[0] != _NO_VALUE}
        checkpoint["channel_values"] = values
        return Record(key, parent or None, checkpoint, load(None, *metadata), writes)

    def count(self) -> int | None:
        return sum(len(ids) for spaces in self.saver.storage.values() for ids in spaces.values())


class KvSource(SaverSource):
    """A reader of one of this package's savers."""

    saver: KvSaver
    unknown: tuple[str, ...] = ()
    knows_paths = True

    def threads(self) -> Iterator[str]:
        after = None
        while page := self.saver.threads(limit=_PAGE, after=after):
            yield from (thread.thread_id for thread in page)
            after = page[-1]
        yield from self.saver._threads_without_checkpoints()

    def keys(self, thread_id: str) -> list[Key]:
        early = self.saver._early_writes(thread_id)
        if any(checkpoint_id is None for _, checkpoint_id in early):
            self.unknown = (_LONG_IDS,)
        found = [Key(thread_id, ns, checkpoint_id) for ns, checkpoint_id in early if checkpoint_id]
        return sorted([*super().keys(thread_id), *found], key=_order)

    def listed(self, thread_id: str) -> Iterator[CheckpointTuple]:
        return self.saver.list(_thread(thread_id), values=False)

    def read(self, key: Key) -> Record | None:
        record = super().read(key)
        if record is None or record.checkpoint is None:
            return record
        if record.parent is None:
            values = record.checkpoint["channel_values"]
            absent = [name for name in record.checkpoint["channel_versions"] if name not in values]
            with located_reads(key):
                found = self.saver.get_delta_channel_history(config=key.config, channels=absent)
            record.history = {
                channel: history
                for channel, history in found.items()
                if history["writes"] or "seed" in history
            }
        return record

    def writes(self, key: Key, found: CheckpointTuple | None) -> list[TaskWrite]:  # noqa: ARG002
        return self.saver.writes(key.config)

    def count(self) -> int | None:
        return self.saver.stats().checkpoints

    def size(self) -> int | None:
        return self.saver.stats().file_bytes


def _order(key: Key) -> tuple[str, str]:
    return key.checkpoint_id, key.checkpoint_ns


def _thread(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id}}


def _key(thread_id: str, found: CheckpointTuple) -> Key:
    configurable = found.config["configurable"]
    return Key(thread_id, configurable.get("checkpoint_ns", ""), configurable["checkpoint_id"])


def _facts(thread_id: str, found: CheckpointTuple) -> tuple[Any, ...]:
    """Return facts that differ after each change of a checkpoint's pending writes."""
    writes = [
        (task_id, channel, _text(value) if channel in WRITES_IDX_MAP else None)
        for task_id, channel, value in found.pending_writes or ()
    ]
    return (*_key(thread_id, found), writes)


def _text(value: Any) -> str:
    """Return a text of a special write, the only kind of write that is ever replaced."""
    try:
        return repr(_SERIALIZER.dumps_typed(value))
    except Exception:  # noqa: BLE001 - a value that only another serializer knows
        return type(value).__qualname__


def _with_paths(pending: list[tuple[str, str, Any]]) -> list[TaskWrite]:
    """Return writes with task paths and indexes that keep their order."""
    found: list[TaskWrite] = []
    counts: dict[str, int] = {}
    runs = 0
    for task_id, channel, value in pending:
        if not found or found[-1].task_id != task_id:
            runs += 1
        index = counts.get(task_id, 0)
        counts[task_id] = index + 1
        path = f"{runs:08d}"
        found.append(TaskWrite(task_id, path, WRITES_IDX_MAP.get(channel, index), channel, value))
    return found
