"""What both faces of the saver stand on: operations that a thread runs or a coroutine awaits."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from langgraph.checkpoint.lmdb.engine.store import StaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from langgraph.checkpoint.serde.base import SerializerProtocol

    from langgraph.checkpoint.lmdb.codec.values import ValueCodec
    from langgraph.checkpoint.lmdb.configs import Where
    from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord, Version
    from langgraph.checkpoint.lmdb.engine.commit import GroupCommit
    from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
    from langgraph.checkpoint.lmdb.engine.store import CheckpointStore
    from langgraph.checkpoint.lmdb.engine.values import Place, StoredValue
    from langgraph.checkpoint.lmdb.kv.base import Writer

R = TypeVar("R")
T = TypeVar("T")


@dataclass(slots=True)
class Operation(Generic[R, T]):
    """A change to the store: prepared outside of any transaction, applied in one."""

    prepare: Callable[[bool], Callable[[Writer], R]]
    """Makes what the transaction runs. It is told whether to start from the store alone, since
    what was remembered turned out to be stale."""
    finish: Callable[[R], T]
    patient: bool = False
    """Whether it may wait for others to be committed with."""


@dataclass(frozen=True, slots=True)
class View:
    """What a new checkpoint or write needs to know of the checkpoint that it follows."""

    place: Place | None
    """None: there is no such thread yet."""
    record: CheckpointRecord | None
    """None: the store does not have the checkpoint."""

    @property
    def versions(self) -> Mapping[str, Version]:
        return {} if self.record is None else self.record.versions

    @property
    def values(self) -> Mapping[str, StoredValue]:
        return {} if self.record is None else self.record.values


class Views:
    """The views of the checkpoints seen last.

    Args:
        limit: How many.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._reset()
        _instances.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._views: OrderedDict[Where, View] = OrderedDict()

    def get(self, where: Where) -> View | None:
        with self._lock:
            return self._views.get(where)

    def put(self, where: Where, view: View) -> None:
        with self._lock:
            self._views[where] = view
            self._views.move_to_end(where)
            if len(self._views) > self.limit:
                self._views.popitem(last=False)


class SaverCore:
    """A checkpoint store, a serialiser, and what is remembered of both.

    Args:
        store: The store.
        commit: What runs write operations.
        serde: The serialiser for all that users put into checkpoints.
        codec: Encodes channel values with that serialiser.
        views: How many checkpoints to remember.
    """

    def __init__(
        self,
        store: CheckpointStore,
        commit: GroupCommit,
        serde: SerializerProtocol,
        codec: ValueCodec,
        views: int,
    ) -> None:
        self.store = store
        self.codec = codec
        self.serde = serde
        self.views = Views(views)
        self._commit = commit

    def with_serde(self, serde: SerializerProtocol) -> SaverCore:
        """The same store seen through another serialiser."""
        codec = self.codec.with_serde(serde)
        return SaverCore(self.store, self._commit, serde, codec, self.views.limit)

    def run(self, operation: Operation[Any, T]) -> T:
        """Carry out an operation; it is durable when this returns."""
        fresh = False
        while True:
            try:
                result = self._commit.run(operation.prepare(fresh), patient=operation.patient)
            except StaleError:
                fresh = True
                continue
            return operation.finish(result)

    async def run_async(self, operation: Operation[Any, T]) -> T:
        """The same for a coroutine. All serialising is done before the first await."""
        fresh = False
        while True:
            try:
                apply = operation.prepare(fresh)
                result = await self._commit.run_async(apply, patient=operation.patient)
            except StaleError:
                fresh = True
                continue
            return operation.finish(result)

    def view(self, where: Where, fresh: bool) -> View:
        """What is known of a checkpoint; nothing of one that the store does not have."""
        if not fresh and where.checkpoint_id is not None:
            known = self.views.get(where)
            if known is not None:
                return known
        with self.store.snapshot() as snapshot:
            thread = snapshot.thread(where.thread_id)
            if thread is None:
                return View(None, None)
            place = thread.place
            namespace = snapshot.namespace(thread, where.checkpoint_ns)
            if namespace is None or where.checkpoint_id is None:
                return View(place, None)
            record = snapshot.checkpoint(thread.number, namespace, where.checkpoint_id)
            return View(place, record)

    @contextmanager
    def snapshot_of(self, thread_id: str, place: Place) -> Iterator[Snapshot]:
        """A view of the store in which what was learned of a thread still holds.

        Raises:
            StaleError: It does not hold any more.
        """
        with self.store.snapshot() as snapshot:
            thread = snapshot.thread(thread_id)
            if thread is None or thread.place != place:
                raise StaleError
            yield snapshot


_instances: weakref.WeakSet[Views] = weakref.WeakSet()


def _after_fork() -> None:
    for instance in list(_instances):
        instance._reset()


os.register_at_fork(after_in_child=_after_fork)
