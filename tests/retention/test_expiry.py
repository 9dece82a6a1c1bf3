"""Expired threads are hidden immediately. A write after one of their checkpoints revives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.engine import prune
from langgraph.checkpoint.lmdb.errors import CheckpointNotFoundError, ThreadExistsError
from tests.contract.driver import config, ids, put, put_chain, values, writes
from tests.engine import reachability
from tests.retention.stores import TTL_5

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.retention.conftest import Clock, RetentionDriver
    from tests.retention.stores import CountingStore


@pytest.fixture
def driver(make: Callable[..., RetentionDriver], clock: Clock) -> RetentionDriver:
    """Return the driver of a saver with the expired thread "t" and the thread "other"."""
    driver = make(ttl=TTL_5)
    put(driver, "1", {"x": "stored in chunks of its own " * 90}, run_id="r", user_id="u", step=1)
    put(driver, "2", {"x": "older"}, parent="1", run_id="r", user_id="u", source="input", step=1)
    driver.put_writes(config(id="2"), [("x", 1), ("delta", 2)], "task")
    put(driver, "3", ns="call:1", parents={"": "2"}, run_id="r")
    clock.wait(1)
    put(driver, "9", thread="other", run_id="other", user_id="other")
    clock.wait(4)
    return driver


def test_put_and_put_writes_restart_the_ttl(
    make: Callable[..., RetentionDriver], clock: Clock
) -> None:
    """A read and a list do not restart it. The thread expires at the exact millisecond."""
    driver = make(ttl=TTL_5)
    put(driver, "1")
    clock.wait(4)
    put(driver, "2", parent="1")
    clock.wait(4)
    driver.put_writes(config(id="1"), [("x", 1)], "task")
    clock.wait(4)
    assert ids(driver.list(config())) == ["2", "1"]
    clock.wait(1 - 0.001 / 60)
    assert driver.get_tuple(config()) is not None
    clock.wait(0.001 / 60)
    assert driver.get_tuple(config()) is None


def test_no_method_returns_expired_thread(driver: RetentionDriver) -> None:
    filters: list[Any] = [
        {}, {"run_id": "r"}, {"source": "input"}, {"step": 1}, {"user_id": "u"},
        {"run_id": "r", "user_id": "u"}, {"none": None},
    ]  # fmt: skip
    for wanted in filters:
        for at in (None, config(), config(ns=None), config(id="1"), config(ns="call:1")):
            shown = driver.list(at, filter=wanted)
            assert {one.config["configurable"]["thread_id"] for one in shown} <= {"other"}
    for at in (config(), config(id="1"), config(ns="call:1"), config(ns="call:1", id="3")):
        assert driver.get_tuple(at) is None
        assert driver.history(at) == driver.children(at) == []
        assert driver.delta_history(at, ["delta"]) == {"delta": {"writes": []}}
    assert driver.branches("t") == driver.branches("t", "call:1") == []
    assert [info.thread_id for info in driver.threads()] == ["other"]
    assert driver.threads("t") == []
    with pytest.raises(CheckpointNotFoundError):
        driver.fork(config(id="1"), "fork")
    driver.copy_thread("t", "copy")
    assert driver.get_tuple(config("copy")) is None
    assert driver.stats().threads == 2  # it counts what is stored


def test_iterators_stop_when_thread_expires(kv: CountingStore, clock: Clock) -> None:
    saver = KvSaver(kv, clock=clock, ttl=TTL_5)
    for number in range(9):
        saver.put(config("ab"[number % 2]), _checkpoint(f"{number}"), {"run_id": "r"}, {})
    for at, found in ((None, {}), (config("a"), {}), (None, {"run_id": "r"})):
        clock.now = 1_700_000_000.0
        listing = saver.list(at, filter=found)
        line = saver.history(config("a", id="8"))
        assert next(listing).checkpoint["id"] == "8"
        assert next(line).checkpoint["id"] == "8"
        clock.wait(5)
        assert [*listing] == [*line] == []


def _checkpoint(checkpoint_id: str) -> Any:
    return {
        "v": 4, "ts": "", "id": checkpoint_id, "channel_values": {}, "channel_versions": {},
        "versions_seen": {},
    }  # fmt: skip


def test_put_after_expired_checkpoint_revives_thread(driver: RetentionDriver, clock: Clock) -> None:
    """This happens when a step of a run takes longer than the TTL."""
    due = driver.saver.sweep(dry_run=True)  # type: ignore[attr-defined]
    assert due.checkpoints == 3
    put(driver, "4", {"y": 1}, parent="2", versions={"x": "2", "y": "4"}, new={"y": "4"})
    assert values(driver, config()) == {"x": "older", "y": 1}
    assert ids(driver.list(config())) == ["4", "2", "1"]
    assert writes(driver, config(id="2")) == [("task", "x", 1), ("task", "delta", 2)]
    assert ids(driver.list(config(ns="call:1"))) == ["3"]
    assert driver.sweep().threads == 0
    info = driver.threads("t")[0]
    assert info.updated.timestamp() == clock.now
    assert info.created.timestamp() == clock.now - 300


def test_put_writes_to_expired_checkpoint_revives_thread(driver: RetentionDriver) -> None:
    driver.put_writes(config(id="2"), [("x", 3)], "task 2")
    assert len(writes(driver, config(id="2"))) == 3
    assert ids(driver.list(config(ns=None))) == ["3", "2", "1"]


def test_subgraph_of_expired_root_checkpoint_revives_thread(driver: RetentionDriver) -> None:
    """The root checkpoint is stored, though the namespace of the subgraph is new."""
    put(driver, "5", ns="call:2", parents={"": "2"})
    assert ids(driver.list(config(ns=None))) == ["5", "3", "2", "1"]
    assert driver.get_tuple(config()) is not None


@pytest.mark.parametrize(
    "begin",
    [
        lambda driver: put(driver, "4", {"y": 1}),
        lambda driver: put(driver, "4", {"y": 1}, parent="none"),
        lambda driver: put(driver, "4", {"y": 1}, ns="call:2", parents={"": "none"}),
        lambda driver: put(driver, "4", {"y": 1}, ns="call:2", parents={"call:1": "3"}),
        lambda driver: put(driver, "2", {"y": 1}),
        lambda driver: driver.put_writes(config(id="4"), [("y", 1)], "task"),
        lambda driver: driver.put_writes(config(id="2", ns="call:1"), [("y", 1)], "task"),
    ],
    ids=[
        "first", "parent unknown", "root unknown", "no root", "same id", "writes", "namespace",
    ],
)  # fmt: skip
def test_other_writes_to_expired_thread_create_new_thread(
    driver: RetentionDriver, kv: CountingStore, begin: Callable[[Any], Any]
) -> None:
    """No record of the old thread is returned or stored."""
    begin(driver)
    shown = driver.list(config(ns=None))
    assert [one.checkpoint["channel_values"] for one in shown] in ([{"y": 1}], [])
    assert all(not one.pending_writes for one in shown)
    assert driver.list(None, filter={"run_id": "r"}) == []
    assert driver.list(None, filter={"user_id": "u"}) == []
    stats = driver.stats()
    assert stats.checkpoints + stats.writes == 2
    reachability.check(kv)
    assert driver.sweep().threads == 0


def test_put_after_sweep_creates_new_thread(driver: RetentionDriver) -> None:
    """The values of the put itself are stored."""
    assert driver.sweep().threads == 1
    put(driver, "4", {"x": "whole"}, parent="2", versions={"x": "2"}, new={})
    assert values(driver, config()) == {"x": "whole"}
    assert ids(driver.list(config(ns=None))) == ["4"]
    assert driver.history(config())[0].parent_config is not None  # as it was put


def test_copy_and_fork_replace_expired_target(
    driver: RetentionDriver, kv: CountingStore, clock: Clock
) -> None:
    """A target that has not expired raises ThreadExistsError."""
    with pytest.raises(ThreadExistsError):
        driver.copy_thread("other", "other 2") or driver.copy_thread("other", "other 2")
    clock.wait(-5)
    put(driver, "1", thread="third")
    clock.wait(5)
    driver.copy_thread("other", "t")
    assert ids(driver.list(config(ns=None))) == ["9"]
    assert driver.fork(config("other"), "third") == config("third", id="9")
    assert ids(driver.list(config("third", ns=None))) == ["9"]
    reachability.check(kv)
    clock.wait(4.5)
    assert {info.thread_id for info in driver.threads()} == {"t", "third", "other 2"}


def test_set_ttl_overrides_default_ttl(make: Callable[..., RetentionDriver], clock: Clock) -> None:
    """The TTL begins at the last activity, even if that was before the call."""
    driver = make(ttl=TTL_5)
    for thread in ("longer", "shorter", "never", "usual", "copied"):
        put(driver, "1", thread=thread)
    clock.wait(1)
    driver.set_ttl("longer", 10)
    driver.set_ttl("shorter", 2)
    driver.set_ttl("never", None)
    driver.copy_thread("never", "copy")
    expires = {info.thread_id: info.expires for info in driver.threads()}
    start = clock.now - 60
    found = {name: at and (at.timestamp() - start) / 60 for name, at in expires.items()}
    assert found == {
        "longer": 10, "shorter": 2, "never": None, "copy": None, "usual": 5, "copied": 5,
    }  # fmt: skip
    clock.wait(1)
    assert "shorter" not in {info.thread_id for info in driver.threads()}
    clock.wait(3)
    assert {info.thread_id for info in driver.threads()} == {"longer", "never", "copy"}
    driver.set_ttl("longer", 1)
    assert {info.thread_id for info in driver.threads()} == {"never", "copy"}
    clock.wait(1e8)
    assert driver.sweep().threads == 4
    assert {info.thread_id for info in driver.threads()} == {"never", "copy"}


def test_set_ttl_works_without_default_ttl(
    make: Callable[..., RetentionDriver], clock: Clock
) -> None:
    driver = make()
    put(driver, "1")
    put(driver, "1", thread="never")
    driver.set_ttl("t", 1)
    clock.wait(1)
    assert [info.thread_id for info in driver.threads()] == ["never"]
    assert driver.sweep().checkpoints == 1


def test_refresh_on_read_restarts_the_ttl(
    make: Callable[..., RetentionDriver], kv: CountingStore, clock: Clock
) -> None:
    """A read is recorded only if a hundredth of the TTL has passed since the last activity."""
    driver = make(ttl={"default_ttl": 100, "refresh_on_read": True})
    put(driver, "1")
    clock.wait(0.99)
    with kv.counting() as counts:
        assert driver.get_tuple(config()) is not None
        assert counts.transactions == 0
    clock.wait(99)
    with kv.counting() as counts:
        assert driver.get_tuple(config(id="1")) is not None
        assert driver.get_tuple(config(id="1")) is not None
        assert counts.transactions == 1
    clock.wait(99)
    assert driver.get_tuple(config()) is not None
    clock.wait(50)
    assert driver.get_tuple(config(id="none")) is None  # a missing checkpoint is not activity
    assert len(driver.list(config())) == 1
    assert len(driver.history(config())) == 1
    clock.wait(50)
    assert driver.get_tuple(config()) is None
    assert driver.sweep().threads == 1


def test_readonly_store_ignores_refresh_on_read(path: Path, clock: Clock) -> None:
    ttl = {"default_ttl": 5, "refresh_on_read": True, "sweep_interval_minutes": 1}
    with LmdbSaver(path, clock=clock) as saver:
        saver.put(config(), _checkpoint("1"), {}, {})
    clock.wait(1)
    with LmdbSaver(path, clock=clock, ttl=ttl, readonly=True) as saver:  # type: ignore[arg-type]
        assert saver.get_tuple(config()) is not None
        clock.wait(4)
        assert saver.get_tuple(config()) is None


def test_keep_latest_does_not_hide_expired_thread(
    make: Callable[..., RetentionDriver], clock: Clock
) -> None:
    """A sweep prunes an idle thread once, and again only after new activity."""
    driver = make(ttl={"default_ttl": 5, "strategy": "keep_latest"})
    put_chain(driver, "123")
    driver.put_writes(config(id="3"), [("x", 1)], "task")
    clock.wait(50)
    assert ids(driver.list(config())) == ["3", "2", "1"]
    assert driver.sweep().checkpoints == 2
    assert ids(driver.list(config())) == ["3"]
    assert writes(driver, config()) == [("task", "x", 1)]
    clock.wait(50)
    assert driver.sweep().threads == 0
    put_chain(driver, "45")
    assert driver.sweep().threads == 0
    clock.wait(5)
    assert driver.sweep().checkpoints == 2
    assert ids(driver.list(config())) == ["5"]


def test_put_does_not_wait_for_purge_of_large_expired_thread(
    make: Callable[..., RetentionDriver],
    kv: CountingStore,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The old thread is hidden immediately. Later calls purge it in batches."""
    monkeypatch.setattr(prune, "PURGE_BATCH", 10)
    driver = make(ttl=TTL_5)
    put_chain(driver, [f"{number:04}" for number in range(500)], run_id="r", user_id="u")
    clock.wait(5)
    with kv.counting() as counts:
        put(driver, "9", {"y": 1})
        assert counts.transactions == 1
        assert counts.changes < 100
    assert reachability.tombstones(kv) == 1
    assert ids(driver.list(None)) == ids(driver.list(config())) == ["9"]
    assert (
        driver.list(None, filter={"run_id": "r"})
        == driver.list(None, filter={"user_id": "u"})
        == []
    )
    assert driver.list(None, filter={"step": 1}) != []
    assert [info.checkpoints for info in driver.threads()] == [1]
    assert driver.stats().checkpoints == 1
    reachability.check(kv)
    driver.delete_for_runs(["r"])
    assert driver.sweep() == type(driver.sweep())()
    assert reachability.tombstones(kv) == 0
    reachability.check(kv)
    assert ids(driver.list(None)) == ["9"]


def test_delete_thread_purges_earlier_tombstones(
    make: Callable[..., RetentionDriver],
    kv: CountingStore,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prune, "PURGE_BATCH", 10)
    driver = make(ttl=TTL_5)
    put_chain(driver, [f"{number:04}" for number in range(100)])
    clock.wait(5)
    put(driver, "9")
    assert reachability.tombstones(kv) == 1
    driver.delete_thread("t")
    assert reachability.tombstones(kv) == 0
    assert driver.stats().checkpoints == 0
