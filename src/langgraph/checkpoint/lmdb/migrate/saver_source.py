"""Savers that are read through the protocol: ours, InMemorySaver, and any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import WRITES_IDX_MAP

from langgraph.checkpoint.lmdb.migrate.models import Key, Record
from langgraph.checkpoint.lmdb.migrate.refusals import located_reads
from langgraph.checkpoint.lmdb.migrate.source import Source, Tip, in_order
from langgraph.checkpoint.lmdb.models import TaskWrite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
    from langgraph.checkpoint.memory import InMemorySaver

    from langgraph.checkpoint.lmdb.saver import KvSaver

_NO_PATHS = (
    "The task paths of pending writes are unknown: new paths keep their order. Writes that the "
    "interrupted superstep adds later may be ordered differently."
)
_PAGE = 1000
"""Threads that are listed at a time."""


class SaverSource(Source):
    """A reader of any saver. Task paths and indexes of writes are unknown: both keep the order."""

    unknown: tuple[str, ...] = (
        _NO_PATHS,
        "Pending writes without a checkpoint are unknown and are not copied.",
    )
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
        found = [_key(thread_id, item) for item in self.saver.list(_thread(thread_id))]
        return sorted(found, key=lambda key: (key.checkpoint_id, key.checkpoint_ns))

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

    def tips(self, thread_id: str) -> list[Tip]:
        newest = list(self.saver.list(_thread(thread_id), limit=1))
        root = self.saver.get_tuple({"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}})
        found = newest if root is None else [*newest, root]
        return sorted({_tip(thread_id, item) for item in found})


class MemorySource(SaverSource):
    """A reader of an InMemorySaver, whose attributes have the task paths."""

    saver: InMemorySaver
    unknown: tuple[str, ...] = ()
    knows_paths = True

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
        return sorted(found, key=lambda key: (key.checkpoint_id, key.checkpoint_ns))

    def writes(self, key: Key, found: CheckpointTuple | None) -> list[TaskWrite]:  # noqa: ARG002
        rows = [*self.saver.writes.get(key, {}).items()]
        return in_order(
            [
                TaskWrite(task_id, path, index, channel, self.saver.serde.loads_typed(value))
                for (task_id, index), (_, channel, value, path) in rows
            ]
        )

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


def _thread(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id}}


def _key(thread_id: str, found: CheckpointTuple) -> Key:
    configurable = found.config["configurable"]
    return Key(thread_id, configurable.get("checkpoint_ns", ""), configurable["checkpoint_id"])


def _tip(thread_id: str, found: CheckpointTuple) -> Tip:
    key = _key(thread_id, found)
    return Tip(key.checkpoint_ns, key.checkpoint_id, len(found.pending_writes or ()))


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
