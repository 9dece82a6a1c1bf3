"""Which environments a process has open: each store once, shared by all who open it."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.environment import Environment

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.lmdb.environment import Sync


class Registry:
    """The environments of one process, counted by their users.

    They are kept by what their data file is: one store is found by every path that leads to it, and
    a store that was deleted and made again is another one. The lock is taken after a gate, never
    before one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._environments: dict[tuple[int, int], Environment] = {}
        self._forking = Lock()

    def acquire(self, folder: str, sync: Sync, map_size: int, *, readonly: bool) -> Environment:
        """The environment of the store in `folder`, open, with one user more."""
        with self._lock:
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

    def release(self, env: Environment) -> None:
        """One user fewer; after the last one the environment is closed."""
        with self._lock:
            env.users -= 1
            if env.users:
                return
        with env.exclusive(), self._lock:
            if not env.users:
                self._environments.pop(env.identity, None)
                env.close()

    def before_fork(self) -> None:
        """Wait until no thread is in a transaction, and let none begin."""
        self._forking.acquire()
        quiet: set[tuple[int, int]] = set()
        while True:
            self._lock.acquire()
            rest = [env for key, env in self._environments.items() if key not in quiet]
            if not rest:
                return
            self._lock.release()
            for env in rest:
                env.before_fork()
                quiet.add(env.identity)

    def after_fork_in_parent(self) -> None:
        """Go on as before."""
        for env in self._environments.values():
            env.after_fork_in_parent()
        self._lock.release()
        self._forking.release()

    def after_fork_in_child(self) -> None:
        """Start with locks of its own, and with every environment to be opened anew."""
        self._lock = Lock()
        self._forking = Lock()
        for env in self._environments.values():
            env.after_fork_in_child()


_registry = Registry()
acquire = _registry.acquire
release = _registry.release
os.register_at_fork(
    before=_registry.before_fork,
    after_in_parent=_registry.after_fork_in_parent,
    after_in_child=_registry.after_fork_in_child,
)
