"""Sweeps that are killed, that need many transactions, or that find damaged records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.engine import prune, sweep, threads
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.operations import retention
from tests.contract.driver import SaverDriver, config, put, put_chain, values
from tests.engine import reachability
from tests.retention.stores import ALL_LIMITS, TTL_5, CountingStore, KillError, contents

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.retention.conftest import Clock, RetentionDriver


def fill(saver: LmdbSaver, clock: Clock) -> None:
    """Store threads of every kind. Some of them have expired."""
    driver = SaverDriver(saver)
    put_chain(
        driver, [f"{number:03}" for number in range(12)], thread="large", run_id="r", user="u"
    )
    driver.put_writes(config("large", id="011"), [("x", ["a" * 500])], "task")
    driver.copy_thread("large", "shares")
    saver.fork(config("large", id="005"), "forked")
    put(driver, "1", {"x": "y" * 900}, thread="small")
    put(driver, "2", thread="small", ns="call:1", parents={"": "1"})
    driver.put_writes(config("early", id="1"), [("x", 1)], "task")
    put_chain(driver, "12345", thread="long")
    saver.set_ttl("long", None)
    clock.wait(5)
    put(driver, "012", {"value": "z" * 900}, thread="shares", parent="011")
    put(driver, "6", thread="long", parent="5")


def read_all(saver: LmdbSaver) -> list[Any]:
    return [
        (one, saver.get_delta_channel_history(config=one.config, channels=["x"]))
        for one in saver.list(None)
    ]


@pytest.mark.parametrize("ttl", [TTL_5, ALL_LIMITS], ids=["delete", "keep_latest"])
def test_killed_sweep_is_finished_by_next_sweep(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, ttl: Any
) -> None:
    """The sweep is killed after each of its changes. Then all other threads read as before, and
    the next sweep has the same result as an uninterrupted one."""
    monkeypatch.setattr(retention, "_MAX_BATCH", 2)
    monkeypatch.setattr(sweep, "SWEEP_BATCH", 3)
    monkeypatch.setattr(prune, "PURGE_BATCH", 5)
    kv = CountingStore()
    saver = KvSaver(kv, clock=clock, ttl=ttl)
    fill(saver, clock)
    before = (kv._state[0].copy(), kv._state[1].copy())
    shown = read_all(saver)
    with kv.counting() as counts:
        assert saver.sweep().threads > 2
        changes = counts.changes
    after, kept = contents(kv), read_all(saver)
    assert changes > 40
    if ttl is TTL_5:
        assert kept == shown
    for stop in range(changes):
        kv._state = (before[0].copy(), before[1].copy())
        kv.stop_after = stop
        with pytest.raises(KillError):
            KvSaver(kv, clock=clock, ttl=ttl).sweep()
        kv.stop_after = None
        reopened = KvSaver(kv, clock=clock, ttl=ttl)
        if stop % 5 == 0:
            reachability.check(kv)
            if ttl is TTL_5:
                assert read_all(reopened) == shown
        reopened.sweep()
        assert contents(kv) == after
    reachability.check(kv)
    assert read_all(reopened) == kept


def test_thread_is_hidden_while_it_is_purged(
    clock: Clock, kv: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Purging takes several transactions. Chunks that a copy shares are kept."""
    monkeypatch.setattr(prune, "PURGE_BATCH", 4)
    saver = KvSaver(kv, clock=clock, ttl=TTL_5)
    driver = SaverDriver(saver)
    long = [f"{number:03}" for number in range(60)]
    put_chain(driver, long, run_id="r", user_id="u")
    driver.put_writes(config(id="early"), [("x", 1)], "task")  # so that a fork copies records
    saver.fork(config(), "shares")
    driver.put_writes(config(id="000"), [("x", 1)], "task")
    saver.set_ttl("shares", None)
    clock.wait(5)
    lenient = KvSaver(kv, clock=clock)
    tombstones = 0
    write = CountingStore.write

    def watched(self: CountingStore, apply: Any) -> Any:
        nonlocal tombstones
        result = write(self, apply)
        tombstones += reachability.tombstones(kv)
        reachability.check(kv)
        assert lenient.get_tuple(config()) is None
        assert [info.thread_id for info in lenient.threads()] == ["shares"]
        for wanted in ({}, {"run_id": "r"}, {"user_id": "u"}, {"step": 1}):
            shown = {
                one.config["configurable"]["thread_id"] for one in lenient.list(None, filter=wanted)
            }
            assert shown == {"shares"}, wanted
        assert lenient.stats().checkpoints == 60
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CountingStore, "write", watched)
        assert saver.sweep().checkpoints == 60
    assert tombstones > 10
    assert values(driver, config("shares")) == {"value": "value of 059"}
    assert len(driver.list(config("shares"))) == 60


def damage(kv: CountingStore, key: bytes) -> None:
    kv.write(lambda writer: writer.put(key, b"\0" + (writer.get(key) or b"")[1:]))


def number_of(kv: CountingStore, thread: str) -> int:
    with kv.read() as reader:
        found = threads.find(reader, thread)
    assert found is not None
    return found.number


def test_damaged_thread_does_not_stop_sweep(
    clock: Clock, kv: CountingStore, make: Callable[..., RetentionDriver]
) -> None:
    """The report counts the damaged thread. One call sweeps all others."""
    driver = make(ttl=TTL_5)
    for number in range(9):
        put(driver, "1", thread=f"{number}")
    clock.wait(5)
    damaged = number_of(kv, "4")
    damage(kv, keys.checkpoint(keys.NamespaceRef(damaged, 0), "1"))
    for _ in range(2):
        report = driver.sweep()
        assert report.damaged == 1
        assert driver.stats().checkpoints == 1
    assert report.threads == 0


def test_damaged_deleted_thread_does_not_stop_sweep_or_delete(
    clock: Clock,
    kv: CountingStore,
    make: Callable[..., RetentionDriver],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A deleted thread with damaged records cannot be purged."""
    monkeypatch.setattr(prune, "PURGE_BATCH", 4)
    driver = make(ttl=TTL_5)
    for thread in ("a", "b", "c"):
        put_chain(driver, [f"{number:03}" for number in range(60)], thread=thread)
    clock.wait(5)
    numbers = [number_of(kv, thread) for thread in "ab"]
    for thread in ("a", "b", "c"):
        put(driver, "1", thread=thread)
    assert reachability.tombstones(kv) == 3
    damage(kv, keys.checkpoint(keys.NamespaceRef(numbers[0], 0), "050"))
    damage(kv, keys.tombstone(numbers[1]))
    report = driver.sweep()
    assert (report.threads, report.damaged) == (0, 2)
    assert reachability.tombstones(kv) == 2
    driver.delete_thread("a")
    assert driver.get_tuple(config("a")) is None
    assert len(driver.threads()) == 2
