"""The states of the checkpoints that were used last, which new checkpoints and writes follow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord, Version
from langgraph.checkpoint.lmdb.engine.chunks import StoredValue, ThreadVersion
from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.locks import Lock
from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef


@dataclass(frozen=True, slots=True)
class ParentState:
    """The state of a checkpoint that a new checkpoint or write follows."""

    thread_version: ThreadVersion | None
    """None: the thread does not exist."""
    record: CheckpointRecord | None
    """None: the checkpoint does not exist."""

    @property
    def versions(self) -> Mapping[str, Version]:
        return {} if self.record is None else self.record.versions

    @property
    def values(self) -> Mapping[str, StoredValue]:
        return {} if self.record is None else self.record.values


class ParentCache:
    """A cache of the states of the checkpoints that were used last.

    Args:
        limit: The highest number of checkpoints.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.renew()
        forking.renew_in_child(self)

    def renew(self) -> None:
        """Empty the cache in a forked child: another thread may have been changing it."""
        self._lock = Lock()
        self._parents: OrderedDict[CheckpointRef, ParentState] = OrderedDict()

    def get(self, ref: CheckpointRef) -> ParentState | None:
        if self._lock.is_held():  # a signal handler interrupts this thread
            return None
        with self._lock:
            return self._parents.get(ref)

    def put(self, ref: CheckpointRef, parent_state: ParentState) -> None:
        if self._lock.is_held():
            return
        with self._lock:
            self._parents[ref] = parent_state
            self._parents.move_to_end(ref)
            if len(self._parents) > self.limit:
                self._parents.popitem(last=False)
