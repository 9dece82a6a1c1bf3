"""Faults in concurrency: the async API, threads, processes, reopening and SIGKILL."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any, ClassVar

from mutants.base import Faulty, mutant
from saver_conformance.model import Model


@mutant("async.faces", "machine.mixed")
class TwoStores(Faulty):
    """The async API has its own store."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.other = Faulty(serde=self.serde)

    async def aput(self, *args: Any) -> Any:
        return self.other.put(*args)

    async def aput_writes(self, *args: Any, **kwargs: Any) -> None:
        self.other.put_writes(*args, **kwargs)

    async def aget_tuple(self, config: Any) -> Any:
        return self.other.get_tuple(config)

    async def alist(self, *args: Any, **kwargs: Any) -> Any:
        for found in self.other.list(*args, **kwargs):
            yield found


@mutant("async.faces")
class StaleAsyncReads(Faulty):
    """The async API caches the first state of a checkpoint that it read or put."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known: set[Any] = set()

    async def aput(self, config: Any, checkpoint: Any, *args: Any) -> Any:
        self.known.add(checkpoint["id"])
        return self.put(config, checkpoint, *args)

    async def aget_tuple(self, config: Any) -> Any:
        found = self.get_tuple(config)
        return found if found and found.checkpoint["id"] in self.known else None


@mutant("async.snapshot")
class LateSnapshot(Faulty):
    """aput yields to other tasks before it serializes."""

    async def aput(self, *args: Any) -> Any:
        for _ in range(4):
            await asyncio.sleep(0)
        return self.put(*args)


@mutant("async.snapshot.writes")
class LateSnapshotOfWrites(Faulty):
    """aput_writes yields to other tasks before it serializes."""

    async def aput_writes(self, *args: Any, **kwargs: Any) -> None:
        for _ in range(4):
            await asyncio.sleep(0)
        self.put_writes(*args, **kwargs)


@mutant("async.cancelled")
class HalfPut(Faulty):
    """aput stores a checkpoint first, yields to other tasks, and then stores its values."""

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        kept = dict(list(checkpoint["channel_values"].items())[:1])
        half = {**checkpoint, "channel_values": kept}
        self.put(config, half, metadata, new_versions)
        await asyncio.sleep(0)
        return self.put(config, checkpoint, metadata, new_versions)


@mutant("async.cancelled")
class CancelledKeepsLock(Faulty):
    """A cancelled call keeps the lock, and the next call hangs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate = asyncio.Lock()

    async def aput(self, *args: Any) -> Any:
        await self.gate.acquire()
        await asyncio.sleep(0)
        result = self.put(*args)
        self.gate.release()
        return result


@mutant("async.loops")
class OneLoop(Faulty):
    """The async API works on the first event loop only."""

    loop: Any = None

    async def aget_tuple(self, config: Any) -> Any:
        self.loop = self.loop or asyncio.get_running_loop()
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError("attached to a different loop")
        return self.get_tuple(config)


class _Slow(Faulty):
    """A saver that pauses between the steps of an operation, so that another call can interfere."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.meeting = threading.Barrier(2)

    def pause(self) -> None:
        try:
            self.meeting.wait(0.2)
        except threading.BrokenBarrierError:
            self.meeting.reset()


@mutant("concurrent.puts")
class LostPuts(_Slow):
    """put copies the whole store, changes the copy, and replaces the store with it."""

    def put(self, *args: Any) -> Any:
        model = Model()
        model._rows = dict(self.model._rows)
        model._writes = self.model._writes
        self.pause()
        mine = Faulty(serde=self.serde)
        mine.model = model
        stored = mine.put(*args)
        self.model._rows = model._rows
        return stored

    async def aput(self, *args: Any) -> Any:
        return await asyncio.to_thread(self.put, *args)


@mutant("concurrent.writes")
class LostWrites(_Slow):
    """put_writes reads the writes of a checkpoint, adds to them, and replaces them."""

    def put_writes(self, config: Any, *args: Any, **kwargs: Any) -> None:
        where = config["configurable"]
        key = (str(where["thread_id"]), where["checkpoint_ns"], where["checkpoint_id"])
        mine = Faulty(serde=self.serde)
        mine.model._writes = {key: dict(self.model._writes.get(key, {}))}  # type: ignore[arg-type, dict-item]
        self.pause()
        mine.put_writes(config, *args, **kwargs)
        self.model._writes[key] = mine.model._writes[key]  # type: ignore[index]

    async def aput_writes(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.to_thread(self.put_writes, *args, **kwargs)


@mutant("concurrent.torn")
class TornPut(_Slow):
    """put stores a checkpoint first, and its values later."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        bare = {**checkpoint, "channel_values": {}}
        super().put(config, bare, metadata, new_versions)
        self.pause()
        return super().put(config, checkpoint, metadata, new_versions)

    async def aput(self, *args: Any) -> Any:
        return await asyncio.to_thread(self.put, *args)

    async def aget_tuple(self, config: Any) -> Any:
        return await asyncio.to_thread(self.get_tuple, config)


