"""Damaged records: methods raise an error with the location, or skip them if asked."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import stores
from tests.verification.damage import flipped

if TYPE_CHECKING:
    from collections.abc import Callable

ANY: Any = {"configurable": {"thread_id": "a"}}
HEAD = stores.config("a", "sub")
THIRD = stores.config("a", "sub", "0003")


def damaged(key: bytes | None) -> LmdbSaver:
    """Return a saver on a store; if a key is given, one bit of its record is flipped."""
    kv = MemoryStore()
    saver = KvSaver(kv, clock=stores.Clock())
    stores.grow(saver, "b", 1, 3)
    stores.grow(saver, "a", 1, 3)
    stores.grow(saver, "a", 1, 6, "sub")

    def flip(writer: Any) -> None:
        if key is not None:
            writer.put(key, flipped(writer.get(key), Random(1)))

    kv.write(flip)
    return KvSaver(kv, clock=stores.Clock())


RECORD = keys.checkpoint(keys.NamespaceRef(2, 1), "0003")
WRITES = keys.writes(keys.NamespaceRef(2, 1), "0003") + keys.text("task-3")

METHODS: dict[str, Callable[[LmdbSaver], object]] = {
    "get_tuple": lambda saver: saver.get_tuple(THIRD),
    "list": lambda saver: [*saver.list(ANY)],
    "list of all": lambda saver: [*saver.list(None)],
    "list by run": lambda saver: [*saver.list(None, filter={"run_id": "a-run-1"})],
    "history": lambda saver: [*saver.history(HEAD)],
    "children": lambda saver: saver.children(stores.config("a", "sub", "0002")),
    "get_delta_channel_history": lambda saver: saver.get_delta_channel_history(
        config=stores.config("a", "sub", "0005"), channels=["never"]
    ),
    "prune": lambda saver: saver.prune(["a"]),
    "delete_for_runs": lambda saver: saver.delete_for_runs(["a-run-1"]),
    "put": lambda saver: stores.put(saver, THIRD, "0004b", {"n": 1}),
}


@pytest.mark.parametrize("method", METHODS)
def test_error_names_thread_namespace_and_checkpoint(method: str) -> None:
    saver = damaged(RECORD)
    with pytest.raises(DamagedError) as caught:
        METHODS[method](saver)
    error = caught.value
    assert (error.thread_id, error.checkpoint_ns, error.checkpoint_id) == ("a", "sub", "0003")


@pytest.mark.parametrize("method", ["get_tuple", "list", "prune", "history"])
def test_error_of_damaged_writes_names_the_checkpoint(method: str) -> None:
    with pytest.raises(DamagedError) as caught:
        METHODS[method](damaged(WRITES))
    error = caught.value
    assert (error.thread_id, error.checkpoint_ns, error.checkpoint_id) == ("a", "sub", "0003")


@pytest.mark.parametrize("method", ["get_tuple", "list", "list by run", "prune"])
def test_copy_of_a_damaged_checkpoint_is_damaged(method: str) -> None:
    """A copy reads no checkpoints. Its own methods find the damage, and the error names it."""
    saver = damaged(RECORD)
    saver.copy_thread("a", "c")
    saver.delete_thread("a")
    calls: dict[str, Callable[[], object]] = {
        "get_tuple": lambda: saver.get_tuple(stores.config("c", "sub", "0003")),
        "list": lambda: [*saver.list({"configurable": {"thread_id": "c"}})],
        "list by run": lambda: [*saver.list(None, filter={"run_id": "a-run-1"})],
        "prune": lambda: saver.prune(["c"]),
    }
    with pytest.raises(DamagedError) as caught:
        calls[method]()
    error = caught.value
    assert (error.thread_id, error.checkpoint_ns, error.checkpoint_id) == ("c", "sub", "0003")


def test_error_of_fork_names_the_damaged_checkpoint() -> None:
    saver = damaged(keys.checkpoint(keys.NamespaceRef(2, 0), "0001"))
    with pytest.raises(DamagedError) as caught:
        saver.fork(stores.config("a"), "c")
    error = caught.value
    assert (error.thread_id, error.checkpoint_ns, error.checkpoint_id) == ("a", "", "0001")


@pytest.mark.parametrize("method", ["threads", "list", "get_tuple"])
def test_damaged_thread_record_raises(method: str) -> None:
    saver = damaged(keys.thread_number(2))
    with pytest.raises(DamagedError):
        saver.threads() if method == "threads" else METHODS[method](saver)


def test_undamaged_checkpoints_are_read() -> None:
    saver = damaged(RECORD)
    assert saver.get_tuple(HEAD) is not None
    assert len([*saver.list(stores.config("b"))]) == 2
    assert len(saver.threads()) == 2


def by_config(found: list[Any]) -> list[Any]:
    """Sort checkpoints by config, because checkpoints with equal ids have no fixed order."""
    return sorted(found, key=lambda one: sorted(one.config["configurable"].items()))


@pytest.mark.parametrize("config", [None, ANY])
@pytest.mark.parametrize("wanted", [None, {"run_id": "a-run-1"}, {"user_id": "u"}])
def test_list_skips_damaged_checkpoints(
    config: Any, wanted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    saver, whole = damaged(RECORD), damaged(None)
    expected = [found for found in whole.list(config, filter=wanted) if found.config != THIRD]
    with caplog.at_level(logging.WARNING):
        found = [*saver.list(config, filter=wanted, skip_damaged=True)]
    assert by_config(found) == by_config(expected)
    assert "checkpoint_id '0003'" in caplog.text


def test_list_skips_a_damaged_thread(caplog: pytest.LogCaptureFixture) -> None:
    saver = damaged(keys.thread_number(2))
    found = {c.config["configurable"]["thread_id"] for c in saver.list(None, skip_damaged=True)}
    assert found == {"b"}
    assert [*saver.list(stores.config("a"), skip_damaged=True)] == []
    assert caplog.text.count("left out") == 2


@pytest.mark.parametrize(
    "key",
    [keys.thread_number(2), keys.thread_id("a"), keys.checkpoint(keys.NamespaceRef(2, 0), "0005")],
)
@pytest.mark.parametrize("prefix", [None, "", "a"])
def test_threads_skips_a_damaged_thread(
    key: bytes, prefix: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread's record, its id, or its latest checkpoint is damaged."""
    saver = damaged(key)
    with pytest.raises(DamagedError):
        saver.threads("a")
    found = saver.threads(prefix, skip_damaged=True)
    expected = [info for info in damaged(None).threads(prefix) if info.thread_id != "a"]
    assert found == expected
    assert caplog.text.count("left out") == 1
    assert asyncio.run(saver.athreads(prefix, skip_damaged=True)) == expected


