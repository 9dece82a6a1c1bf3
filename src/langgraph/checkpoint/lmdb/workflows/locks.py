"""Named locks: the protocol of lock managers, and the parts that managers share."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, cast, runtime_checkable
from weakref import WeakSet

from typing_extensions import Self

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.errors import LockHeldError, LockLostError

T = TypeVar("T")
R = TypeVar("R")

_FIRST_WAIT_SECONDS = 0.005
_LONGEST_WAIT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A process that holds a lock."""

    host: str
    """Name of its machine."""
    pid: int
    """Id of the process."""
    since: datetime
    """Time at which it acquired the lock, in UTC."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since:%Y-%m-%d %H:%M:%S} UTC"


@runtime_checkable
class LockManager(Protocol):
    """An object that locks names, so that one holder at a time has a name.

    A lock belongs to the manager that acquired it and is not reentrant: a second `acquire` of a
    held name waits, also in the same thread. Any thread may release it.
    """

    def lock(
        self, name: str, blocking: bool = True, timeout: float | None = None
    ) -> AbstractContextManager[None]:
        """Hold a lock for a `with` block.

        Raises:
            LockHeldError: Another holder has it, and the call does not wait, or waited `timeout`
                seconds.
        """

    def acquire(self, name: str, blocking: bool = True, timeout: float | None = None) -> bool:
        """Acquire a lock.

        Args:
            name: Name of the lock, any str.
            blocking: Wait while another holder has it.
            timeout: Seconds to wait at most; None waits without limit.

        Returns:
            True if this manager now holds the lock.
        """

    def release(self, name: str) -> None:
        """Release a lock of this manager.

        Raises:
            UsageError: This manager does not hold it.
        """

    def is_locked(self, name: str) -> bool:
        """Return True if any process holds the lock. Never makes another `acquire` fail."""

    def holder(self, name: str) -> LockHolder | None:
        """Return the process that holds a lock; None if it is free, or the holder is unknown."""

    def held(self) -> list[str]:
        """Return the names of the locks that this manager holds in this process, sorted."""

    def check(self, name: str) -> None:
        """Check that this manager still holds a lock.

        Raises:
            LockLostError: It does not.
        """

    def cleanup_all_locks(self) -> None:
        """Release all locks that this manager holds in this process."""


class Locks(ABC, Generic[T]):
    """A lock manager, except how one lock is taken: the table of held locks, and waits.

    Each manager has a table of its own, so that a thread never shares a lock with another one. A
    forked child starts with an empty table.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held: dict[str, T | None] = {}  # None while it is being acquired or released
        _managers.add(self)

    @contextmanager
    def lock(
        self, name: str, blocking: bool = True, timeout: float | None = None
    ) -> Iterator[None]:
        """Hold a lock for a `with` block.

        Args:
            name: Name of the lock, any str.
            blocking: Wait while another holder has it.
            timeout: Seconds to wait at most; None waits without limit.

        Raises:
            LockHeldError: Another holder has it, and the call does not wait, or waited `timeout`
                seconds.
        """
        if not self.acquire(name, blocking, timeout):
            raise held_error(name, self.holder(name))
        try:
            yield
        finally:
            self._release(name)

    @asynccontextmanager
    async def alock(
        self, name: str, blocking: bool = True, timeout: float | None = None
    ) -> AsyncIterator[None]:
        """Async version of `lock`, for an `async with` block."""
        if not await self.aacquire(name, blocking, timeout):
            raise held_error(name, await self.aholder(name))
        try:
            yield
        finally:
            await uninterrupted(self._release, name)

    def acquire(self, name: str, blocking: bool = True, timeout: float | None = None) -> bool:
        """Acquire a lock.

        Args:
            name: Name of the lock, any str.
            blocking: Wait while another holder has it.
            timeout: Seconds to wait at most; None waits without limit.

        Returns:
            True if this manager now holds the lock.
        """
        arguments.text(name, "name")
        for seconds in _waits(blocking, timeout):
            if self._try(name):
                return True
            time.sleep(seconds)
        return self._try(name)

    async def aacquire(
        self, name: str, blocking: bool = True, timeout: float | None = None
    ) -> bool:
        """Async version of `acquire`. A cancelled call holds no lock."""
        arguments.text(name, "name")
        return await acquire_async(cast("LockManager", self), name, blocking, timeout)

    def release(self, name: str) -> None:
        """Release a lock of this manager.

        Raises:
            UsageError: This manager does not hold it.
        """
        if not self._release(arguments.text(name, "name")):
            raise UsageError(f"the lock {name!r} is not held by this lock manager")

    async def arelease(self, name: str) -> None:
        """Async version of `release`."""
        await uninterrupted(self.release, name)

    @abstractmethod
    def is_locked(self, name: str) -> bool:
        """Return True if any process holds the lock. Never makes another `acquire` fail."""

    async def ais_locked(self, name: str) -> bool:
        """Async version of `is_locked`."""
        return await asyncio.to_thread(self.is_locked, name)

    @abstractmethod
    def holder(self, name: str) -> LockHolder | None:
        """Return the process that holds a lock; None if it is free, or the holder is unknown."""

    async def aholder(self, name: str) -> LockHolder | None:
        """Async version of `holder`."""
        return await asyncio.to_thread(self.holder, name)

    def held(self) -> list[str]:
        """Return the names of the locks that this manager holds in this process, sorted."""
        with self._mutex:
            return sorted(name for name, token in self._held.items() if token is not None)

    def check(self, name: str) -> None:
        """Check that this manager still holds a lock.

        Raises:
            LockLostError: It does not.
        """
        token = self._held.get(name)
        if token is None or not self._is_valid(token):
            raise LockLostError(f"the lock {name!r} was lost")

    def cleanup_all_locks(self) -> None:
        """Release all locks that this manager holds in this process."""
        for name in self.held():
            self._release(name)

    async def acleanup_all_locks(self) -> None:
        """Async version of `cleanup_all_locks`."""
        await uninterrupted(self.cleanup_all_locks)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.cleanup_all_locks()

    def _try(self, name: str) -> bool:
        with self._mutex:
            if name in self._held:
                return False
            self._held[name] = None
        token = None
        try:
            token = self._take(name)
        finally:
            with self._mutex:
                if token is None:
                    del self._held[name]
                else:
                    self._held[name] = token
        return token is not None

    def _release(self, name: str) -> bool:
        """Release a lock; return False if this manager does not hold it."""
        with self._mutex:
            token = self._held.get(name)
            if token is None:
                return False
            self._held[name] = None
        try:
            self._give(name, token)
        finally:
            with self._mutex:
                del self._held[name]
        return True

    def _renew(self) -> None:
        """Start again with no locks, in a forked child."""
        inherited = [token for token in self._held.values() if token is not None]
        self._mutex = threading.Lock()
        self._held = {}
        self._disown(inherited)

    @abstractmethod
    def _take(self, name: str) -> T | None:
        """Take a free lock without waiting; return None if another holder has it."""

    @abstractmethod
    def _give(self, name: str, token: T) -> None:
        """Give a lock back that `_take` returned."""

    @abstractmethod
    def _is_valid(self, token: T) -> bool:
        """Return False if the lock was lost."""

    @abstractmethod
    def _disown(self, tokens: list[T]) -> None:
        """Drop the locks of the parent process in a forked child; they remain the parent's."""


