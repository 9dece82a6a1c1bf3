"""Operations that have time wait for one that has not, and share its transaction."""

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
from tests.kv.test_group_commit import CountingStore

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
    """One that waits for company for longer than a test lasts."""
    monkeypatch.setattr(module, "BATCH_DELAY", 3600)
    return GroupCommit(store)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def who(key: bytes) -> Callable[[Writer], int]:
    """Puts a key, and returns the thread that did it."""

    def apply(writer: Writer) -> int:
        writer.put(key, b"")
        return threading.get_ident()

    return apply


def can_wait(commit: GroupCommit, pool: ThreadPoolExecutor, key: bytes) -> Future[int]:
    """Begin an operation that has time, and return once it is in the queue."""
    before = len(commit._queue)
    found = pool.submit(commit.run, who(key), can_wait=True)
    while len(commit._queue) == before or commit._batch_timer is None:
        pass
    return found


def test_alone_it_waits_for_a_while(
    store: CountingStore, commit: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_DELAY", 0.001)
    assert commit.run(who(b"a"), can_wait=True) == threading.get_ident()
    assert store.writes == 1


def weary(commit: GroupCommit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it wait in vain until it does so no more."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "BATCH_DELAY", 0)
        for _ in range(module.MAX_EMPTY_WAITS):
            commit.run(who(b"a"), can_wait=True)


def test_waits_without_effect_become_rare(
    store: CountingStore, commit: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[float] = []

    class Timer:
        def acquire(self, timeout: float) -> None:
            delays.append(timeout)

    monkeypatch.setattr(module, "_acquired_lock", Timer)
    for _ in range(1024):
        commit.run(who(b"a"), can_wait=True)
    assert len(delays) == module.MAX_EMPTY_WAITS + 7  # the operations 16, 32, ..., 1024 waited too


def test_waits_are_frequent_again_after_an_operation_came(
    commit: GroupCommit, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    weary(commit, monkeypatch)
    for _ in range(module.MAX_EMPTY_WAITS - 1):
        commit.run(who(b"a"), can_wait=True)  # for an hour, if it waited
    for _ in range(3):
        waiting = can_wait(commit, pool, b"a")
        assert commit.run(who(b"b")) == waiting.result() == threading.get_ident()


def test_no_operation_waits_on_a_store_without_flushes(commit: GroupCommit) -> None:
    kv = MemoryStore()
    GroupCommit(kv).run(who(b"a"), can_wait=True)  # for an hour, if it waited
    with kv.read() as reader:
        assert reader.get(b"a") == b""


@pytest.mark.parametrize(("sync", "flushes"), [("full", True), ("normal", True), ("off", False)])
def test_a_store_without_flushes_says_so(tmp_path: Path, sync: Any, flushes: bool) -> None:
    key = bytes(range(32))
    for name, encryption_key in (("plain", None), ("encrypted", key)):
        with closing(LmdbStore.open(tmp_path / name, sync=sync)) as kv:
            assert open_encrypted(kv, encryption_key).flushes is flushes


def test_who_comes_while_the_patient_commit_would_have_been_company(
    store: CountingStore,
    commit: GroupCommit,
    pool: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weary(commit, monkeypatch)
    inside, go = threading.Event(), threading.Event()

    def slow(writer: Writer) -> None:
        inside.set()
        assert go.wait(60)

    first = pool.submit(commit.run, slow, can_wait=True)
    assert inside.wait(60)
    second = pool.submit(commit.run, who(b"b"))
    while len(commit._queue) < 2:
        pass
    go.set()
    first.result()
    second.result()
    waiting = can_wait(commit, pool, b"a")
    assert commit.run(who(b"b")) == waiting.result() == threading.get_ident()


def test_the_thread_in_a_hurry_commits_for_all(
    store: CountingStore, commit: GroupCommit, pool: ThreadPoolExecutor
) -> None:
    waiting = [can_wait(commit, pool, key) for key in (b"a", b"b", b"c")]
    own = threading.get_ident()
    assert commit.run(who(b"d")) == own
    assert [future.result() for future in waiting] == [own] * 3
    assert store.writes == 1
    assert store.keys() == {b"a", b"b", b"c", b"d"}
    assert commit.run(who(b"e")) == own  # and the queue is nobody's


def test_a_coroutine_in_a_hurry_ends_the_wait(
    store: CountingStore, commit: GroupCommit, pool: ThreadPoolExecutor
) -> None:
    waiting = can_wait(commit, pool, b"a")
    committed_by = asyncio.run(commit.run_async(who(b"b")))
    assert waiting.result() == committed_by != threading.get_ident()
    assert store.writes == 1


def test_a_coroutine_waits_for_another_one(store: CountingStore, commit: GroupCommit) -> None:
    async def both() -> tuple[int, int]:
        waiting = asyncio.create_task(commit.run_async(who(b"a"), can_wait=True))
        while commit._batch_timer is None:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
        return await commit.run_async(who(b"b")), await waiting

    one, other = asyncio.run(both())
    commit.close()
    assert one == other != threading.get_ident()
    assert store.writes == 1


def test_a_thread_relieves_the_one_that_serves_coroutines(
    store: CountingStore, commit: GroupCommit
) -> None:
    async def both() -> tuple[int, int]:
        waiting = asyncio.create_task(commit.run_async(who(b"a"), can_wait=True))
        while commit._batch_timer is None:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
        urgent = await asyncio.to_thread(commit.run, who(b"b"))
        return await waiting, urgent

    one, other = asyncio.run(both())
    assert one == other
    assert store.writes == 1
    assert asyncio.run(commit.run_async(who(b"c"))) not in (one, threading.get_ident())
    commit.close()


def test_what_does_not_fit_goes_next(
    store: CountingStore,
    commit: GroupCommit,
    pool: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one that waited leads again if the other has not taken all."""
    waiting = [can_wait(commit, pool, key) for key in (b"a", b"b", b"c")]
    monkeypatch.setattr(module, "MAX_BATCH", 2)
    monkeypatch.setattr(module, "BATCH_DELAY", 0.001)
    commit.run(who(b"d"))
    for future in waiting:
        future.result()
    assert store.writes == 2
    assert store.keys() == {b"a", b"b", b"c", b"d"}


def test_an_interrupt_of_the_one_that_waits_leaves_the_others_to_go_on(
    store: CountingStore, commit: GroupCommit, pool: ThreadPoolExecutor
) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def meet() -> Any:
        while commit._batch_timer is None:
            pass
        other = pool.submit(commit.run, who(b"b"), can_wait=True)
        while len(commit._queue) < 2:
            pass
        signal.pthread_kill(main, signal.SIGINT)
        return other

    meeting = pool.submit(meet)
    with pytest.raises(KeyboardInterrupt):
        commit.run(who(b"a"), can_wait=True)
    other = meeting.result()
    commit.run(who(b"c"))
    other.result()
    assert {b"b", b"c"} <= store.keys()
