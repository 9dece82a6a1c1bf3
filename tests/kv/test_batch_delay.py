"""Operations that can wait share the transaction of an operation that cannot."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.encryption.open import open_encrypted
from langgraph.checkpoint.lmdb.kv import group_commit as module
from langgraph.checkpoint.lmdb.kv.group_commit import GroupCommit
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.kv.crowd import CountingStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from langgraph.checkpoint.lmdb.kv.base import Writer

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def commit(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> GroupCommit:
    """A group commit that waits for a second operation for longer than a test lasts."""
    monkeypatch.setattr(module, "BATCH_DELAY", 3600)
    return GroupCommit(store)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def storing(key: bytes) -> Callable[[Writer], int]:
    """Return an operation that stores a key and returns the id of its thread."""

    def apply(writer: Writer) -> int:
        writer.put(key, b"")
        return threading.get_ident()

    return apply


def can_wait(commit: GroupCommit, pool: ThreadPoolExecutor, key: bytes) -> Future[int]:
    """Begin an operation that can wait, and return when it is in the queue."""
    before = len(commit._queue)
    found = pool.submit(commit.run, storing(key), can_wait=True)
    while len(commit._queue) == before or commit._batch_timer is None:
        pass
    return found


def test_single_operation_waits_for_the_batch_delay(
    store: CountingStore, commit: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_DELAY", 0.001)
    assert commit.run(storing(b"a"), can_wait=True) == threading.get_ident()
    assert store.writes == 1


def without_waits(commit: GroupCommit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let operations wait without effect, until they no longer wait."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "BATCH_DELAY", 0)
        for _ in range(module.MAX_EMPTY_WAITS):
            commit.run(storing(b"a"), can_wait=True)


def test_waits_without_effect_become_rare(
    store: CountingStore, commit: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[float] = []

    class Timer:
        def acquire(self, timeout: float) -> None:
            delays.append(timeout)

    monkeypatch.setattr(module, "_acquired_lock", Timer)
    for _ in range(1024):
        commit.run(storing(b"a"), can_wait=True)
    assert len(delays) == module.MAX_EMPTY_WAITS + 7  # the operations 16, 32, ..., 1024 waited too


def test_waits_are_frequent_again_after_a_second_operation(
    commit: GroupCommit, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_waits(commit, monkeypatch)
    for _ in range(module.MAX_EMPTY_WAITS - 1):
        commit.run(storing(b"a"), can_wait=True)  # for an hour, if it waited
    for _ in range(3):
        waiting = can_wait(commit, pool, b"a")
        assert commit.run(storing(b"b")) == waiting.result() == threading.get_ident()


def test_no_operation_waits_on_a_store_without_flushes(commit: GroupCommit) -> None:
    kv = MemoryStore()
    GroupCommit(kv).run(storing(b"a"), can_wait=True)  # for an hour, if it waited
    with kv.read() as reader:
        assert reader.get(b"a") == b""


@pytest.mark.parametrize(("sync", "flushes"), [("full", True), ("normal", True), ("off", False)])
def test_flushes_is_false_if_the_store_does_not_flush(
    tmp_path: Path, sync: Any, flushes: bool
) -> None:
    key = bytes(range(32))
    for name, encryption_key in (("plain", None), ("encrypted", key)):
        with closing(LmdbStore.open(tmp_path / name, sync=sync)) as kv:
            assert open_encrypted(kv, encryption_key).flushes is flushes


def test_operation_that_arrives_during_a_commit_makes_waits_frequent_again(
    store: CountingStore,
    commit: GroupCommit,
    pool: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_waits(commit, monkeypatch)
    inside, go = threading.Event(), threading.Event()

    def slow(writer: Writer) -> None:
        inside.set()
        assert go.wait(60)

    first = pool.submit(commit.run, slow, can_wait=True)
    assert inside.wait(60)
    second = pool.submit(commit.run, storing(b"b"))
    while len(commit._queue) < 2:
        pass
    go.set()
    first.result()
    second.result()
    waiting = can_wait(commit, pool, b"a")
    assert commit.run(storing(b"b")) == waiting.result() == threading.get_ident()


def test_thread_that_cannot_wait_commits_the_whole_queue(
    store: CountingStore, commit: GroupCommit, pool: ThreadPoolExecutor
) -> None:
    waiting = [can_wait(commit, pool, key) for key in (b"a", b"b", b"c")]
    own = threading.get_ident()
    assert commit.run(storing(b"d")) == own
    assert [future.result() for future in waiting] == [own] * 3
    assert store.writes == 1
    assert store.keys() == {b"a", b"b", b"c", b"d"}
    assert commit.run(storing(b"e")) == own  # the queue has no leader


def test_coroutine_that_cannot_wait_ends_the_wait(
    store: CountingStore, commit: GroupCommit, pool: ThreadPoolExecutor
) -> None:
    waiting = can_wait(commit, pool, b"a")
    committed_by = asyncio.run(commit.run_async(storing(b"b")))
    assert waiting.result() == committed_by != threading.get_ident()
    assert store.writes == 1


def test_coroutine_waits_for_another_coroutine(store: CountingStore, commit: GroupCommit) -> None:
    async def both() -> tuple[int, int]:
        waiting = asyncio.create_task(commit.run_async(storing(b"a"), can_wait=True))
        while commit._batch_timer is None:  # noqa: ASYNC110 - there is nothing to await
            await asyncio.sleep(0)
        return await commit.run_async(storing(b"b")), await waiting

    one, other = asyncio.run(both())
    commit.close()
    assert one == other != threading.get_ident()
    assert store.writes == 1


def test_thread_leads_instead_of_the_worker(store: CountingStore, commit: GroupCommit) -> None:
    async def both() -> tuple[int, int]:
        waiting = asyncio.create_task(commit.run_async(storing(b"a"), can_wait=True))
        while commit._batch_timer is None:  # noqa: ASYNC110 - there is nothing to await
            await asyncio.sleep(0)
        urgent = await asyncio.to_thread(commit.run, storing(b"b"))
        return await waiting, urgent

    one, other = asyncio.run(both())
    assert one == other
    assert store.writes == 1
    assert asyncio.run(commit.run_async(storing(b"c"))) not in (one, threading.get_ident())
    commit.close()


def test_operations_beyond_the_batch_limit_are_committed_next(
    store: CountingStore,
    commit: GroupCommit,
    pool: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The operation that waited leads again if operations are left."""
    waiting = [can_wait(commit, pool, key) for key in (b"a", b"b", b"c")]
    monkeypatch.setattr(module, "MAX_BATCH", 2)
    monkeypatch.setattr(module, "BATCH_DELAY", 0.001)
    commit.run(storing(b"d"))
    for future in waiting:
        future.result()
    assert store.writes == 2
    assert store.keys() == {b"a", b"b", b"c", b"d"}


def test_other_callers_continue_if_the_waiting_leader_is_interrupted(
    store: CountingStore, commit: GroupCommit, pool: ThreadPoolExecutor
) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def meet() -> Any:
        while commit._batch_timer is None:
            pass
        other = pool.submit(commit.run, storing(b"b"), can_wait=True)
        while len(commit._queue) < 2:
            pass
        signal.pthread_kill(main, signal.SIGINT)
        return other

    meeting = pool.submit(meet)
    with pytest.raises(KeyboardInterrupt):
        commit.run(storing(b"a"), can_wait=True)
    other = meeting.result()
    commit.run(storing(b"c"))
    other.result()
    assert {b"b", b"c"} <= store.keys()