def held_error(name: str, holder: LockHolder | None) -> LockHeldError:
    """Return the error for a lock that another holder has."""
    by = "another holder" if holder is None else str(holder)
    return LockHeldError(f"the lock {name!r} is held by {by}")


async def acquire_async(
    manager: LockManager, name: str, blocking: bool = True, timeout: float | None = None
) -> bool:
    """Acquire a lock of any manager without blocking the event loop.

    A cancelled call holds no lock.
    """
    for seconds in _waits(blocking, timeout):
        if await _try_async(manager, name):
            return True
        await asyncio.sleep(seconds)
    return await _try_async(manager, name)


async def uninterrupted(function: Callable[..., R], *args: Any) -> R:
    """Run a function in another thread to its end, even if the task is cancelled."""
    running = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def _try_async(manager: LockManager, name: str) -> bool:
    acquiring = asyncio.ensure_future(asyncio.to_thread(partial(manager.acquire, name, False)))
    try:
        return await asyncio.shield(acquiring)
    except asyncio.CancelledError:
        await asyncio.wait([acquiring])
        if not acquiring.cancelled() and acquiring.exception() is None and acquiring.result():
            await uninterrupted(manager.release, name)
        raise


def _waits(blocking: bool, timeout: float | None) -> Iterator[float]:
    """Yield the seconds between two attempts, longer each time, until the wait is over."""
    arguments.flag(blocking, "blocking")
    limit = None if timeout is None else arguments.number(timeout, "timeout", "seconds")
    return _delays(limit) if blocking else iter(())


def _delays(limit: float | None) -> Iterator[float]:
    end = None if limit is None else time.monotonic() + limit
    wait = _FIRST_WAIT_SECONDS
    while True:
        left = wait if end is None else end - time.monotonic()
        if left <= 0:
            return
        yield min(left, wait * random.uniform(0.5, 1))  # noqa: S311 - keeps waiters apart
        wait = min(wait * 2, _LONGEST_WAIT_SECONDS)


_managers: WeakSet[Locks[Any]] = WeakSet()


def _renew_all() -> None:
    for manager in list(_managers):
        manager._renew()


os.register_at_fork(after_in_child=_renew_all)
