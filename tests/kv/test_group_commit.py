"""Group commit: operations that wait at the same time share a transaction, but no errors."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.kv import group_commit as module
from langgraph.checkpoint.lmdb.kv.group_commit import GroupCommit
from tests.kv.crowd import CountingStore, Crowd, InterruptError, OwnError, adding, failing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from langgraph.checkpoint.lmdb.kv.base import Writer

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def commit(store: CountingStore) -> Iterator[GroupCommit]:
    commit = GroupCommit(store)
    yield commit
    commit.close()


@pytest.fixture
def crowd(store: CountingStore, commit: GroupCommit) -> Iterator[Crowd]:
    crowd = Crowd(store, commit)
    yield crowd
    store.gate.set()
    crowd.pool.shutdown()


@pytest.fixture
def loops() -> Iterator[list[asyncio.AbstractEventLoop]]:
    """Two event loops, each running in a thread."""
    loops = [asyncio.new_event_loop() for _ in range(2)]
    threads = [threading.Thread(target=loop.run_forever) for loop in loops]
    for thread in threads:
        thread.start()
    yield loops
    for loop, thread in zip(loops, threads, strict=True):
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_waiting_operations_share_a_transaction(store: CountingStore, crowd: Crowd) -> None:
    futures = [crowd.submit(adding(b"%d" % n)) for n in range(30)]
    crowd.go()
    assert [future.result() for future in futures] == [b"%d" % n for n in range(30)]
    assert store.writes == 2
    assert len(store.keys()) == 31


def test_failed_operation_fails_no_other_operation(store: CountingStore, crowd: Crowd) -> None:
    futures = [crowd.submit((failing if n in (3, 7) else adding)(b"%d" % n)) for n in range(10)]
    crowd.go()
    for n, future in enumerate(futures):
        if n in (3, 7):
            with pytest.raises(OwnError):
                future.result()
        else:
            assert future.result() == b"%d" % n
    assert store.keys() == {b"first"} | {b"%d" % n for n in range(10) if n not in (3, 7)}


def test_threads_and_loops_share_a_transaction(
    store: CountingStore, crowd: Crowd, loops: list[asyncio.AbstractEventLoop]
) -> None:
    futures = [
        crowd.submit_async(loops[n % 3], adding(b"%d" % n))
        if n % 3 < 2
        else crowd.submit(adding(b"%d" % n))
        for n in range(12)
    ]
    crowd.go()
    assert [future.result() for future in futures] == [b"%d" % n for n in range(12)]
    assert store.writes == 2


def test_coroutines_share_a_transaction(
    store: CountingStore, crowd: Crowd, loops: list[asyncio.AbstractEventLoop]
) -> None:
    futures = [
        crowd.submit_async(loops[n % 2], (failing if n == 4 else adding)(b"%d" % n))
        for n in range(8)
    ]
    crowd.go()
    for n, future in enumerate(futures):
        if n == 4:
            with pytest.raises(OwnError):
                future.result()
        else:
            assert future.result() == b"%d" % n
    assert store.keys() == {b"first"} | {b"%d" % n for n in range(8) if n != 4}


@pytest.mark.parametrize("tasks", [0, 1, 3, 7, 12])
def test_long_queue_is_committed_in_batches(
    store: CountingStore,
    crowd: Crowd,
    loops: list[asyncio.AbstractEventLoop],
    monkeypatch: pytest.MonkeyPatch,
    tasks: int,
) -> None:
    """A thread may lead while its own operation is in a later batch."""
    monkeypatch.setattr(module, "MAX_BATCH", 3)
    futures = [crowd.submit_async(loops[0], adding(b"a%d" % n)) for n in range(tasks)]
    futures += [crowd.submit(adding(b"t%d" % n)) for n in range(5)]
    futures += [crowd.submit_async(loops[1], adding(b"b%d" % n)) for n in range(tasks)]
    crowd.go()
    assert len({future.result() for future in futures}) == 2 * tasks + 5
    assert store.writes == 1 + -(-(2 * tasks + 5) // 3)


def test_cancelled_call_affects_no_other_call(
    store: CountingStore, crowd: Crowd, loops: list[asyncio.AbstractEventLoop]
) -> None:
    futures = [crowd.submit_async(loops[0], adding(b"%d" % n)) for n in range(6)]
    for future in futures[::2]:
        future.cancel()
    crowd.go()
    assert [future.result() for future in futures[1::2]] == [b"1", b"3", b"5"]
    assert crowd.commit.run(adding(b"later")) == b"later"
    later = asyncio.run_coroutine_threadsafe(crowd.commit.run_async(adding(b"l")), loops[0])
    assert later.result() == b"l"


def test_work_before_the_transaction_is_done_outside_it_by_the_committing_thread(
    store: CountingStore, commit: GroupCommit
) -> None:
    seen: list[tuple[int, int]] = []

    def apply(writer: Writer) -> bytes:
        seen.append((store.writes, threading.get_ident()))
        return adding(b"a")(writer)

    def before() -> None:
        seen.append((store.writes, threading.get_ident()))

    assert asyncio.run(commit.run_async(apply, before=before)) == b"a"
    (writes, worker), (writes_then, worker_then) = seen
    assert (writes, writes_then) == (0, 1)
    assert worker == worker_then != threading.get_ident()


def test_error_before_the_transaction_fails_no_other_operation(
    store: CountingStore, crowd: Crowd, loops: list[asyncio.AbstractEventLoop]
) -> None:
    def fail() -> None:
        raise OwnError

    def submit(key: bytes, before: Callable[[], None] | None) -> Future[bytes]:
        call = crowd.commit.run_async(adding(key), before=before)
        return crowd._queued(lambda: asyncio.run_coroutine_threadsafe(call, loops[0]))

    futures = [submit(b"%d" % n, fail if n % 2 else None) for n in range(6)]
    crowd.go()
    assert [future.result() for future in futures[::2]] == [b"0", b"2", b"4"]
    for future in futures[1::2]:
        with pytest.raises(OwnError):
            future.result()
    assert store.keys() == {b"first", b"0", b"2", b"4"}
    assert store.writes == 2


def test_operation_alone_that_fails_before_its_transaction_opens_none(
    store: CountingStore, commit: GroupCommit
) -> None:
    def fail() -> None:
        raise OwnError

    with pytest.raises(OwnError):
        asyncio.run(commit.run_async(adding(b"a"), before=fail))
    assert store.writes == 0
    assert asyncio.run(commit.run_async(adding(b"b"))) == b"b"


def test_work_before_the_transaction_is_repeated_after_an_interrupt_of_the_leader(
    store: CountingStore, crowd: Crowd, loops: list[asyncio.AbstractEventLoop]
) -> None:
    """An operation that failed for the interrupted leader succeeds for the next one."""
    calls = 0

    def before() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OwnError

    def interrupted() -> None:
        if calls == 1:
            raise InterruptError

    leading = crowd.submit(adding(b"leads"))
    parts = [(b"a", before), (b"b", interrupted)]
    futures = []
    for key, work in parts:
        call = crowd.commit.run_async(adding(key), before=work)
        futures.append(crowd._queued(lambda c=call: asyncio.run_coroutine_threadsafe(c, loops[0])))
    crowd.go()
    with pytest.raises(InterruptError):
        leading.result()
    assert [future.result() for future in futures] == [b"a", b"b"]
    assert calls == 2


def test_closed_event_loop_affects_no_other_call(store: CountingStore, crowd: Crowd) -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(crowd.commit.run_async(adding(b"cancelled")))
    loop.call_soon(loop.stop)
    loop.run_forever()
    task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    future = crowd.submit(adding(b"here"))
    crowd.go()
    assert future.result() == b"here"
    assert crowd.commit.run(adding(b"later")) == b"later"


def test_other_callers_commit_the_queue_of_an_interrupted_leader(
    store: CountingStore, crowd: Crowd
) -> None:
    def interrupted(writer: Writer) -> bytes:
        raise InterruptError

    futures = [crowd.submit(interrupted)] + [crowd.submit(adding(b"%d" % n)) for n in range(5)]
    crowd.go()
    with pytest.raises(InterruptError):
        futures[0].result()
    assert [future.result() for future in futures[1:]] == [b"%d" % n for n in range(5)]
    assert crowd.commit.run(adding(b"later")) == b"later"


def test_operations_are_not_repeated_after_an_interrupt_of_the_leader(
    store: CountingStore, crowd: Crowd
) -> None:
    """An operation that was committed alone before the interrupt has its result."""
    leads = threading.get_ident()

    def interrupted(writer: Writer) -> bytes:
        if store.writes > 4:  # not in the common batch, but when each has its own transaction
            raise InterruptError
        return b""

    def leading(writer: Writer) -> bytes:
        nonlocal leads
        leads = threading.get_ident()
        return adding(b"leading")(writer)

    futures = [
        crowd.submit(leading),
        crowd.submit(failing(b"fails")),
        crowd.submit(adding(b"done")),
    ]
    poison = crowd.submit(interrupted)
    last = crowd.submit(adding(b"last"))
    crowd.go()
    with pytest.raises(InterruptError):
        futures[0].result()  # it led, and was interrupted while it committed other operations
    with pytest.raises(OwnError):
        futures[1].result()
    assert futures[2].result() == b"done"
    with pytest.raises(InterruptError):
        poison.result()
    assert last.result() == b"last"
    assert store.keys() == {b"first", b"leading", b"done", b"last"}


def test_forked_child_has_an_empty_queue() -> None:
    """The child does not wait for the thread that leads in its parent."""

    class Bare(CountingStore):
        def write(self, apply: Callable[[Writer], Any]) -> Any:
            return apply(None)  # type: ignore[arg-type]

    commit = GroupCommit(Bare())

    def forks(writer: Writer) -> int:
        child = os.fork()
        if not child:
            os._exit(commit.run(lambda _: 7))
        return child

    _, status = os.waitpid(commit.run(forks), 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert commit.run(lambda _: 8) == 8


def worker_threads() -> set[threading.Thread]:
    """Return the threads that lead for coroutines, also of savers that were not closed."""
    return {t for t in threading.enumerate() if t.name == "lmdb-saver-commit"}


def test_close_ends_the_worker_and_a_later_call_starts_another(
    store: CountingStore, commit: GroupCommit
) -> None:
    others = worker_threads()
    for n in range(3):
        assert asyncio.run(commit.run_async(adding(b"%d" % n))) == b"%d" % n
        served = worker_threads() - others
        commit.close()
        for thread in served:
            thread.join()


def test_base_exception_of_an_operation_does_not_end_the_worker(
    store: CountingStore, crowd: Crowd, loops: list[asyncio.AbstractEventLoop]
) -> None:
    """The worker continues with the operations of other coroutines."""

    def interrupted(writer: Writer) -> bytes:
        raise InterruptError

    poison = crowd.submit_async(loops[0], interrupted)
    futures = [crowd.submit_async(loops[1], adding(b"%d" % n)) for n in range(3)]
    crowd.go()
    assert [future.result() for future in futures] == [b"0", b"1", b"2"]
    with pytest.raises(InterruptError):
        poison.result()


def test_close_while_another_thread_leads_adds_no_leader(store: CountingStore) -> None:
    """The worker ends; it does not begin to lead while another thread leads."""
    others = worker_threads()
    commit = GroupCommit(store)
    asyncio.run(commit.run_async(adding(b"served")))  # the worker is idle now
    served = worker_threads() - others
    store.writes = 0
    crowd = Crowd(store, commit)
    futures = [crowd.submit(adding(b"%d" % n)) for n in range(4)]
    commit.close()
    for thread in served:
        thread.join()
    assert store.writes == 1
    crowd.go()
    assert [future.result() for future in futures] == [b"0", b"1", b"2", b"3"]
    assert store.writes == 2
    crowd.pool.shutdown()


def test_dropped_group_commit_is_collected_and_its_worker_ends(store: CountingStore) -> None:
    others = worker_threads()
    commit = GroupCommit(store)
    asyncio.run(commit.run_async(adding(b"served")))
    served = worker_threads() - others
    dropped = weakref.ref(commit)
    del commit
    gc.collect()
    for thread in served:
        thread.join()
    assert dropped() is None
