"""Contract of the async methods. The other modules here show that results equal the sync ones."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.codec import chunk_maker
from langgraph.checkpoint.lmdb.errors import StoreClosedError, ThreadExistsError
from langgraph.checkpoint.lmdb.format import envelope
from tests.contract.driver import SaverDriver, checkpoint, config, ids, put, put_chain, values
from tests.contract.holders import write_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from langgraph.checkpoint.base import CheckpointMetadata

METADATA: CheckpointMetadata = {"source": "loop", "step": 1, "parents": {}}
PATIENCE = 60.0
"""Seconds after which a process counts as hung."""


def aput(saver: LmdbSaver, cid: str, value: Any, thread: str = "t") -> Coroutine[Any, Any, Any]:
    sent = checkpoint(cid, {"value": value}, {"value": cid})
    return saver.aput(config(thread), sent, METADATA, {"value": cid})


def test_sync_and_async_methods_share_a_store(saver: LmdbSaver) -> None:
    put(SaverDriver(saver), "c1", {"value": 1})

    async def go() -> list[str]:
        await aput(saver, "c2", 2)
        await saver.aput_writes(config(id="c2"), [("x", 1)], "task")
        return [one.config["configurable"]["checkpoint_id"] async for one in saver.alist(config())]

    assert asyncio.run(go()) == ["c2", "c1"]
    assert ids([*saver.list(config())]) == ["c2", "c1"]
    got = saver.get_tuple(config())
    assert got is not None
    assert got.pending_writes == [("task", "x", 1)]


def test_one_saver_serves_several_loops_in_turn(open_saver: Callable[..., LmdbSaver]) -> None:
    """The saver is created inside or outside of a loop."""

    async def construct() -> LmdbSaver:
        return open_saver()

    for saver in (open_saver(), asyncio.run(construct())):
        for number in range(4):
            asyncio.run(aput(saver, f"c{number}", number))
            got = asyncio.run(saver.aget_tuple(config()))
            assert got is not None
            assert got.checkpoint["channel_values"] == {"value": number}
        saver.delete_thread("t")


def test_one_saver_serves_several_loops_concurrently(saver: LmdbSaver) -> None:
    async def go(number: int) -> None:
        thread = f"thread {number}"
        for step in range(10):
            await asyncio.gather(*(aput(saver, f"{step}.{n}", step, thread) for n in range(3)))
        listed = [one async for one in saver.alist(config(thread))]
        assert len(listed) == 30

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: asyncio.run(go(number)), range(6)))
    assert len([*saver.list(None)]) == 180


def test_with_and_async_with_close_the_saver(path: Path) -> None:
    """Every later call raises StoreClosedError."""
    with LmdbSaver(path) as one:
        put(SaverDriver(one), "c1", {"value": 1})

    async def go() -> LmdbSaver:
        async with LmdbSaver(path) as other:
            await aput(other, "c2", 2)
            return other

    other = asyncio.run(go())
    for closed in (one, other):
        with pytest.raises(StoreClosedError):
            closed.get_tuple(config())
        with pytest.raises(StoreClosedError):
            asyncio.run(closed.aget_tuple(config()))


def test_loop_runs_while_a_write_waits(saver: LmdbSaver, path: Path) -> None:
    """The loop releases the lock that the write waits for."""
    put_chain(SaverDriver(saver), ["c1"])

    async def go() -> None:
        with write_lock(path) as lock:
            writing = [
                asyncio.ensure_future(aput(saver, "c2", 2)),
                asyncio.ensure_future(saver.aput_writes(config(id="c1"), [("x", 1)], "task")),
                asyncio.ensure_future(saver.adelete_thread("other")),
            ]
            for _ in range(100):
                await asyncio.sleep(0)
            assert not any(one.done() for one in writing)
            got = await saver.aget_tuple(config())
            assert got is not None
            assert got.checkpoint["id"] == "c1"
            assert [one async for one in saver.alist(config())] == [got]
            lock.release()
            await asyncio.gather(*writing)

    asyncio.run(go())
    assert ids([*saver.list(config())]) == ["c2", "c1"]


class Watching(JsonPlusSerializer):
    """A serializer that records the threads that load a large value."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        if len(data[1]) > 1_000_000:
            self.threads.add(threading.get_ident())
        return super().loads_typed(data)


