"""Ctrl-C at any step of a read or a write: the locks between processes are free afterwards."""

from __future__ import annotations

import sys
from contextlib import nullcontext, suppress
from itertools import count
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.kv.lmdb import process_locks
from langgraph.checkpoint.lmdb.kv.lmdb.process_locks import ProcessLocks
from tests.kv.processes import in_thread
from tests.kv.test_fork_interrupts import Injector, reading
from tests.kv.test_lmdb_sharing import content, put

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langgraph.checkpoint.lmdb.kv import LmdbStore

Open = "Callable[..., LmdbStore]"

pytestmark = [
    pytest.mark.timeout(120),
    # An interrupt may come while a closed reader is collected.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("beside", [False, True], ids=["", "beside a reader"])
@pytest.mark.parametrize("use", [content, lambda store: store.write(put(b"k"))])
def test_process_locks_are_free_after_an_interrupt_at_any_step(
    open_lmdb: Open, folder: Path, use: Callable[[LmdbStore], object], beside: bool
) -> None:
    store = open_lmdb()
    other = ProcessLocks(str(folder), None)  # stands for another process
    content(store)
    for step in count():
        with reading(store) if beside else nullcontext():
            fired = interrupted(lambda: use(store), step)
        check_free(other)
        in_thread(lambda: content(store))
        in_thread(lambda: store.write(put(b"l")))
        if not fired:
            break
    other.close()
    assert step > 20


def test_interrupt_at_any_step_of_waiting_ends_the_wait(
    open_lmdb: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_lmdb()
    other = ProcessLocks(str(folder), None)
    pause = process_locks.LockWait.pause

    def give(self: process_locks.LockWait) -> None:
        other.release_write()
        pause(self)

    monkeypatch.setattr(process_locks.LockWait, "pause", give)
    for step in count():
        assert other.try_acquire_write()
        fired = interrupted(lambda: store.write(put(b"k")), step)
        other.release_write()
        other._released_at = 0.0
        check_free(other)
        if not fired:
            break
    other.close()
    assert step > 20


def interrupted(use: Callable[[], object], step: int) -> bool:
    """Interrupt a call at a step; return True if the call had that many steps."""
    injector = Injector(step)
    with suppress(KeyboardInterrupt):
        try:
            sys.setprofile(injector)
            use()
        finally:
            sys.setprofile(None)
    return injector.fired


def check_free(other: ProcessLocks) -> None:
    assert not process_locks._is_held(
        other.handle, process_locks._WAITING, process_locks._WAITING + 1
    )
    assert other.acquire_readers()
    other.release_readers()
    assert other.try_acquire_write()
    other.release_write()
