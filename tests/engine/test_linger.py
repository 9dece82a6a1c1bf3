"""A patient operation shares the transaction of one that is not, if that comes soon enough."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.engine import commit as module
from langgraph.checkpoint.lmdb.engine.commit import GroupCommit
from tests.engine.test_commit import CountingStore, adding

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER", 3600)


def started(commit: GroupCommit, work: Callable[[], object]) -> threading.Thread:
    """A thread whose operation is lingering."""
    thread = threading.Thread(target=work)
    thread.start()
    while not commit._lingering:
        assert thread.is_alive()
    return thread


@pytest.mark.usefixtures("for_ever")
def test_it_shares_the_transaction_of_the_next() -> None:
    store = CountingStore()
    commit = GroupCommit(store)
    thread = started(commit, lambda: commit.run(adding(b"patient"), patient=True))
    commit.run(adding(b"other"))
    thread.join()
    assert store.writes == 1
    assert store.keys() == {b"patient", b"other"}


@pytest.mark.usefixtures("for_ever")
def test_patient_ones_wait_together() -> None:
    store = CountingStore()
    commit = GroupCommit(store)
    first = started(commit, lambda: commit.run(adding(b"1"), patient=True))
    second = threading.Thread(target=lambda: commit.run(adding(b"2"), patient=True))
    second.start()
    while len(commit._queue) < 2:
        assert second.is_alive()
    commit.run(adding(b"other"))
    first.join()
    second.join()
    assert store.writes == 1
    assert store.keys() == {b"1", b"2", b"other"}


@pytest.mark.usefixtures("for_ever")
def test_a_coroutine_is_patient_as_well() -> None:
    store = CountingStore()
    commit = GroupCommit(store)

    async def both() -> None:
        patient = asyncio.create_task(commit.run_async(adding(b"patient"), patient=True))
        while not commit._lingering:  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0)
        await commit.run_async(adding(b"other"))
        await patient

    asyncio.run(both())
    commit.close()
    assert store.writes == 1


def test_alone_it_is_committed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER", 0)
    store = CountingStore()
    commit = GroupCommit(store)
    for number in range(3):
        commit.run(adding(bytes((number,))), patient=True)
    assert store.writes == 3


def test_an_interrupt_leaves_the_queue_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operation is committed with the next one, as any whose caller left."""
    store = CountingStore()
    commit = GroupCommit(store)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(commit, "_linger", interrupted)
        with pytest.raises(KeyboardInterrupt):
            commit.run(adding(b"left"), patient=True)
    commit.run(adding(b"other"))
    commit.close()
    assert b"other" in {*store.keys()}
