"""The runs that live processes execute under their locks, for a store of any kind."""

from __future__ import annotations

from dataclasses import dataclass

from langgraph.checkpoint.lmdb import lock_files
from langgraph.checkpoint.lmdb.advisory_locks import key_of
from langgraph.checkpoint.lmdb.lock_files import run_lock
from langgraph.checkpoint.lmdb.opening import as_postgres
from langgraph.checkpoint.lmdb.saver import KvSaver


@dataclass(frozen=True)
class RunningThreads:
    """The threads that run, as a container: `thread_id in running`.

    Args:
        threads: Ids of threads.
        keys: Keys of advisory locks, of which some may be run locks.
    """

    threads: frozenset[str] = frozenset()
    keys: frozenset[int] = frozenset()

    def __contains__(self, thread_id: object) -> bool:
        return thread_id in self.threads or (
            bool(self.keys) and key_of(run_lock(str(thread_id))) in self.keys
        )

    def __bool__(self) -> bool:
        return bool(self.threads or self.keys)

    @property
    def mark(self) -> tuple[list[str], list[int]]:
        """Mark of the threads that run: as long as it is the same, they are the same."""
        return sorted(self.threads), sorted(self.keys)


def running_threads(saver: KvSaver) -> RunningThreads:
    """Return the threads whose run a live process executes under its lock.

    Raises:
        DatabaseUnavailableError: The server cannot be reached.
    """
    postgres = as_postgres(saver)
    if postgres is not None:
        return RunningThreads(keys=postgres.advisory_locks())
    return RunningThreads(lock_files.running_threads(saver.path))


def is_running(saver: KvSaver, thread_id: str) -> bool:
    """Return True if a live process executes the run of a thread under its lock."""
    if saver.path is not None:
        return lock_files.is_running(saver.path, thread_id)
    return thread_id in running_threads(saver)
