"""Savers that are dropped without being closed, after every kind of use."""

from __future__ import annotations

import asyncio
import copy
import gc
import threading
import warnings
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.kv.log.store import LogStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONFIG: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
PATIENCE = 60  # seconds until a thread counts as hung


def put(saver: LmdbSaver, count: int = 1) -> None:
    for _ in range(count):
        saver.put(CONFIG, empty_checkpoint(), {}, {})


async def put_async(saver: LmdbSaver) -> None:
    await saver.aput(CONFIG, empty_checkpoint(), {}, {})
    assert await saver.aget_tuple(CONFIG) is not None


def is_open(path: Path) -> bool:
    return any(
        str(path) in str(one.resolve()) for one in Path("/proc/self/fd").iterdir() if one.exists()
    )


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("lmdb-saver-")]


@contextmanager
def warned() -> Iterator[None]:
    """Expect the warning of one store that was not closed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        for thread in threads():
            thread.join(PATIENCE)
    assert len([one for one in caught if "was not closed" in str(one.message)]) == 1


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Run the test without the garbage collector of reference cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


USES: dict[str, Callable[[LmdbSaver], object]] = {
    "nothing": lambda saver: None,
    "put": put,
    "read": lambda saver: [put(saver), saver.get_tuple(CONFIG), list(saver.list(None))],
    "aput": lambda saver: asyncio.run(put_async(saver)),
    "both": lambda saver: [asyncio.run(put_async(saver)), put(saver)],
    "stats": lambda saver: [put(saver), saver.stats(), saver.threads()],
    "verify": lambda saver: [put(saver), saver.verify(repair=True)],
    "delete": lambda saver: [put(saver, 3), saver.delete_thread("t"), saver.compact()],
    "error": lambda saver: [failing(saver)],
}


def failing(saver: LmdbSaver) -> None:
    with pytest.raises(Exception, match="thread_id"):
        saver.put({"configurable": {}}, empty_checkpoint(), {}, {})


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sync": "full"},
        {"encryption_key": b"k" * 32},
        {"ttl": {"default_ttl": 60, "sweep_interval_minutes": 60}},
    ],
    ids=["plain", "full", "encrypted", "swept"],
)
def test_dropped_saver_closes_its_store_and_ends_its_threads(
    path: Path, use: str, options: dict[str, Any]
) -> None:
    saver: Any = LmdbSaver(path, **{"sync": "off", **options})
    USES[use](saver)
    with warned():
        del saver
    assert not is_open(path)
    assert threads() == []


def test_closed_saver_is_collected_without_a_warning(path: Path) -> None:
    saver: Any = LmdbSaver(path, sync="off")
    asyncio.run(put_async(saver))
    saver.close()
    store = weakref.ref(saver._kv)
    del saver
    for thread in threads():
        thread.join(PATIENCE)
    assert store() is None


@pytest.mark.parametrize("first", ["saver", "clone"])
def test_store_remains_open_for_a_copy_of_the_saver(path: Path, first: str) -> None:
    strict = JsonPlusSerializer(allowed_msgpack_modules=None)
    both: dict[str, Any] = {"saver": LmdbSaver(path, sync="off", serde=strict)}
    both["clone"] = both["saver"].with_allowlist([(__name__, "Anything")])
    both["third"] = copy.copy(both["clone"])
    assert both["clone"] is not both["saver"]
    del both[first]
    del both["third"]
    (left,) = both
    put(both[left])
    assert is_open(path)
    with warned():
        both.clear()
    assert not is_open(path)


def test_iterator_works_after_its_saver_is_dropped(path: Path) -> None:
    saver: Any = LmdbSaver(path, sync="off")
    put(saver, 5)
    listed = saver.list(CONFIG)
    next(listed)
    del saver
    gc.collect()
    with warned():
        assert len([*listed]) == 4
        del listed
    assert not is_open(path)


def test_async_iterator_works_after_its_saver_is_dropped(path: Path) -> None:
    async def run() -> int:
        saver: Any = LmdbSaver(path, sync="off")
        for _ in range(5):
            await put_async(saver)
        listed = saver.alist(CONFIG)
        del saver
        gc.collect()
        return len([one async for one in listed])

    with warned():
        assert asyncio.run(run()) == 5
    assert not is_open(path)


def test_running_call_of_a_dropped_saver_completes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, resume = threading.Event(), threading.Event()
    write = LogStore.write

    def held(self: LogStore, apply: Any) -> Any:
        inside.set()
        assert resume.wait(PATIENCE)
        return write(self, apply)

    saver: Any = LmdbSaver(path, sync="off")
    put(saver)
    monkeypatch.setattr(LogStore, "write", held)
    working = threading.Thread(target=put, args=(saver,))
    working.start()
    assert inside.wait(PATIENCE)
    with warned():
        del saver
        gc.collect()
        assert is_open(path)
        resume.set()
        working.join(PATIENCE)
        del working
    assert not is_open(path)
    monkeypatch.undo()
    with LmdbSaver(path, sync="off") as saver:
        assert len([*saver.list(CONFIG)]) == 2


def test_cancelled_call_does_not_keep_the_saver_alive(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, inside, resume = LogStore.write, threading.Event(), threading.Event()

    def held(self: LogStore, apply: Any) -> Any:
        inside.set()
        assert resume.wait(PATIENCE)
        return write(self, apply)

    async def run() -> None:
        saver: Any = LmdbSaver(path, sync="off")
        await put_async(saver)
        monkeypatch.setattr(LogStore, "write", held)
        task = asyncio.ensure_future(put_async(saver))
        assert await asyncio.to_thread(inside.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with warned():
        asyncio.run(run())
        gc.collect()
        resume.set()
    assert not is_open(path)
    monkeypatch.undo()


def test_saver_in_a_reference_cycle_is_collected_at_the_limit_of_descriptors(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langgraph.checkpoint.lmdb.errors import StoreIOError
    from langgraph.checkpoint.lmdb.kv.lmdb import creation

    ring: list[Any] = [LmdbSaver(path, sync="off")]
    ring.append(ring)
    del ring
    prepare = creation.prepare

    def lacking(*arguments: Any, **options: Any) -> str:
        if is_open(path):
            raise StoreIOError("too many files are open")
        return prepare(*arguments, **options)

    monkeypatch.setattr(creation, "prepare", lacking)
    with warned():
        another = LmdbSaver(path.with_name("another"), sync="off")
    put(another)
    another.close()
