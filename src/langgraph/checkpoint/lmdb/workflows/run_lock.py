"""The lock that a run holds, so that two workers never run one thread at the same time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph.checkpoint.lmdb.lock_files import run_lock
from langgraph.checkpoint.lmdb.workflows.errors import AlreadyRunningError
from langgraph.checkpoint.lmdb.workflows.locks import LockManager, acquire_async, uninterrupted


@dataclass(slots=True)
class RunLock:
    """A held run lock."""

    manager: LockManager
    name: str
    is_held: bool = True

    def check(self) -> None:
        """Raise LockLostError if another process may run the thread now."""
        self.manager.check(self.name)


@contextmanager
def hold_run(
    manager: LockManager,
    thread_id: str,
    blocking: bool = False,
    timeout: float | None = None,
) -> Iterator[RunLock]:
    """Hold the run lock of a thread. The caller may hold it already.

    Raises:
        AlreadyRunningError: Another holder has it, and the call does not wait, or waited `timeout`
            seconds.
    """
    held = _held_here(manager, thread_id)
    if held is not None:
        yield held
        return
    name = run_lock(thread_id)
    if not manager.acquire(name, blocking, timeout):
        raise already_running(manager, thread_id)
    lock = RunLock(manager, name)
    token = _held.set((*_held.get(), lock))
    try:
        yield lock
    finally:
        _held.reset(token)
        lock.is_held = False
        if name in manager.held():  # it may be lost or cleaned up
            manager.release(name)


@asynccontextmanager
async def ahold_run(
    manager: LockManager,
    thread_id: str,
    blocking: bool = False,
    timeout: float | None = None,
) -> AsyncIterator[RunLock]:
    """Hold the run lock of a thread, without blocking the event loop."""
    held = _held_here(manager, thread_id)
    if held is not None:
        yield held
        return
    name = run_lock(thread_id)
    if not await acquire_async(manager, name, blocking, timeout):
        raise await uninterrupted(already_running, manager, thread_id)
    lock = RunLock(manager, name)
    token = _held.set((*_held.get(), lock))
    try:
        yield lock
    finally:
        _held.reset(token)
        lock.is_held = False
        if name in manager.held():
            await uninterrupted(manager.release, name)


def guarded(saver: BaseCheckpointSaver[Any], lock: RunLock) -> BaseCheckpointSaver[Any]:
    """Return a saver on the same store that stores nothing once a run lock is lost."""
    kind = type(saver)
    guarded_kind: Any = type(f"Guarded{kind.__name__}", (_Guarded, kind), {"_run_lock": lock})
    clone = guarded_kind.__new__(guarded_kind)
    vars(clone).update(vars(saver))
    return clone  # type: ignore[no-any-return]


class _Guarded:
    """The writing methods of a saver, between two checks of a run lock.

    The first check keeps a run that lost its lock from writing over the next one. The second makes
    sure that the lock was held until the write was acknowledged. No method awaits before the saver
    has taken over its arguments.
    """

    _run_lock: RunLock

    def put(self, *args: Any, **kwargs: Any) -> Any:
        self._run_lock.check()
        result = super().put(*args, **kwargs)  # type: ignore[misc]
        self._run_lock.check()
        return result

    def put_writes(self, *args: Any, **kwargs: Any) -> None:
        self._run_lock.check()
        super().put_writes(*args, **kwargs)  # type: ignore[misc]
        self._run_lock.check()

    async def aput(self, *args: Any, **kwargs: Any) -> Any:
        self._run_lock.check()
        result = await super().aput(*args, **kwargs)  # type: ignore[misc]
        self._run_lock.check()
        return result

    async def aput_writes(self, *args: Any, **kwargs: Any) -> None:
        self._run_lock.check()
        await super().aput_writes(*args, **kwargs)  # type: ignore[misc]
        self._run_lock.check()


def already_running(manager: LockManager, thread_id: str) -> AlreadyRunningError:
    """Return the error for a run lock that another holder has."""
    holder = manager.holder(run_lock(thread_id))
    by = "" if holder is None else f" by {holder}"
    return AlreadyRunningError(f"the workflow is run{by}", thread_id=thread_id)


def _held_here(manager: LockManager, thread_id: str) -> RunLock | None:
    """Return the run lock of a thread that the code around this call holds."""
    name = run_lock(thread_id)
    for lock in _held.get():
        if lock.is_held and lock.manager is manager and lock.name == name:
            return lock
    return None


_held: ContextVar[tuple[RunLock, ...]] = ContextVar("held_run_locks", default=())