def test_threads_without_damage_is_the_same_with_skip_damaged() -> None:
    saver = damaged(None)
    for limits in ({}, {"limit": 1}, {"prefix": "b"}, {"after": "b"}):
        assert saver.threads(**limits, skip_damaged=True) == saver.threads(**limits)


def ids(found: Any) -> list[str]:
    return [one.config["configurable"]["checkpoint_id"] for one in found]


def test_history_skips_a_damaged_checkpoint_and_ends_at_an_unreadable_one() -> None:
    assert ids(damaged(WRITES).history(HEAD, skip_damaged=True)) == ["0005", "0004", "0002", "0001"]
    assert ids(damaged(RECORD).history(HEAD, skip_damaged=True)) == ["0005", "0004"]


def test_async_methods_skip_the_same_checkpoints() -> None:
    async def listed(saver: LmdbSaver) -> list[str]:
        config = stores.config("a", "sub")
        return ids([c async for c in saver.alist(config, skip_damaged=True)])

    async def walked(saver: LmdbSaver) -> list[str]:
        return ids([c async for c in saver.ahistory(HEAD, skip_damaged=True)])

    assert asyncio.run(listed(damaged(RECORD))) == ["0005", "0004", "0002", "0001"]
    assert asyncio.run(walked(damaged(WRITES))) == ["0005", "0004", "0002", "0001"]
    with pytest.raises(DamagedError):
        asyncio.run(_alist(damaged(RECORD)))


async def _alist(saver: LmdbSaver) -> list[Any]:
    return [c async for c in saver.alist(stores.config("a", "sub"))]


@pytest.mark.parametrize(
    "key",
    [
        b"e",
        b"e\x00",
        b"e\x00\xf7\x01",
        b"e\x04\x00",
        b"r" * 12,
        b"m" + b"l" * 9,
        b"T\xff",
        b"t\xff",
    ],
)
def test_foreign_keys_are_damage_or_have_no_effect(key: bytes) -> None:
    kv = MemoryStore()
    saver = KvSaver(kv, clock=stores.Clock(), ttl={"default_ttl": 1e-6, "keep_last": 1})
    stores.grow(saver, "a", 1, 3)
    kv.write(lambda writer: writer.put(key, b""))
    saver = KvSaver(kv, clock=stores.Clock())
    for call in (
        saver.threads,
        lambda: [*saver.list(None)],
        lambda: [*saver.list(None, filter={"run_id": "a-run-0"})],
        lambda: saver.sweep(now=4e9),
        lambda: saver.copy_thread("a", "b"),
        lambda: saver.delete_thread("a"),
    ):
        with suppress(DamagedError):
            call()
    assert not saver.verify().ok
    assert saver.verify(repair=True).ok


def test_index_entry_of_a_namespace_without_a_name() -> None:
    """A damaged page of LMDB can make the namespace record unreachable."""
    saver = damaged(None)
    saver._kv.write(lambda writer: writer.delete(keys.namespace(2, "sub")))
    with pytest.raises(DamagedError, match="has lost its name") as caught:
        METHODS["list by run"](saver)
    assert caught.value.thread_id == "a"
    assert caught.value.checkpoint_id is not None
    found = [*saver.list(None, filter={"run_id": "a-run-1"}, skip_damaged=True)]
    assert {one.config["configurable"]["checkpoint_ns"] for one in found} <= {""}
