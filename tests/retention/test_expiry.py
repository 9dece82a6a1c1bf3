"""What has expired is out of sight at once; what goes on from it brings it back, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.engine import prune
from langgraph.checkpoint.lmdb.errors import CheckpointNotFoundError, ThreadExistsError
from tests.contract.driver import config, ids, put, put_chain, values, writes
from tests.engine import reachability

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.retention.conftest import Clock, Managed
    from tests.retention.stores import CountingStore

FIVE = {"default_ttl": 5}


@pytest.fixture
def driver(make: Callable[..., Managed], clock: Clock) -> Managed:
    """A saver with one thread that has just expired, and another that has not."""
    driver = make(ttl=FIVE)
    put(driver, "1", {"x": "stored in chunks of its own " * 90}, run_id="r", user_id="u", step=1)
    put(driver, "2", {"x": "older"}, parent="1", run_id="r", user_id="u", source="input", step=1)
    driver.put_writes(config(id="2"), [("x", 1), ("delta", 2)], "task")
    put(driver, "3", ns="call:1", parents={"": "2"}, run_id="r")
    clock.wait(1)
    put(driver, "9", thread="other", run_id="other", user_id="other")
    clock.wait(4)
    return driver


def test_age_is_counted_from_the_last_activity(make: Callable[..., Managed], clock: Clock) -> None:
    """A put and a put_writes count, a read and a listing do not; the last millisecond does."""
    driver = make(ttl=FIVE)
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


def test_nothing_shows_an_expired_thread(driver: Managed) -> None:
    everything: list[Any] = [
        {}, {"run_id": "r"}, {"source": "input"}, {"step": 1}, {"user_id": "u"},
        {"run_id": "r", "user_id": "u"}, {"none": None},
    ]  # fmt: skip
    for found in everything:
        for at in (None, config(), config(ns=None), config(id="1"), config(ns="call:1")):
            shown = driver.list(at, filter=found)
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


def test_an_iterator_stops_at_a_thread_that_expires(kv: CountingStore, clock: Clock) -> None:
    saver = LmdbSaver.on(kv, clock=clock, ttl=FIVE)
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


def test_a_step_that_follows_brings_the_thread_back(driver: Managed, clock: Clock) -> None:
    """A run outlasted the time to live: its next checkpoint finds all it came from."""
    created = driver.saver.sweep(dry_run=True)  # type: ignore[attr-defined]
    assert created.checkpoints == 3
    put(driver, "4", {"y": 1}, parent="2", versions={"x": "2", "y": "4"}, new={"y": "4"})
    assert values(driver, config()) == {"x": "older", "y": 1}
    assert ids(driver.list(config())) == ["4", "2", "1"]
    assert writes(driver, config(id="2")) == [("task", "x", 1), ("task", "delta", 2)]
    assert ids(driver.list(config(ns="call:1"))) == ["3"]
    assert driver.sweep().threads == 0
    info = driver.threads("t")[0]
    assert info.updated.timestamp() == clock.now
    assert info.created.timestamp() == clock.now - 300


def test_writes_that_follow_bring_the_thread_back(driver: Managed) -> None:
    driver.put_writes(config(id="2"), [("x", 3)], "task 2")
    assert len(writes(driver, config(id="2"))) == 3
    assert ids(driver.list(config(ns=None))) == ["3", "2", "1"]


def test_a_subgraph_that_follows_brings_the_thread_back(driver: Managed) -> None:
    """Its root checkpoint is there, though nothing is in its namespace."""
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
def test_anything_else_begins_the_thread_anew(
    driver: Managed, kv: CountingStore, begin: Callable[[Any], Any]
) -> None:
    """Nothing of the old thread shows, and nothing of it is stored any longer."""
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


def test_a_step_after_the_sweep_begins_anew(driver: Managed) -> None:
    """It keeps all that it brought itself."""
    assert driver.sweep().threads == 1
    put(driver, "4", {"x": "whole"}, parent="2", versions={"x": "2"}, new={})
    assert values(driver, config()) == {"x": "whole"}
    assert ids(driver.list(config(ns=None))) == ["4"]
    assert driver.history(config())[0].parent_config is not None  # as it was put


def test_targets_that_have_expired(driver: Managed, kv: CountingStore, clock: Clock) -> None:
    """A copy or a fork on them begins them anew; on one that has not it is an error."""
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


def test_own_times(make: Callable[..., Managed], clock: Clock) -> None:
    """Longer, shorter, none; from the last activity on, also where that was before the call."""
    driver = make(ttl=FIVE)
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


def test_a_time_of_its_own_needs_no_default(make: Callable[..., Managed], clock: Clock) -> None:
    driver = make()
    put(driver, "1")
    put(driver, "1", thread="for ever")
    driver.set_ttl("t", 1)
    clock.wait(1)
    assert [info.thread_id for info in driver.threads()] == ["for ever"]
    assert driver.sweep().checkpoints == 1


def test_a_read_counts_where_that_is_wanted(
    make: Callable[..., Managed], kv: CountingStore, clock: Clock
) -> None:
    """Once a hundredth of the time has passed: reading in a row does not write in a row."""
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
    assert driver.get_tuple(config(id="none")) is None  # nothing was read
    assert len(driver.list(config())) == 1
    assert len(driver.history(config())) == 1
    clock.wait(50)
    assert driver.get_tuple(config()) is None
    assert driver.sweep().threads == 1


def test_a_read_that_cannot_be_noted_is_a_read(path: Path, clock: Clock) -> None:
    """A store that is opened for reading serves reads, whatever its rules say."""
    ttl = {"default_ttl": 5, "refresh_on_read": True, "sweep_interval_minutes": 1}
    with LmdbSaver(path, clock=clock) as saver:
        saver.put(config(), _checkpoint("1"), {}, {})
    clock.wait(1)
    with LmdbSaver(path, clock=clock, ttl=ttl, readonly=True) as saver:  # type: ignore[arg-type]
        assert saver.get_tuple(config()) is not None
        clock.wait(4)
        assert saver.get_tuple(config()) is None


def test_keep_latest_hides_nothing(make: Callable[..., Managed], clock: Clock) -> None:
    """A sweep shortens an idle thread once, and again only after new activity."""
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


def test_a_large_thread_that_begins_anew(
    make: Callable[..., Managed],
    kv: CountingStore,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is out of sight at once, and goes bit by bit: a put does not wait for it."""
    monkeypatch.setattr(prune, "PURGE_BATCH", 10)
    driver = make(ttl=FIVE)
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


def test_a_deletion_finishes_what_is_left(
    make: Callable[..., Managed],
    kv: CountingStore,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prune, "PURGE_BATCH", 10)
    driver = make(ttl=FIVE)
    put_chain(driver, [f"{number:04}" for number in range(100)])
    clock.wait(5)
    put(driver, "9")
    assert reachability.tombstones(kv) == 1
    driver.delete_thread("t")
    assert reachability.tombstones(kv) == 0
    assert driver.stats().checkpoints == 0