@pytest.mark.parametrize("known", [True, False], ids=["known", "fresh"])
@pytest.mark.parametrize("part", ["value", "write"])
@pytest.mark.parametrize("read", ["aget_tuple", "alist", "aget_delta_channel_history"])
def test_large_state_is_loaded_outside_of_the_loop(
    open_saver: Callable[..., LmdbSaver], read: str, part: str, known: bool
) -> None:
    """Another thread loads large values, so that the loop is not blocked for long."""
    serde = Watching()
    saver = open_saver(serde=serde)
    large = b"x" * 5_000_000
    put(SaverDriver(saver), "c1", {"value": large} if part == "value" else {})
    if part == "write":
        saver.put_writes(config(id="c1"), [("value", large)], "task")
    put(SaverDriver(saver), "c2", {}, parent="c1", versions={})
    reader = saver if known else open_saver(serde=serde)

    async def go() -> None:
        if read == "alist":
            assert len([one async for one in reader.alist(config())]) == 2
        elif read == "aget_tuple":
            assert await reader.aget_tuple(config(id="c1")) is not None
        else:
            at = config(id="c2")
            found = await reader.aget_delta_channel_history(config=at, channels=["value"])
            assert len(found["value"]["seed"] if part == "value" else found["value"]["writes"])

    serde.threads.clear()
    asyncio.run(go())
    assert serde.threads
    assert threading.get_ident() not in serde.threads


def test_arguments_are_serialized_before_the_first_await(saver: LmdbSaver, path: Path) -> None:
    """A change of the state while the write waits is not stored."""
    state = {"list": [1]}
    put(SaverDriver(saver), "c0")

    async def go() -> None:
        with write_lock(path) as lock:
            writing = [
                asyncio.ensure_future(aput(saver, "c1", state)),
                asyncio.ensure_future(saver.aput_writes(config(id="c1"), [("x", state)], "task")),
            ]
            await asyncio.sleep(0)  # both run to their first await
            state["list"].append(2)
            lock.release()
            await asyncio.gather(*writing)

    asyncio.run(go())
    got = saver.get_tuple(config())
    assert got is not None
    assert got.checkpoint["channel_values"] == {"value": {"list": [1]}}
    assert got.pending_writes == [("task", "x", {"list": [1]})]


def test_messages_changed_while_their_write_waits_are_stored_by_the_next_write(
    saver: LmdbSaver, path: Path
) -> None:
    messages = [HumanMessage(f"message {n}", id=str(n)) for n in range(30)]

    async def go() -> None:
        with write_lock(path) as lock:
            writing = asyncio.ensure_future(aput(saver, "c1", messages))
            await asyncio.sleep(0)
            messages[7].content = "changed"
            messages[8].additional_kwargs["seen"] = [b"bytes"]
            lock.release()
            await writing
        await aput(saver, "c2", messages)
        messages[8].additional_kwargs["seen"] = [b"other"]
        await aput(saver, "c3", messages)

    asyncio.run(go())
    stored = [values(SaverDriver(saver), config(id=cid))["value"] for cid in ("c1", "c2", "c3")]
    assert [message.content for message in stored[0]] == [f"message {n}" for n in range(30)]
    assert stored[1][7].content == "changed"
    seen = [message[8].additional_kwargs.get("seen") for message in stored]
    assert seen == [None, [b"bytes"], [b"other"]]


@pytest.mark.parametrize("is_message", [False, True])
def test_loop_neither_compresses_nor_hashes_what_it_serialized(
    saver: LmdbSaver, monkeypatch: pytest.MonkeyPatch, is_message: bool
) -> None:
    threads: dict[str, set[int]] = {"pack": set(), "digest": set()}

    def note(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any) -> Any:
            threads[name].add(threading.get_ident())
            return function(*arguments)

        return noting

    monkeypatch.setattr(chunk_maker, "digest", note("digest", chunk_maker.digest))
    monkeypatch.setattr(envelope, "pack", note("pack", envelope.pack))
    texts = [f"text {n} " * 20 for n in range(50)]
    value = [HumanMessage(text) for text in texts] if is_message else texts

    async def go() -> None:
        await aput(saver, "c1", value)
        await saver.aput_writes(config(id="c1"), [("x", value[::2])], "task")

    asyncio.run(go())
    assert threads["pack"]
    assert threads["digest"]
    assert threading.get_ident() not in threads["pack"] | threads["digest"]
    assert values(SaverDriver(saver), config(id="c1")) == {"value": value}


