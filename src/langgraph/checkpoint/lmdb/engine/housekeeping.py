"""Operations on whole threads: deleting, shortening, copying, forking, and their time to live.

As in `store`, methods make the function that `GroupCommit` or `KeyValueStore.write` runs in a
transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import checkpoints, copying, prune, sweep, threads
from langgraph.checkpoint.lmdb.errors import (
    CheckpointNotFoundError,
    ThreadExistsError,
    ThreadNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from langgraph.checkpoint.lmdb.engine.options import StoreOptions
    from langgraph.checkpoint.lmdb.engine.sweep import SweepCounts
    from langgraph.checkpoint.lmdb.engine.time_index import TimeIndexEntry
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer


class Housekeeping:
    """What keeps the threads of a store in order.

    Args:
        kv: Where everything is kept.
        settings: How the store is used.
    """

    def __init__(self, kv: KeyValueStore, options: StoreOptions) -> None:
        self._kv = kv
        self._options = options

    def delete_thread(self, thread_id: str) -> Callable[[Writer], int | None]:
        """Delete a thread; one that does not exist is no error.

        Returns (when run):
            The number of the thread if it is out of sight, but not all of it is gone yet.
        """

        def apply(writer: Writer) -> int | None:
            thread = threads.find(writer, thread_id)
            if thread is None or prune.delete_thread(writer, thread, prune.PURGE_BATCH):
                return None
            return thread.number

        return apply

    def purge(self, number: int) -> Callable[[Writer], int | None]:
        """Go on deleting a thread that is out of sight; returns the same."""

        def apply(writer: Writer) -> int | None:
            thread = threads.next_tombstone(writer, number - 1)
            if thread is None or thread.number != number:
                return None  # somebody else did it
            return None if prune.purge(writer, thread, prune.PURGE_BATCH) else number

        return apply

    def delete_runs(self, run_ids: Mapping[str, bytes]) -> list[Callable[[Writer], None]]:
        """Delete the checkpoints of runs with their writes: one operation for each thread.

        Args:
            run_ids: The runs, with their labels.
        """
        with self._kv.read() as reader:
            numbers = {
                thread
                for term in run_ids.values()
                for thread, _, _ in checkpoints.with_term(reader, term)
            }

        def delete(number: int) -> Callable[[Writer], None]:
            def apply(writer: Writer) -> None:
                if threads.exists(writer, number):
                    prune.delete_runs(writer, number, run_ids, self._options)

            return apply

        return [delete(number) for number in sorted(numbers)]

    def prune(self, thread_id: str, keep: int) -> Callable[[Writer], None]:
        """Keep the latest checkpoints of each namespace of a thread, and all that they need."""

        def apply(writer: Writer) -> None:
            thread = threads.find(writer, thread_id)
            if thread is not None:
                prune.prune(writer, thread, keep, None, self._options)

        return apply

    def copy_thread(self, source_id: str, target_id: str) -> Callable[[Writer], None]:
        """Copy a thread; a source that does not exist is no error, a target that does is one.

        Raises (when run):
            ThreadExistsError: The target has checkpoints.
        """

        def apply(writer: Writer) -> None:
            source = self._options.find(writer, source_id)
            if source is None or source_id == target_id:
                return
            self._make_way(writer, target_id, f"cannot copy thread {source_id!r}")
            copying.copy_thread(writer, source, target_id, self._options)

        return apply

    def fork(
        self, source_id: str, checkpoint_id: str | None, target_id: str
    ) -> Callable[[Writer], str]:
        """Make a thread of a checkpoint of the root namespace, or the latest, and its ancestors.

        Returns (when run):
            The id of the checkpoint.

        Raises (when run):
            CheckpointNotFoundError: There is no such checkpoint.
            ThreadExistsError: The target has checkpoints.
        """

        def apply(writer: Writer) -> str:
            source, record = self._options.find(writer, source_id), None
            if source is not None:
                wanted = checkpoint_id
                if wanted is None:
                    wanted = checkpoints.latest_before(writer, source.number, threads.ROOT)
                if wanted is not None:
                    record = checkpoints.read(writer, source.number, threads.ROOT, wanted)
            if source is None or record is None:
                raise CheckpointNotFoundError(
                    "there is no such checkpoint to fork",
                    thread_id=source_id,
                    checkpoint_id=checkpoint_id,
                )
            self._make_way(writer, target_id, f"cannot fork thread {source_id!r}")
            copying.fork(writer, source, record, target_id, self._options)
            return record.id

        return apply

    def set_ttl(self, thread_id: str, ttl: int | None) -> Callable[[Writer], None]:
        """Give a thread a time to live of its own, in milliseconds; None: the store's.

        Raises (when run):
            ThreadNotFoundError: There is no such thread.
        """

        def apply(writer: Writer) -> None:
            thread = self._options.find(writer, thread_id)
            if thread is None or not thread.checkpoints:
                raise ThreadNotFoundError("there is no such thread", thread_id=thread_id)
            thread.ttl = ttl
            thread.ttl_applied = False
            threads.save(writer, thread)

        return apply

    def touch(self, thread_id: str) -> Callable[[Writer], None]:
        """Count a read as activity of a thread."""

        def apply(writer: Writer) -> None:
            thread = self._options.find(writer, thread_id)
            if thread is not None:
                thread.touch(self._options.now())
                threads.save(writer, thread)

        return apply

    def sweep(
        self, entries: Sequence[TimeIndexEntry], now: int, dry_run: bool
    ) -> Callable[[Writer], SweepCounts]:
        """Sweep the first of these entries; see `sweep.apply`."""
        return sweep.apply(self._options, entries, now, dry_run)

    def _make_way(self, writer: Writer, thread_id: str, what: str) -> None:
        thread = self._options.find(writer, thread_id)
        if thread is not None and thread.checkpoints:
            raise ThreadExistsError(f"{what}: the target exists", thread_id=thread_id)
        thread = threads.find(writer, thread_id)
        if thread is not None:  # expired, or late writes to one that was deleted: nobody sees it
            prune.delete_thread(writer, thread, prune.PURGE_BATCH)
