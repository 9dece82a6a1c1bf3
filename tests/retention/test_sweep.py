"""Sweeps: their reports, their costs, and sweeps while other threads write."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.engine import prune, sweep
from langgraph.checkpoint.lmdb.errors import ReadOnlyError, StoreClosedError
from langgraph.checkpoint.lmdb.operations import retention
from tests.contract.driver import SaverDriver, config, ids, put, put_chain, values, writes
from tests.engine import reachability
from tests.retention.stores import ALL_LIMITS, TTL_5, CountingStore, contents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.retention.conftest import Clock, RetentionDriver


def sweep_and_check(driver: RetentionDriver, **options: Any) -> tuple[int, int, int]:
    """Sweep; compare the report with a dry run and with the stats before and after."""
    before = driver.stats()
    dry_run = driver.sweep(**options, dry_run=True)
    assert driver.stats() == before
    report = driver.sweep(**options)
    after = driver.stats()
    assert (dry_run.dry_run, report.dry_run) == (True, False)
    assert replace(dry_run, dry_run=False) == report
    assert report.checkpoints == before.checkpoints - after.checkpoints
    assert report.writes == before.writes - after.writes
    assert report.bytes == before.bytes - after.bytes
    return report.threads, report.checkpoints, report.writes


@pytest.mark.parametrize("batch", [1, 64])
def test_report_equals_change_of_stats(
    make: Callable[..., RetentionDriver],
    kv: CountingStore,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
) -> None:
    """A thread that is due for several reasons counts once, in one transaction or in several."""
    monkeypatch.setattr(retention, "_MAX_BATCH", batch)
    driver = make(ttl=ALL_LIMITS)
    put_chain(driver, "12345")
    driver.put_writes(config(id="5"), [("x", 1), ("y", 2)], "task")
    driver.put_writes(config(id="4"), [("x", 1)], "task")
    driver.copy_thread("t", "copy")
    put_chain(driver, "1234", thread="own")
    driver.set_ttl("own", 1)
    driver.put_writes(config("early", id="1"), [("x", 1)], "task")
    put(driver, "1", thread="short")
    assert sweep_and_check(driver) == (3, 5, 0)  # keep_last keeps three
    clock.wait(2.5)
    assert sweep_and_check(driver) == (3, 6, 4 - 2)  # max_history_age, also in the copy
    put_chain(driver, "67")
    assert sweep_and_check(driver) == (1, 1, 2)  # the former latest checkpoint is now history
    clock.wait(10)
    assert sweep_and_check(driver) == (2, 1, 1)
    assert sweep_and_check(driver) == (0, 0, 0)
    assert [info.checkpoints for info in driver.threads()] == [1, 1, 1, 1]
    reachability.check(kv)


def test_limit_is_number_of_threads(make: Callable[..., RetentionDriver], clock: Clock) -> None:
    """The threads that are idle longest are swept first."""
    driver = make(ttl=TTL_5)
    for number in range(100):
        put(driver, "1", thread=f"{number:02}")
        clock.wait(0.01)
    clock.wait(5)
    assert sweep_and_check(driver, limit=0) == (0, 0, 0)
    assert sweep_and_check(driver, limit=70) == (70, 70, 0)
    assert driver.stats().checkpoints == 30
    assert len(make().threads()) == 30
    assert {info.thread_id for info in make().threads()} == {f"{n:02}" for n in range(70, 100)}
    assert sweep_and_check(driver, limit=70) == (30, 30, 0)


def test_now_argument_replaces_the_clock(
    make: Callable[..., RetentionDriver], clock: Clock
) -> None:
    """It is in seconds, or a datetime with a time zone."""
    driver = make(ttl=TTL_5)
    for thread in ("a", "b"):
        put(driver, "1", thread=thread)
        clock.wait(1)
    start = clock.now
    assert sweep_and_check(driver, now=start + 179.999) == (0, 0, 0)
    assert sweep_and_check(driver, now=datetime.fromtimestamp(start + 180, timezone.utc)) == (
        1,
        1,
        0,
    )
    assert [info.thread_id for info in driver.threads()] == ["b"]
    clock.wait(100)
    assert sweep_and_check(driver, now=start) == (0, 0, 0)
    assert driver.threads() == []
    assert sweep_and_check(driver) == (1, 1, 0)


@pytest.mark.parametrize("strategy", ["delete", "keep_latest"])
def test_cost_does_not_depend_on_threads_that_are_not_due(clock: Clock, strategy: str) -> None:
    ttl: Any = {"default_ttl": 5, "strategy": strategy, "keep_last": 3, "max_history_age": 60}
    costs = []
    for others in (10, 200):
        kv = CountingStore()
        saver = KvSaver(kv, clock=clock, ttl=ttl, cache_size=0)
        driver = SaverDriver(saver)
        for number in range(4):
            put_chain(driver, "123", thread=f"old {number}")
        clock.wait(5)
        for number in range(others):
            put_chain(driver, "123", thread=f"new {number}")
            if number % 3 == 0:
                saver.set_ttl(f"new {number}", 1e6)
        saver.sweep(limit=0)
        saver.sweep(now=0)  # clears `needs_trim` of all threads
        with kv.counting() as counts:
            assert saver.sweep().threads == 4
            costs.append((counts.reads, counts.changes, counts.transactions))
        with kv.counting() as counts:
            assert saver.sweep().threads == 0
            assert counts.reads < 10
            assert counts.transactions == 0
    assert costs[0] == costs[1]


def test_sweep_uses_small_transactions(
    clock: Clock, kv: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction deletes at most a batch of records, also from a large thread."""
    saver = KvSaver(kv, clock=clock, ttl=TTL_5)
    for number in range(300):
        put_chain(SaverDriver(saver), "123456", thread=f"{number}")
    put_chain(SaverDriver(saver), [f"{number:04}" for number in range(2000)], thread="large")
    clock.wait(5)
    largest = 0
    write = CountingStore.write

    def watched(self: CountingStore, apply: Any) -> Any:
        nonlocal largest
        before = len(contents(self)) - 1
        try:
            return write(self, apply)
        finally:
            largest = max(largest, before - len(contents(self)))

    monkeypatch.setattr(CountingStore, "write", watched)
    assert saver.sweep().checkpoints == 3800
    assert largest < 8 * (sweep.SWEEP_BATCH + prune.PURGE_BATCH)
    assert not reachability.tombstones(kv)


