"""The parts of a store, which are checked one after another: threads, and tasks with snapshots."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from langgraph.checkpoint.lmdb.engine import states
from langgraph.checkpoint.lmdb.engine.options import StoreOptions
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.format.keys import Kind
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
from langgraph.checkpoint.lmdb.kv.prefixed import PrefixedStore
from langgraph.checkpoint.lmdb.models import Problem


class Part:
    """A store with the threads of a saver.

    Args:
        kv: The store.
        options: The options of the store.
    """

    def __init__(self, kv: KeyValueStore, options: StoreOptions) -> None:
        self.kv = kv
        self.options = options

    def describe(self, problem: Problem) -> Problem:
        """Return a problem of this part in the words of its users."""
        return problem

    def names(self, checked: Counter[str]) -> dict[str, int]:
        """Return what was checked in this part in the words of its users."""
        return dict(checked)


class _Snapshots(Part):
    """The snapshot store: its threads are tasks, and its checkpoints are versions."""

    def __init__(self, kv: KeyValueStore, options: StoreOptions) -> None:
        super().__init__(
            PrefixedStore(kv, Kind.SNAPSHOTS), replace(options, state_of=states.always_complete)
        )

    def describe(self, problem: Problem) -> Problem:
        version = problem.checkpoint_id
        return replace(
            problem,
            record=None if problem.record is None else Kind.SNAPSHOTS.hex() + problem.record,
            task_id=problem.thread_id,
            version=int(version) if version is not None and version.isdecimal() else None,
            thread_id=None,
            checkpoint_ns=None,
            checkpoint_id=None,
        )

    def names(self, checked: Counter[str]) -> dict[str, int]:
        return {
            "tasks": checked["threads"],
            "snapshots": checked["checkpoints"],
            "chunks": checked["chunks"],
            "entries": checked["entries"],
        }


def parts_of(kv: KeyValueStore, options: StoreOptions) -> list[Part]:
    """Return the parts of a store. The snapshot store is one of them only if it has any record."""
    with kv.read() as reader:
        start, stop = Kind.SNAPSHOTS + b"\x00", keys.prefix_end(Kind.SNAPSHOTS)
        has_snapshots = reader.first_key(start, stop) is not None
        threads = Part(kv, options)
    return [threads, _Snapshots(kv, options)] if has_snapshots else [threads]
