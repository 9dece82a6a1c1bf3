"""Rules that every lock manager keeps."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.workflows import (
    FileLockManager,
    LockHolder,
    LockManager,
    PostgresLockManager,
)
from langgraph.checkpoint.lmdb.workflows.errors import LockHeldError, LockLostError
from tests.kv.processes import fork, in_fork, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAMES = (
    "resume_workflow_a",
    "a/b",
    "a%2Fb",
    "A/B",
    "..",
    " ",
    "\0",
    "\udc80",
    "é",
    "e\u0301",
    "x" * 10_000,
    "x" * 9_999 + "y",
)


@pytest.fixture(params=["files", "postgres"])
def new_manager(request: pytest.FixtureRequest, path: Path) -> Iterator[Callable[[], Any]]:
    """Make managers that exclude each other."""
    made = []

    def new() -> Any:
        if request.param == "files":
            made.append(FileLockManager(path))
        else:
            conninfo = request.getfixturevalue("postgres")
            made.append(PostgresLockManager(conninfo, min_conn=0, max_conn=len(NAMES)))
        return made[-1]

    yield new
    for manager in made:
        manager.__exit__(None, None, None)


@pytest.fixture
def manager(new_manager: Callable[[], Any]) -> Any:
    """A lock manager."""
    return new_manager()


def test_managers_follow_the_protocol(manager: Any) -> None:
    assert isinstance(manager, LockManager)


def test_a_lock_excludes_other_managers(new_manager: Callable[[], Any]) -> None:
    first, second = new_manager(), new_manager()
    assert first.acquire("a")
    assert not second.acquire("a", blocking=False)
    assert not second.acquire("a", timeout=0.01)
    assert second.acquire("b", blocking=False)
    first.release("a")
    assert second.acquire("a", blocking=False)


def test_a_lock_excludes_other_threads_of_its_manager(manager: Any) -> None:
    assert manager.acquire("a")
    got: list[bool] = []
    in_thread(lambda: got.append(manager.acquire("a", blocking=False)))
    assert got == [False]
    assert not manager.acquire("a", blocking=False)


def test_a_waiter_gets_the_lock_when_it_is_released(new_manager: Callable[[], Any]) -> None:
    first, second = new_manager(), new_manager()
    assert first.acquire("a")
    waiter = threading.Thread(target=second.acquire, args=("a",))
    waiter.start()
    first.release("a")
    waiter.join(30)
    assert second.held() == ["a"]


def test_lock_holds_a_lock_for_a_block(new_manager: Callable[[], Any]) -> None:
    first, second = new_manager(), new_manager()
    with first.lock("a"):
        assert first.held() == ["a"]
        with (
            pytest.raises(LockHeldError, match=f"process {os.getpid()} on"),
            second.lock("a", blocking=False),
        ):
            pytest.fail("the lock is held")
    with second.lock("a", timeout=0):
        assert first.held() == []


def test_lock_is_released_when_the_block_raises(manager: Any) -> None:
    with pytest.raises(KeyboardInterrupt), manager.lock("a"):
        raise KeyboardInterrupt
    assert not manager.is_locked("a")


def test_names_never_share_a_lock(manager: Any) -> None:
    for name in NAMES:
        assert manager.acquire(name, blocking=False), name
    assert manager.held() == sorted(NAMES)


def test_holder_is_the_process_that_holds_the_lock(new_manager: Callable[[], Any]) -> None:
    first, second = new_manager(), new_manager()
    assert second.holder("a") is None
    assert not second.is_locked("a")
    before = datetime.now(timezone.utc)
    assert first.acquire("a")
    for manager in (first, second):
        assert manager.is_locked("a")
        holder = manager.holder("a")
        assert isinstance(holder, LockHolder)
        assert (holder.host, holder.pid) == (socket.gethostname(), os.getpid())
        assert abs(holder.since - before) < timedelta(minutes=1)
    first.release("a")
    assert second.holder("a") is None
    assert not second.is_locked("a")


def test_questions_never_make_an_acquire_fail(new_manager: Callable[[], Any]) -> None:
    first, second = new_manager(), new_manager()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            second.is_locked("a")
            second.holder("a")

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(100):
            assert first.acquire("a", blocking=False)
            first.release("a")
    finally:
        done.set()
        asking.join()


def test_release_of_a_lock_that_is_not_held_fails(new_manager: Callable[[], Any]) -> None:
    first, second = new_manager(), new_manager()
    assert first.acquire("a")
    with pytest.raises(UsageError, match="'a' is not held by this lock manager"):
        second.release("a")
    assert first.held() == ["a"]


def test_any_thread_may_release_a_lock(manager: Any) -> None:
    assert manager.acquire("a")
    in_thread(lambda: manager.release("a"))
    assert manager.acquire("a", blocking=False)


def test_check_raises_when_the_lock_is_not_held(manager: Any) -> None:
    assert manager.acquire("a")
    manager.check("a")
    manager.release("a")
    with pytest.raises(LockLostError, match="'a' was lost"):
        manager.check("a")


def test_cleanup_releases_the_locks_of_its_manager_only(new_manager: Callable[[], Any]) -> None:
    first, second = new_manager(), new_manager()
    with first.lock("a"), first.lock("b"):
        assert second.acquire("c")
        first.cleanup_all_locks()
        assert first.held() == []
        assert not second.is_locked("a")
        assert second.held() == ["c"]


def test_a_forked_child_does_not_hold_the_locks_of_its_parent(
    new_manager: Callable[[], Any],
) -> None:
    manager = new_manager()
    assert manager.acquire("a")

    def body() -> None:
        assert manager.held() == []
        assert manager.is_locked("a")
        assert not manager.acquire("a", blocking=False)
        assert manager.acquire("b")
        manager.cleanup_all_locks()

    in_fork(body)
    manager.check("a")
    assert new_manager().is_locked("a")


def test_a_lock_ends_with_its_process_although_a_child_lives(
    new_manager: Callable[[], Any],
) -> None:
    manager = new_manager()
    reading, writing = os.pipe()
    end_reading, end_writing = os.pipe()

    def parent() -> None:
        assert manager.acquire("a")
        child = fork()
        if child == 0:
            os.close(end_writing)
            os.read(end_reading, 1)  # until the test ends
            os._exit(0)
        os.write(writing, b"%d" % child)

    in_fork(parent)
    try:
        assert int(os.read(reading, 100)) > 0  # the child lives
        assert manager.acquire("a", timeout=30)
        assert manager.held() == ["a"]
    finally:
        for descriptor in (reading, writing, end_reading, end_writing):
            os.close(descriptor)


@pytest.mark.parametrize("name", [None, "", 7, b"a"])
def test_names_are_checked(manager: Any, name: Any) -> None:
    for call in (manager.acquire, manager.release, manager.is_locked, manager.holder):
        with pytest.raises(UsageError, match="name must be a str that is not empty"):
            call(name)


def test_arguments_are_checked(manager: Any) -> None:
    with pytest.raises(UsageError, match="blocking must be True or False, got 1"):
        manager.acquire("a", blocking=1)
    for timeout in (-1, float("nan"), "1", True):
        with pytest.raises(UsageError, match="timeout must be a number of seconds, 0 or more"):
            manager.acquire("a", timeout=timeout)


def test_async_methods(new_manager: Callable[[], Any]) -> None:
    first, second = new_manager(), new_manager()

    async def run() -> None:
        async with first.alock("a"):
            assert await second.ais_locked("a")
            holder = await second.aholder("a")
            assert holder is not None
            assert not await second.aacquire("a", blocking=False)
            with pytest.raises(LockHeldError):
                async with second.alock("a", timeout=0.01):
                    pytest.fail("the lock is held")
        assert await second.aacquire("a")
        await second.arelease("a")
        assert await second.aacquire("b")
        await second.acleanup_all_locks()
        assert second.held() == []

    asyncio.run(run())


def test_a_cancelled_acquire_holds_no_lock(manager: Any) -> None:
    async def run(steps: int) -> None:
        task = asyncio.ensure_future(manager.aacquire("a"))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert manager.held() == []

    for steps in range(4):
        asyncio.run(run(steps))