def test_activity_before_the_transaction_prevents_deletion(
    make: Callable[..., RetentionDriver], clock: Clock
) -> None:
    """Each thread is checked again in the transaction that deletes it."""
    driver = make(ttl={"default_ttl": 5, "max_history_age": 5})
    session: Any = driver.saver._session  # type: ignore[attr-defined]
    for thread in ("idle", "put", "written", "deleted", "recreated"):
        put_chain(driver, "12", thread=thread)
    clock.wait(5)
    operations = retention.sweep(session, None, None, False)
    operation = next(operations)
    put(driver, "3", thread="put", parent="2")
    driver.put_writes(config("written", id="2"), [("x", 1)], "task")
    driver.delete_thread("deleted")
    put(driver, "3", thread="recreated")
    swept = session.run(operation)
    assert (swept.threads, swept.checkpoints) == (1, 2)  # the thread "idle"
    assert ids(driver.list(config("put"))) == ["3", "2", "1"]
    assert ids(driver.list(config("written"))) == ["2", "1"]
    assert ids(driver.list(config("recreated"))) == ["3"]


def test_ttl_begins_at_last_of_rapid_activities(
    make: Callable[..., RetentionDriver], clock: Clock
) -> None:
    """The time index may lag behind the last activity."""
    driver = make(ttl=TTL_5)
    put(driver, "1")
    clock.wait(0.05 / 60)
    put(driver, "2", parent="1")
    clock.wait(5 - 0.04 / 60)
    assert driver.sweep().threads == 0
    assert ids(driver.list(config())) == ["2", "1"]
    clock.wait(0.05 / 60)
    assert driver.sweep().threads == 1


def test_history_of_exact_max_age_is_kept(
    make: Callable[..., RetentionDriver], clock: Clock
) -> None:
    """Older history is deleted."""
    driver = make(ttl={"max_history_age": 5})
    put(driver, "1")
    clock.wait(1)
    put(driver, "2", parent="1")
    put(driver, "3", parent="2")
    clock.wait(5)
    assert sweep_and_check(driver) == (1, 1, 0)
    assert ids(driver.list(config())) == ["3", "2"]


