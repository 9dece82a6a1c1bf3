"""Which environments a process has open: each store once, shared by all who open it."""

from __future__ import annotations

from collections import deque
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.environment import Environment
from langgraph.checkpoint.lmdb.kv.locks import Lock

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.lmdb.opening import Sync

# Seconds that a fork waits for transactions of other threads.
_FORK_PATIENCE: Final = 1.0


class Registry:
    """The environments of one process, counted by their users.

    They are kept by what their data file is: one store is found by every path that leads to it, and
    a store that was deleted and made again is another one. The lock is taken after a gate, never
    before one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._environments: dict[tuple[int, int], Environment] = {}
        self._dropped: deque[Environment] = deque()
        self._unused: list[Environment] = []

    def acquire(self, folder: str, sync: Sync, map_size: int, *, readonly: bool) -> Environment:
        """The environment of the store in `folder`, open, with one user more."""
        self.check_free()
        with self._lock:
            self._release_dropped()
            env = self._environments.get(files.identity(folder))
            if env is None:
                env = Environment(folder, sync, map_size, readonly=readonly)
                self._environments[env.identity] = env
            env.check_no_transaction()
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
        """Raise UsageError if this call interrupts another one that opens or closes a store."""
        self._lock.check_free()

    def release(self, env: Environment) -> None:
        """One user fewer; after the last one the environment is closed."""
        with self._lock:
            env.users -= 1
            if env.users:
                return

        def close_unused() -> None:
            with self._lock:
                if not env.users:
                    self._close(env)

        env.exclusive(close_unused)

    def drop(self, env: Environment) -> None:
        """One user fewer, which was collected: without any waiting.

        A collection may come at any moment, also where its thread holds one of the locks. What
        cannot be done at once is done when a store is opened or dropped the next time.
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
        """Release what was dropped; called with the lock."""
        while self._dropped:
            env = self._dropped.popleft()
            env.users -= 1
            self._unused.append(env)
        unused, self._unused = self._unused, []
        for env in unused:
            # If it fails, a thread is still on its way out.
            if not env.users and not env.alone_at_once(partial(self._close, env)):
                self._unused.append(env)

    def _close(self, env: Environment) -> None:
        if self._environments.get(env.identity) is env:
            del self._environments[env.identity]
        env.close()

    def before_fork(self) -> None:
        """Close what no thread uses, so that the child can open it; wait a moment for the rest."""
        end = monotonic() + _FORK_PATIENCE
        for env in list(self._environments.values()):
            env.before_fork(end)

    def renew(self) -> None:
        """Start in a forked child with locks of its own, and with every environment closed."""
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
