"""Reads wait for queued writes whose callers no longer wait."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph

from tests.contract.driver import SaverDriver, checkpoint, config, ids, put, put_chain
from tests.contract.holders import write_lock
from tests.contract.test_async import METADATA, aput
from tests.graphs.conftest import needs_contexts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from langgraph.checkpoint.lmdb import LmdbSaver

pytestmark = pytest.mark.timeout(60)


async def by_get(saver: LmdbSaver) -> list[str]:
    found = await saver.aget_tuple(config())
    return [] if found is None else [found.checkpoint["id"]]


async def by_list(saver: LmdbSaver) -> list[str]:
    return ids([one async for one in saver.alist(config())])


async def by_history(saver: LmdbSaver) -> list[str]:
    return ids([one async for one in saver.ahistory(config())])


async def by_children(saver: LmdbSaver) -> list[str]:
    return ids(await saver.achildren(config(id="c1")))


async def by_a_thread(saver: LmdbSaver) -> list[str]:
    return ids(await asyncio.to_thread(lambda: [*saver.list(config())]))


@pytest.mark.parametrize("read", [by_get, by_list, by_history, by_children, by_a_thread])
def test_read_waits_for_a_cancelled_write(
    saver: LmdbSaver, path: Path, read: Callable[[LmdbSaver], Awaitable[list[str]]]
) -> None:
    put_chain(SaverDriver(saver), ["c1"])

    async def go() -> list[str]:
        with write_lock(path) as lock:
            sent = checkpoint("c2", {"value": 2}, {"value": 2})
            task = asyncio.create_task(saver.aput(config(id="c1"), sent, METADATA, {"value": 2}))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            reading = asyncio.ensure_future(read(saver))
            await asyncio.sleep(0)
            lock.release()
            return await reading

    assert "c2" in asyncio.run(go())


def test_waiting_read_can_be_cancelled(saver: LmdbSaver, path: Path) -> None:
    async def go() -> list[str]:
        with write_lock(path) as lock:
            for task in (aput(saver, "c1", 1), by_get(saver), by_get(saver)):
                cancelled = asyncio.ensure_future(task)
                await asyncio.sleep(0)
                cancelled.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await cancelled
            lock.release()
            return await by_get(saver)

    assert asyncio.run(go()) == ["c1"]
    assert not saver._session._commit._lanes[0]._has_abandoned()


def test_read_waits_for_an_interrupted_write(saver: LmdbSaver, path: Path) -> None:
    driver, main = SaverDriver(saver), threading.main_thread().ident
    assert main is not None
    with write_lock(path) as lock:
        leading = threading.Thread(target=put, args=(driver, "c1"))
        leading.start()
        while not saver._session._commit._lanes[0]._queue:
            pass

        def interrupt() -> None:
            while len(saver._session._commit._lanes[0]._queue) < 2:
                pass
            signal.pthread_kill(main, signal.SIGINT)

        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            put(driver, "c2")
        interrupting.join()
        releasing = threading.Thread(target=lock.release)
        releasing.start()
        assert ids([*saver.list(config())]) == ["c2", "c1"]
        releasing.join()
        leading.join()


def test_failure_of_a_cancelled_write_does_not_affect_reads(
    open_saver: Callable[..., LmdbSaver], path: Path
) -> None:
    saver = open_saver()
    put_chain(SaverDriver(saver), ["c1"])

    async def go() -> list[str]:
        with write_lock(path) as lock:
            copying = asyncio.create_task(saver.acopy_thread("t", "t"))
            await asyncio.sleep(0)
            copying.cancel()
            reading = asyncio.ensure_future(by_list(saver))
            await asyncio.sleep(0)
            lock.release()
            return await reading

    assert asyncio.run(go()) == ["c1"]


class State(TypedDict):
    x: int


@needs_contexts
def test_state_of_a_cancelled_run_has_its_error(
    open_saver: Callable[..., LmdbSaver],
) -> None:
    saver = open_saver(sync="full")

    async def go() -> None:
        started = asyncio.Event()

        async def slow(_: State) -> None:
            started.set()
            await asyncio.Event().wait()

        builder: Any = StateGraph(State)
        for name in ("one", "other"):
            builder.add_node(name, slow)
            builder.add_edge(START, name)
        graph = builder.compile(checkpointer=saver)
        for number in range(30):
            started.clear()
            thread: Any = {"configurable": {"thread_id": str(number)}}
            run = asyncio.create_task(graph.ainvoke({"x": 0}, thread))
            await started.wait()
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            state = await graph.aget_state(thread)
            assert [task.error for task in state.tasks] == ["CancelledError()"] * 2

    asyncio.run(go())
