"""The environments that this process has open: one for each store, shared by all its users."""

from __future__ import annotations

from collections import deque
from functools import partial
from time import monotonic
from typing import Final

from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.environment import Environment
from langgraph.checkpoint.lmdb.kv.lmdb.opening import Sync
from langgraph.checkpoint.lmdb.kv.locks import Lock

_FORK_PATIENCE: Final = 1.0
"""Seconds that a fork waits for transactions of other threads."""


class Registry:
    """The environments of one process, with the number of their users.

    Invariants:
        - The key of an environment is the identity of its data file. So a store is found by every
          path to it, and a store that was deleted and created again is another store.
        - A thread takes this lock after the `SharedLock` of an environment, never before it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._environments: dict[tuple[int, int], Environment] = {}
        self._dropped: deque[Environment] = deque()
        self._unused: list[Environment] = []

    def acquire(self, folder: str, sync: Sync, map_size: int, *, readonly: bool) -> Environment:
        """Return the environment of the store in a folder, open, with one more user."""
        self.check_free()
        with self._lock:
            self._release_dropped()
            env = self._environments.get(files.identity(folder))
            if env is None:
                env = Environment(folder, sync, map_size, readonly=readonly)
                self._environments[env.identity] = env
            env.lock.check_not_held()
            env.users += 1
        try:
            if readonly:
                env.open()
            else:
                env.open_for_writing(sync)
        except BaseException:
            self.release(env)
            raise
        return env

    def check_free(self) -> None:
        """Raise UsageError if this call interrupts a call that opens or closes a store."""
        self._lock.check_free()

    def release(self, env: Environment) -> None:
        """Remove one user; close the environment after the last one."""
        with self._lock:
            env.users -= 1
            if env.users:
                return

        def close_unused() -> None:
            with self._lock:
                if not env.users:
                    self._close(env)

        env.lock.exclusive(close_unused)

    def drop(self, env: Environment) -> None:
        """Remove a user that was collected, without waiting.

        A collection may come at any moment, also in a thread that holds one of the locks. If the
        environment cannot be closed now, the next call that opens or drops a store closes it.
        """
        self._dropped.append(env)
        if self._lock.is_held():
            return
        while self._dropped and self._lock.acquire(blocking=False):
            try:
                self._release_dropped()
            finally:
                self._lock.release()

    def _release_dropped(self) -> None:
        """Remove the collected users; called with the lock."""
        while self._dropped:
            env = self._dropped.popleft()
            env.users -= 1
            self._unused.append(env)
        unused, self._unused = self._unused, []
        for env in unused:
            # If it fails, a thread is about to end its transaction.
            if not env.users and not env.lock.try_exclusive(partial(self._close, env)):
                self._unused.append(env)

    def _close(self, env: Environment) -> None:
        if self._environments.get(env.identity) is env:
            del self._environments[env.identity]
        env.close()

    def before_fork(self) -> None:
        """Close the environments without open transactions, so that a child can open them."""
        end = monotonic() + _FORK_PATIENCE
        for env in list(self._environments.values()):
            env.before_fork(end)

    def renew(self) -> None:
        """Start in a forked child with new locks, and with every environment closed."""
        self._lock = Lock()
        for env in self._environments.values():
            env.after_fork_in_child()


_registry = Registry()
acquire = _registry.acquire
release = _registry.release
drop = _registry.drop
check_free = _registry.check_free
forking.prepare(_registry.before_fork)
forking.renew_in_child(_registry)