def test_max_history_age_keeps_latest_of_each_namespace(
    make: Callable[..., RetentionDriver], clock: Clock
) -> None:
    """Also keeps its pending writes and the subgraph calls of kept root checkpoints."""
    driver = make(ttl={"max_history_age": 5})
    put_chain(driver, "12")
    put(driver, "1", ns="call:1", parents={"": "1"})
    put(driver, "2", ns="call:2", parents={"": "2"})
    for number in "123":
        put(driver, number, {"m": number}, ns="memory", parents={"": "1"})
    driver.put_writes(config(id="2"), [("x", 1)], "task")
    driver.put_writes(config(id="1"), [("x", 1)], "task")
    clock.wait(5)
    assert driver.sweep().threads == 0  # not older yet
    clock.wait(0.001)
    assert sweep_and_check(driver) == (1, 4, 1)
    assert ids(driver.list(config(ns=None))) == ["3", "2", "2"]
    assert writes(driver, config()) == [("task", "x", 1)]
    assert values(driver, config(ns="memory")) == {"m": "3"}
    assert driver.get_tuple(config(ns="call:1")) is None
    assert driver.get_tuple(config(ns="call:2")) is not None
    put(driver, "3", parent="2")
    clock.wait(6)
    put(driver, "4", parent="3")
    assert ids(driver.list(config())) == ["4", "3", "2"]
    assert sweep_and_check(driver)[0] == 1
    assert ids(driver.list(config(ns=None))) == ["4", "3"]


def test_readonly_and_closed_stores_refuse_sweep(path: Path, clock: Clock) -> None:
    with LmdbSaver(path, clock=clock, ttl=TTL_5) as saver:
        put(SaverDriver(saver), "1")
    clock.wait(5)
    with pytest.raises(StoreClosedError):
        saver.sweep()
    with LmdbSaver(path, clock=clock, ttl=TTL_5, readonly=True) as reader:
        assert reader.threads() == []
        with pytest.raises(ReadOnlyError):
            reader.sweep()
        with pytest.raises(ReadOnlyError):
            reader.set_ttl("t", 5)


def test_sweep_while_threads_write_keeps_store_consistent(path: Path) -> None:
    """A reader gets a complete checkpoint or none. Puts do not fail."""
    ttl: Any = {"default_ttl": 1e-9}
    with LmdbSaver(path, sync="off") as saver, LmdbSaver(path, sync="off", ttl=ttl) as strict:
        stop = threading.Event()
        failures: list[BaseException] = []

        def write(name: str) -> None:
            driver = SaverDriver(saver)
            try:
                parent, log = None, []
                for number in range(60):
                    log.append(f"{name} {number} " * 20)
                    checkpoint_id = f"{number:03}"
                    put(driver, checkpoint_id, {"log": list(log)}, thread=name, parent=parent)
                    at = config(name, id=checkpoint_id)
                    driver.put_writes(at, [("x", log[-1]), ("y", [log])], "task")
                    found = driver.get_tuple(at)
                    if found is not None:
                        assert found.checkpoint["channel_values"] == {"log": log}
                        pending = found.pending_writes
                        assert pending in ([], [("task", "x", log[-1]), ("task", "y", [log])])
                    parent = checkpoint_id
            except BaseException as error:  # noqa: BLE001 - raised in the test
                failures.append(error)

        def sweep_until_stopped() -> None:
            while not stop.is_set():
                strict.sweep()

        writers = [threading.Thread(target=write, args=(name,)) for name in "abc"]
        sweeper = threading.Thread(target=sweep_until_stopped)
        for one in (sweeper, *writers):
            one.start()
        for one in writers:
            one.join()
        stop.set()
        sweeper.join()
        assert not failures
        reachability.check(saver._kv)
        strict.sweep(now=time.time() + 60)
        assert strict.stats().checkpoints == 0
        assert {*contents(saver._kv)} <= {b"\0format", b"\0next-thread", b"\0counts"}


def test_dry_run_needs_no_right_to_write(path: Path) -> None:
    with LmdbSaver(path, clock=lambda: 1000.0) as saver:
        put(SaverDriver(saver), "1", {"x": 1})
        saver.set_ttl("t", 1)
    with LmdbSaver(path, readonly=True, clock=lambda: 2000.0) as reader:
        assert reader.sweep(dry_run=True).threads == 1
        with pytest.raises(ReadOnlyError):
            reader.sweep()
