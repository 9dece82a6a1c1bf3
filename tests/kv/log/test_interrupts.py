"""Ctrl-C at any step of a commit, a merge or a read: no lock is kept, and commits are whole."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing, suppress
from itertools import count
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv.lmdb.process_locks import ProcessLocks
from langgraph.checkpoint.lmdb.kv.log import counters
from langgraph.checkpoint.lmdb.kv.log import store as log_store
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from tests.kv.log.ends import end_process
from tests.kv.log.images import contents
from tests.kv.processes import fork, in_thread
from tests.kv.test_fork_interrupts import Injector
from tests.kv.test_turn_interrupts import interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from langgraph.checkpoint.lmdb.kv import Writer

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(300),
    # An interrupt may come while a closed reader is collected.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def commit(store: LogStore, number: int) -> None:
    """Set two keys to a number."""

    def apply(writer: Writer) -> None:
        writer.put(b"one", b"%d" % number)
        writer.put(b"two", b"%d" % number)

    store.write(apply)


def number_in(store: LogStore) -> int:
    """Return the number of the last commit, after an assertion that both keys have it."""
    found = contents(store)
    assert found[b"one"] == found[b"two"], found
    return int(found[b"one"])


def read(store: LogStore, number: int) -> None:
    contents(store)


def merge(store: LogStore, number: int) -> None:
    store.merge()


@pytest.mark.parametrize("always_merges", [False, True], ids=["log", "merge"])
@pytest.mark.parametrize("use", [commit, merge, read])
def test_store_is_whole_and_free_after_an_interrupt_at_any_step(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    use: Callable[[LogStore, int], None],
    always_merges: bool,
) -> None:
    if always_merges:
        monkeypatch.setattr(log_store, "_MAX_KEYS", 0)
    with closing(LogStore.open(folder, sync="off")) as store:
        commit(store, 0)
        other = ProcessLocks(str(folder), None, name=counters.NAME)  # stands for another process
        number = 0
        for step in count():
            commit(store, number := number + 1)
            fired = interrupted(lambda one=number + 1: use(store, one), step)
            assert other.try_acquire_write()
            other.release_write()
            other._released_at = 0.0
            in_thread(lambda: contents(store))
            found = number_in(store)
            assert found in ((number, number + 1) if use is commit else (number,))
            number = found
            if not fired:
                break
        other.close()
    assert step > 10
    with closing(LogStore.open(folder, sync="off")) as store:
        assert number_in(store) == number


class Caller(Injector):
    """A profiler that calls a function at the n-th step, as a signal handler does."""

    def __init__(self, step: int, call: Callable[[], object]) -> None:
        super().__init__(step)
        self._call = call

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        try:
            super().__call__(frame, event, argument)
        except KeyboardInterrupt:
            with suppress(UsageError):
                self._call()


def test_commit_is_kept_when_a_signal_handler_opens_the_store_at_any_step(folder: Path) -> None:
    others: list[LogStore] = []
    with closing(LogStore.open(folder, sync="off")) as store:
        commit(store, 0)
        for number in count(1):
            caller = Caller(number - 1, lambda: others.append(LogStore.open(folder, sync="off")))
            sys.setprofile(caller)
            commit(store, number)
            sys.setprofile(None)
            assert number_in(store) == number
            while others:
                others.pop().close()
            if not caller.fired:
                break
    assert number > 10
    with closing(LogStore.open(folder, sync="off")) as store:
        assert number_in(store) == number


class Killer(Injector):
    """A profiler that kills the process at the n-th step of the package's code."""

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        try:
            super().__call__(frame, event, argument)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(use: Callable[[], object], step: int) -> bool:
    """Run a function in a child that is killed at a step; return True if it had that many steps."""
    child = fork()
    if child == 0:
        try:
            sys.setprofile(Killer(step))
            use()
        finally:
            os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


STRIDES = [pytest.param(17, id="some"), pytest.param(1, id="every", marks=pytest.mark.long)]
"""Steps from one kill to the next."""


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("always_merges", [False, True], ids=["log", "merge"])
def test_store_is_whole_after_a_child_is_killed_at_any_step_of_a_commit(
    folder: Path, monkeypatch: pytest.MonkeyPatch, always_merges: bool, stride: int
) -> None:
    if always_merges:
        monkeypatch.setattr(log_store, "_MAX_KEYS", 0)
    with closing(LogStore.open(folder, sync="off")) as store:
        commit(store, 0)
        number = 0
        for step in count(0, stride):
            store.merge()  # or the child would take more and more steps to read the log
            commit(store, number := number + 1)
            was_killed = killed(lambda one=number + 1: commit(store, one), step)
            found = number_in(store)
            assert found == number + 1 or (was_killed and found == number)
            number = found
            if not was_killed:
                break
    assert step > 100


@pytest.mark.parametrize("stride", STRIDES)
def test_store_is_whole_after_a_process_is_killed_at_any_step_of_opening_and_closing(
    folder: Path, stride: int
) -> None:
    """Each step is followed by another way to open the store, and to leave it."""

    def use(number: int) -> None:
        store = LogStore.open(folder, sync="off")
        commit(store, number)
        commit(store, number + 1)
        store.close()

    use(0)
    number = 1
    for step in count(0, stride):
        was_killed = killed(lambda one=number + 1: use(one), step)
        seen = None
        if step % 2:
            with closing(LogStore.open(folder, sync="off", readonly=True)) as reading:
                seen = number_in(reading)
        store = LogStore.open(folder, sync="off")
        found = number_in(store)
        assert seen in (None, found)
        assert found == number + 2 or (was_killed and found in (number, number + 1))
        number = found
        if step % 3:
            store.close()
            assert {path.name for path in folder.iterdir()} == {"data.mdb", "lock.mdb"}
        else:
            end_process(store)
        if not was_killed:
            break
    assert step > 400


def test_closing_removes_the_unfinished_log_of_a_killed_process(folder: Path) -> None:
    with closing(LogStore.open(folder, sync="off")) as store:
        commit(store, 0)
        (folder / "log.new").write_bytes(b"half a log")
    assert {path.name for path in folder.iterdir()} == {"data.mdb", "lock.mdb"}