def test_cancelled_calls_leave_the_store_consistent(saver: LmdbSaver, path: Path) -> None:
    """A cancelled call is stored completely or not at all; other calls are stored."""
    put(SaverDriver(saver), "a")

    async def go() -> None:
        with write_lock(path) as lock:
            calls = [asyncio.ensure_future(aput(saver, f"c{n:02}", [n] * 50)) for n in range(40)]
            calls += [
                asyncio.ensure_future(
                    saver.aput_writes(config(id="a"), [("x", n), ("y", n)], f"task {n:02}")
                )
                for n in range(40)
            ]
            await asyncio.sleep(0)
            for call in calls[::2]:
                call.cancel()
            outcomes = asyncio.gather(*calls, return_exceptions=True)
            lock.release()
            ended = await outcomes
        assert all(isinstance(one, asyncio.CancelledError) for one in ended[::2])
        assert not any(isinstance(one, BaseException) for one in ended[1::2])
        await aput(saver, "d", "later")

    asyncio.run(go())
    driver = SaverDriver(saver)
    stored = {*ids(driver.list(config()))}
    assert {f"c{n:02}" for n in range(1, 40, 2)} | {"d"} <= stored
    for cid in stored - {"a", "d"}:
        assert values(driver, config(id=cid)) == {"value": [int(cid[1:])] * 50}
    got = saver.get_tuple(config(id="a"))
    assert got is not None
    writes = [*(got.pending_writes or [])]
    tasks = {task for task, _, _ in writes}
    assert {f"task {n:02}" for n in range(1, 40, 2)} <= tasks
    assert writes == [(t, c, int(t[5:])) for t in sorted(tasks) for c in "xy"]


def test_failing_write_does_not_affect_other_writes_of_its_commit(
    saver: LmdbSaver, path: Path
) -> None:
    put(SaverDriver(saver), "c0")
    put(SaverDriver(saver), "c0", thread="taken")

    async def go() -> list[Any]:
        with write_lock(path) as lock:
            calls = [asyncio.ensure_future(aput(saver, f"c{n}", n)) for n in range(1, 6)]
            calls.insert(3, asyncio.ensure_future(saver.acopy_thread("t", "taken")))
            await asyncio.sleep(0)
            lock.release()
            return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(go())
    assert [isinstance(one, ThreadExistsError) for one in outcomes] == [n == 3 for n in range(6)]
    assert [one for n, one in enumerate(outcomes) if n != 3] == [
        config(id=f"c{n}") for n in range(1, 6)
    ]
    assert ids([*saver.list(config())]) == [f"c{n}" for n in range(5, -1, -1)]
    assert ids([*saver.list(config("taken"))]) == ["c0"]


def test_cancelled_list_leaves_the_store_consistent(saver: LmdbSaver) -> None:
    """A cancelled list holds no transaction, and later lists work."""
    put_chain(SaverDriver(saver), [f"c{n:02}" for n in range(50)])

    async def listing(half_way: asyncio.Event) -> None:
        async for one in saver.alist(config()):
            if one.checkpoint["id"] == "c25":
                half_way.set()
                await asyncio.get_running_loop().create_future()

    async def go() -> int:
        half_way = asyncio.Event()
        task = asyncio.ensure_future(listing(half_way))
        await half_way.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await saver.adelete_thread("t")
        return len([one async for one in saver.alist(config())])

    assert asyncio.run(go()) == 0


@pytest.mark.parametrize("close", ["", "saver.close()"], ids=["open", "closed"])
def test_interpreter_exits_with_an_open_or_closed_saver(path: Path, close: str) -> None:
    """Only daemon threads remain after sync and async calls."""
    program = f"""
import asyncio, sys, threading
from langgraph.checkpoint.lmdb import LmdbSaver
from tests.contract.driver import SaverDriver, config, put
from tests.contract.test_async import aput
saver = LmdbSaver(sys.argv[1])
put(SaverDriver(saver), "c1", {{"value": 1}})
async def go():
    await asyncio.gather(*(aput(saver, f"c{{n}}", n) for n in range(20)))
    async for one in saver.alist(config()):
        break
asyncio.run(go())
listing = saver.list(config())
next(listing)
{close}
left = [one for one in threading.enumerate() if one is not threading.main_thread()]
print([one.name for one in left if not one.daemon])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(path)],
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
