"""Faults that show when a process is killed, when two processes meet, or when calls overlap."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from mutants.base import Faulty, ModelFault, mutant
from saver_conformance.model import Model


class _Torn(Faulty):
    """A saver that makes an operation in steps."""

    def drop(self, chosen: Any) -> None:
        keys = [key for key in self.model.stored() if chosen(key)]
        for key in keys:
            self.write("_drop", [key])


@mutant("durable.operations", disk=True)
class TornDelete(_Torn):
    """delete_thread deletes one checkpoint after another."""

    def delete_thread(self, thread_id: str) -> None:
        self.drop(lambda key: key.thread == thread_id)


@mutant("durable.operations", disk=True)
class DeletesWritesLater(ModelFault):
    """delete_thread deletes the checkpoints, and then the pending writes."""

    class OwnModel(Model):
        def delete_rows(self, thread: str) -> None:
            """Delete the checkpoints of a thread."""
            self._rows = {key: row for key, row in self._rows.items() if key.thread != thread}

    def delete_thread(self, thread_id: str) -> None:
        self.write("delete_rows", thread_id)
        super().delete_thread(thread_id)


@mutant("durable.operations", disk=True)
class TornPrune(_Torn):
    """prune deletes one checkpoint after another."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        for thread in thread_ids:
            latest = max(self.model.ids(thread, ""), default=None)
            self.drop(lambda key: key.thread == thread and key.id != latest)  # noqa: B023


@mutant("durable.operations", disk=True)
class TornRuns(_Torn):
    """delete_for_runs deletes one checkpoint after another."""

    def delete_for_runs(self, run_ids: Any) -> None:
        self.drop(lambda key: self.model._rows[key].metadata.get("run_id") in run_ids)


@mutant("durable.operations", disk=True)
class TornCopy(_Torn):
    """copy_thread copies one checkpoint after another."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        for found in [*self.list({"configurable": {"thread_id": source_thread_id}})]:
            where = {"thread_id": target_thread_id, "checkpoint_ns": ""}
            self.put({"configurable": where}, found.checkpoint, found.metadata, {})


@mutant("durable.operations", disk=True)
class TornWrites(_Torn):
    """put_writes stores one write after another."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        for count in range(1, len(writes) + 1):
            super().put_writes(config, writes[:count], task_id, task_path)


@mutant("processes.setup", disk=True)
class SetupOnce(Faulty):
    """Setting up a store raises if another process sets it up at the same moment."""

    def __init__(self, folder: Any = None, **kwargs: Any) -> None:
        if folder is not None and not (folder / "journal").exists():
            (folder / "lock").touch(exist_ok=False)
        super().__init__(folder, **kwargs)


@mutant("processes.setup", disk=True)
class SetupClears(Faulty):
    """Setting up a store deletes what another process stored since it began."""

    def __init__(self, folder: Any = None, **kwargs: Any) -> None:
        is_new = folder is not None and not (folder / "journal").exists()
        super().__init__(folder, **kwargs)
        if is_new and self.journal is not None:
            self.journal.truncate(0)


@mutant("processes.visible", disk=True)
class ListsOwnState(Faulty):
    """list does not see the changes of another process until the next put."""

    def list(self, *args: Any, **kwargs: Any) -> Any:
        entries = self.model.matching(*args, **kwargs)
        yield from map(self.tuple_of, entries)


@mutant("concurrent.same_write")
class MergesValues(Faulty):
    """A concurrent write to a used slot is merged into it."""

    merged: Any = None

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        self.merged = self.merged or writes
        mixed = [(c, [v[0], *first[1][1:]] if isinstance(v, list) else v)
                 for (c, v), first in zip(writes, self.merged, strict=False)]  # fmt: skip
        time.sleep(0.001)
        with self.lock:
            self.model._writes.clear()
            super().put_writes(config, mixed, task_id, task_path)

    async def aput_writes(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.to_thread(self.put_writes, *args, **kwargs)


@mutant("concurrent.linearizable")
class StaleReads(Faulty):
    """get_tuple returns the state before the latest put or deletion."""

    before: Any = None

    def put(self, config: Any, *args: Any) -> Any:
        where = {k: v for k, v in config["configurable"].items() if k != "checkpoint_id"}
        self.before = super().get_tuple({"configurable": where})
        return super().put(config, *args)

    def get_tuple(self, config: Any) -> Any:
        found = super().get_tuple(config)
        return self.before if found and not config["configurable"].get("checkpoint_id") else found


@mutant("concurrent.linearizable")
class BackgroundPuts(Faulty):
    """put returns before the checkpoint can be read."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        arguments = (config, checkpoint, metadata, new_versions)
        threading.Timer(0.05, super().put, arguments).start()
        where = {**config["configurable"], "checkpoint_id": checkpoint["id"]}
        return {"configurable": where}


@mutant("concurrent.both_apis")
class AwaitsWithLock(Faulty):
    """aput waits for another task while it holds the lock of the sync API."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate = threading.Lock()

    def put(self, *args: Any) -> Any:
        with self.gate:
            return super().put(*args)

    async def aput(self, *args: Any) -> Any:
        self.gate.acquire()
        await asyncio.sleep(0.001)
        stored = super().put(*args)
        self.gate.release()
        return stored


class _Background(Faulty):
    """A saver that treats calls on an event loop differently."""

    async def aput_writes(self, config: Any, writes: Any, *args: Any, **kwargs: Any) -> None:
        self.put_writes(config, self.kept(writes), *args, **kwargs)

    def kept(self, writes: Any) -> Any:
        return writes


@mutant("graph.durability")
class ForgetsResumeOnLoop(_Background):
    """aput_writes forgets interrupts."""

    def kept(self, writes: Any) -> Any:
        return [write for write in writes if write[0] != "__interrupt__"]