@mutant("concurrent.delete")
class DeleteUndoesPuts(_Slow):
    """delete_thread replaces the whole store with a copy without the thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.copied, self.stored = threading.Event(), threading.Event()

    def put(self, config: Any, *args: Any) -> Any:
        if config["configurable"]["thread_id"] != "deleted":
            self.copied.wait(1)
        found = super().put(config, *args)
        self.stored.set()
        return found

    def delete_thread(self, thread_id: str) -> None:
        kept = {k: row for k, row in self.model._rows.items() if k.thread != str(thread_id)}
        self.stored.clear()
        self.copied.set()
        self.stored.wait(1)
        self.model._rows = kept

    async def adelete_thread(self, thread_id: str) -> None:
        await asyncio.to_thread(self.delete_thread, thread_id)


@mutant("spec.leak")
class LeavesThread(Faulty):
    """A closed saver leaves a thread behind."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        threading.Thread(target=threading.Event().wait, daemon=True).start()


@mutant("spec.exits")
class BlocksExit(Faulty):
    """A process that used the saver does not exit."""

    def get_tuple(self, config: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            threading.Thread(target=threading.Event().wait, daemon=False).start()
        return super().get_tuple(config)


@mutant("spec.leak")
class LeavesFile(Faulty):
    """A closed saver leaves open files behind."""

    kept: ClassVar[list[int]] = []

    def get_tuple(self, config: Any) -> Any:
        self.kept.append(os.open(os.devnull, os.O_RDONLY))
        return super().get_tuple(config)


@mutant("reopen.state", "durable.acknowledged", disk=True)
class NeverWrites(Faulty):
    """Nothing is written to disk."""

    def write(self, operation: str, *args: Any, **kwargs: Any) -> None:
        getattr(self.model, operation)(*args, **kwargs)


@mutant("reopen.state", disk=True)
class ForgetsWritesOnClose(Faulty):
    """Pending writes are not written to disk."""

    def write(self, operation: str, *args: Any, **kwargs: Any) -> None:
        if operation == "put_writes":
            self.model.put_writes(*args, **kwargs)
        else:
            super().write(operation, *args, **kwargs)


@mutant("reopen.early_writes", disk=True)
class OpenDropsEarlyWrites(Faulty):
    """Opening a store deletes the writes that have no checkpoint."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.catch_up()
        model = self.model
        model._writes = {key: slots for key, slots in model._writes.items() if key in model._rows}


@mutant("reopen.versions", disk=True)
class ForgetsValuesOnClose(Faulty):
    """Channel values are not written to disk."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.memory: dict[str, Any] = {}

    def put(self, config: Any, checkpoint: Any, *args: Any) -> Any:
        self.memory[checkpoint["id"]] = {
            k: self.encode(v) for k, v in checkpoint["channel_values"].items()
        }
        return super().put(config, {**checkpoint, "channel_values": {}}, *args)

    def changed_tuple(self, found: Any) -> Any:
        kept = self.memory.get(found.checkpoint["id"], {})
        got = {k: self.decode(v) for k, v in kept.items()}
        return found._replace(checkpoint={**found.checkpoint, "channel_values": got})


@mutant("durable.acknowledged", disk=True)
class BuffersWrites(Faulty):
    """Data is written to disk only when the saver is closed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.buffer: list[Any] = []

    def write(self, operation: str, *args: Any, **kwargs: Any) -> None:
        getattr(self.model, operation)(*args, **kwargs)
        self.buffer.append((operation, args, kwargs))

    def close(self) -> None:
        fresh = Model()
        self.model, buffer = fresh, self.buffer
        for operation, args, kwargs in buffer:
            super().write(operation, *args, **kwargs)
        super().close()


@mutant("durable.whole", disk=True)
class TornOnDisk(Faulty):
    """put writes a checkpoint and its values to disk one after another."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        super().put(config, {**checkpoint, "channel_values": {}}, metadata, new_versions)
        return super().put(config, checkpoint, metadata, new_versions)


@mutant("processes.visible", disk=True)
class CachesForever(Faulty):
    """Writes of another process after opening the store are invisible."""

    def catch_up(self) -> None:
        if not getattr(self, "caught_up", False):
            super().catch_up()
            self.caught_up = True


@mutant("processes.writers", disk=True)
class Unlocked(Faulty):
    """Two processes that write concurrently overwrite each other."""

    def write(self, operation: str, *args: Any, **kwargs: Any) -> None:
        import pickle

        assert self.journal is not None
        self.catch_up()
        end = self.replayed
        time.sleep(0.03)
        getattr(self.model, operation)(*args, **kwargs)
        record = pickle.dumps((operation, args, kwargs))
        data = len(record).to_bytes(8, "big") + record
        fd = os.open(self.journal.name, os.O_RDWR)
        os.pwrite(fd, data, end)
        os.ftruncate(fd, end + len(data))
        os.close(fd)
        self.replayed = end + len(data)
