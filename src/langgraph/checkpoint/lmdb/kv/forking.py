"""Hooks around `os.fork()`.

If a hook raises, Python prints the exception and forks anyway. Ctrl-C can end a hook at any step.
So the lock is taken and released by hooks that are not Python code, which Ctrl-C cannot end in the
middle. The other hooks run twice, or the next thread that calls `wait` completes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv.locks import Lock

pending = False
"""True while a thread forks, and after the fork until a thread calls `wait`."""

_turn = Lock()
"""Held by the thread that forks."""


class Renewable(Protocol):
    """An object with locks or threads, which a child process must not inherit."""

    def renew(self) -> None:
        """Start again in a child process. May be called twice."""


_preparing: list[Callable[[], None]] = []
_renewables: WeakSet[Renewable] = WeakSet()


def prepare(prepare_fork: Callable[[], None]) -> None:
    """Call a function before each fork, while `pending` is true."""
    _preparing.append(prepare_fork)


def renew_in_child(renewable: Renewable) -> None:
    """Renew an object in each forked child, for as long as it lives."""
    _renewables.add(renewable)


def check() -> None:
    """Raise UsageError if this thread is in the middle of a fork."""
    if pending and _turn.is_held():
        raise UsageError(
            "this thread is in the middle of os.fork()",
            advice="Use the store before or after os.fork(), not in its hooks.",
        )


def wait() -> None:
    """Wait until no other thread forks.

    Raises:
        UsageError: This thread forks.
    """
    global pending  # noqa: PLW0603
    check()
    with _turn:
        pending = False


def _before() -> None:
    global pending  # noqa: PLW0603
    pending = True
    try:
        for prepare_fork in _preparing:
            prepare_fork()
    except BaseException as error:  # noqa: BLE001
        # The frames of the traceback may hold an environment, which is closed with them.
        raise error.with_traceback(None)  # noqa: B904


def _renew_all() -> None:
    global pending  # noqa: PLW0603
    pending = False
    for renewable in list(_renewables):
        renewable.renew()


# Hooks before a fork run in the opposite order: the lock is taken first. The second call in the
# child completes a first call that was interrupted.
os.register_at_fork(before=_before, after_in_child=_renew_all)
os.register_at_fork(after_in_child=_renew_all)
os.register_at_fork(
    before=_turn.acquire,
    after_in_parent=_turn.release,
    after_in_child=_turn._at_fork_reinit,  # type: ignore[attr-defined]
)
