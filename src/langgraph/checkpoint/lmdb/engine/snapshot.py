"""What can be read of the store, at one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import (
    checkpoints,
    delta,
    records,
    threads,
    values,
    writes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord, Version
    from langgraph.checkpoint.lmdb.engine.delta import ChannelHistory
    from langgraph.checkpoint.lmdb.engine.runs import Run
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.engine.values import Chunked, StoredValue
    from langgraph.checkpoint.lmdb.engine.writes import Write
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Reader


class Snapshot:
    """One consistent view of the store, within a `with` block; never held across a yield."""

    __slots__ = ("_context", "reader")

    def __init__(self, kv: KeyValueStore) -> None:
        self._context = kv.read()

    def __enter__(self) -> Self:
        self.reader: Reader = self._context.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.__exit__(kind, error, trace)

    def thread(self, thread_id: str) -> Thread | None:
        return threads.find(self.reader, thread_id)

    def threads(self) -> Iterator[Thread]:
        return threads.all_threads(self.reader)

    def namespace(self, thread: Thread, checkpoint_ns: str) -> int | None:
        return threads.find_namespace(self.reader, thread, checkpoint_ns)

    def namespaces(self, thread: Thread) -> list[tuple[str, int]]:
        return threads.namespaces(self.reader, thread)

    def latest_before(self, thread: int, namespace: int, before: str | None) -> str | None:
        return checkpoints.latest_before(self.reader, thread, namespace, before)

    def checkpoint(
        self, thread: int, namespace: int, checkpoint_id: str
    ) -> CheckpointRecord | None:
        return checkpoints.read(self.reader, thread, namespace, checkpoint_id)

    def of_run(self, run_id: str) -> Iterator[tuple[str, str, str]]:
        """Thread id, namespace and id of each checkpoint that a run stored."""
        names: dict[int, tuple[str, dict[int, str]]] = {}
        for number, namespace, key in checkpoints.of_run(self.reader, run_id):
            if number not in names:
                thread = threads.load(self.reader, number)
                spaces = {n: name for name, n in threads.namespaces(self.reader, thread)}
                names[number] = (thread.id, spaces)
            record = self.reader.get(key)
            if record is None:
                records.damaged(key, "the index of runs names it, but it is missing")
            found = checkpoints.decode(key, record, number, namespace)
            if found.run_id == run_id:  # else another run of the same hash
                yield names[number][0], names[number][1][namespace], found.id

    def find_version(
        self, thread: int, namespace: int, channel: str, version: Version
    ) -> StoredValue | None:
        """The value of a channel at a version, wherever in the namespace; the newest such."""
        last = checkpoints.latest_before(self.reader, thread, namespace)
        while last is not None:
            record = checkpoints.read(self.reader, thread, namespace, last)
            if record is not None and record.versions.get(channel) == version:
                found = record.values.get(channel)
                if found is not None:
                    return found
            last = checkpoints.latest_before(self.reader, thread, namespace, last)
        return None

    def writes(self, thread: int, namespace: int, checkpoint_id: str) -> list[tuple[str, Write]]:
        return writes.of_checkpoint(self.reader, thread, namespace, checkpoint_id)

    def history(
        self, thread: int, namespace: int, checkpoint: CheckpointRecord, channels: Sequence[str]
    ) -> dict[str, ChannelHistory]:
        return delta.history(self.reader, thread, namespace, checkpoint, channels=channels)

    def runs(self, value: Chunked) -> list[Run]:
        return values.chunk_runs(self.reader, value)

    def chunks(self, runs: Iterable[Run]) -> list[bytes]:
        return values.fetch(self.reader, runs)

    def check_size(self, value: Chunked, body: bytes) -> None:
        values.check_size(value, body)

    def payload(self, value: StoredValue) -> bytes:
        return values.payload(self.reader, value)
