"""Background sweeps: their lease, their interval, and their errors."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.engine import leases
from langgraph.checkpoint.lmdb.operations import background, retention
from langgraph.checkpoint.lmdb.operations.background import Sweeper
from langgraph.checkpoint.lmdb.operations.session import simple
from tests.contract.driver import SaverDriver, put
from tests.retention.stores import CountingStore, store_expired_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.retention.conftest import Clock

TIMEOUT_S = 60.0
"""Seconds after which a test that waits has failed."""
MINUTE = 60_000
TTL: Any = {"default_ttl": 5, "sweep_interval_minutes": 10}


@pytest.fixture
def make_sweeper(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sweeper]:
    """Return a function that creates sweepers without a thread. Each simulates a process."""
    monkeypatch.setattr(Sweeper, "_serve", lambda _: None)
    monkeypatch.setattr(background, "_sweepers", {})

    def make(*savers: LmdbSaver, interval: int = 10 * MINUTE) -> Sweeper:
        made = Sweeper()
        for saver in savers:
            made.add(saver._session, interval)
        return made

    return make


@pytest.fixture
def saver(kv: CountingStore, clock: Clock) -> LmdbSaver:
    saver = KvSaver(kv, clock=clock, ttl={"default_ttl": 5})
    put(SaverDriver(saver), "1")
    clock.wait(5)
    return saver


def test_only_one_process_sweeps_at_a_time(
    saver: LmdbSaver, clock: Clock, make_sweeper: Callable[..., Sweeper]
) -> None:
    """Another process waits while the lease is held, and until the interval has passed."""
    one, two = make_sweeper(saver), make_sweeper(saver)
    waits: list[int] = []
    sweep = retention.sweep

    def sweep_while_other_waits(*args: Any) -> Any:
        waits.append(two.run_once())
        return sweep(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "sweep", sweep_while_other_waits)
        assert one.run_once() == 10 * MINUTE
    assert waits == [leases.LEASE_MS]
    assert saver.stats().threads == 0
    clock.wait(4)
    assert two.run_once() == one.run_once() == 6 * MINUTE
    clock.wait(6)
    put(SaverDriver(saver), "1")
    clock.wait(5)
    assert two.run_once() == 10 * MINUTE
    assert saver.stats().threads == 0
    assert one.run_once() == 10 * MINUTE


def take_lease(saver: LmdbSaver, later: int, interval: int) -> None:
    """Take the lease as another process would at a time `later` milliseconds from now."""
    now = saver._session.options.now() + later
    saver._session.run(simple(partial(leases.acquire, token=b"dead", now=now, interval=interval)))


def test_lease_of_dead_process_expires(
    saver: LmdbSaver, clock: Clock, make_sweeper: Callable[..., Sweeper]
) -> None:
    take_lease(saver, 0, MINUTE)
    one = make_sweeper(saver, interval=4 * MINUTE)
    for wait in (4, 4, 2):
        assert one.run_once() == wait * MINUTE
        assert saver.stats().threads == 1
        clock.wait(wait)
    assert one.run_once() == 4 * MINUTE
    assert saver.stats().threads == 0


@pytest.mark.parametrize("moment", ["acquire", "sweep", "release", "failed"])
def test_saver_closed_during_sweep_releases_its_lease(
    path: Path,
    clock: Clock,
    make_sweeper: Callable[..., Sweeper],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """Another saver sweeps immediately, not after the lease has expired."""
    store_expired_thread(path, clock)
    closing = LmdbSaver(path, sync="off", clock=clock, ttl=TTL)
    (one,) = background._sweepers.values()
    acquire, sweep = one._acquire_lease, retention.sweep

    def close_and_acquire(*args: Any) -> int:
        closing.close()
        return acquire(*args)

    def sweep_and_close(*args: Any) -> Any:
        if moment == "failed":
            raise OSError("the disk is not there")
        if moment == "sweep":
            closing.close()
        report = yield from sweep(*args)
        closing.close()
        return report

    with LmdbSaver(path, sync="off", clock=clock, ttl={"default_ttl": 5}) as other:
        with monkeypatch.context() as patch:
            if moment == "acquire":
                patch.setattr(one, "_acquire_lease", close_and_acquire)
            else:
                patch.setattr(retention, "sweep", sweep_and_close)
            one.run_once()
        closing.close()
        assert make_sweeper(other).run_once() == 10 * MINUTE
        assert other.stats().threads == 0


def test_closed_saver_does_not_acquire_lease(
    path: Path, clock: Clock, make_sweeper: Callable[..., Sweeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if `run_once` began before the saver was closed."""
    store_expired_thread(path, clock)
    closing = LmdbSaver(path, sync="off", clock=clock, ttl=TTL)
    (one,) = background._sweepers.values()
    session = closing._session
    waits: list[int] = []
    monkeypatch.setattr(
        closing._session._commit,
        "close",
        lambda: waits.append(one._acquire_lease(session, 10 * MINUTE)),
    )
    with LmdbSaver(path, sync="off", clock=clock, ttl={"default_ttl": 5}) as other:
        closing.close()
        assert make_sweeper(other).run_once() == 10 * MINUTE
        assert other.stats().threads == 0
    assert waits == [10 * MINUTE]


def test_lease_and_last_sweep_in_the_future_are_ignored(
    saver: LmdbSaver, clock: Clock, make_sweeper: Callable[..., Sweeper]
) -> None:
    """This happens when the clock of the machine is set back."""
    one, two = make_sweeper(saver), make_sweeper(saver)
    clock.wait(1e6)
    assert one.run_once() == 10 * MINUTE
    take_lease(saver, MINUTE, 1)
    clock.wait(-1e6)
    put(SaverDriver(saver), "1")
    clock.wait(5)
    assert two.run_once() == 10 * MINUTE
    assert saver.stats().threads == 0


def test_failed_sweep_is_logged_and_repeated(
    saver: LmdbSaver,
    make_sweeper: Callable[..., Sweeper],
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = make_sweeper(saver)

    def fail(*_: Any) -> Any:
        raise OSError("the disk is not there")

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(retention, "sweep", fail)
        assert one.run_once() == 10 * MINUTE
    assert "the disk is not there" in caplog.text
    assert saver.stats().threads == 1
    assert one.run_once() == 10 * MINUTE
    assert saver.stats().threads == 0


def test_each_saver_of_a_process_sweeps_by_its_own_policy(
    saver: LmdbSaver, kv: CountingStore, clock: Clock, make_sweeper: Callable[..., Sweeper]
) -> None:
    """The interval applies to all savers together. A closed saver is skipped."""
    other = KvSaver(kv, clock=clock, ttl={"keep_last": 1})
    closed = KvSaver(CountingStore(), clock=clock)
    closed.close()
    put(SaverDriver(saver), "1", thread="b")
    put(SaverDriver(saver), "2", thread="b", parent="1")
    one = make_sweeper(closed, saver, other)
    one.run_once()
    assert one.run_once() == 10 * MINUTE
    assert saver.stats().checkpoints == 1


def test_sweeper_without_savers_does_nothing(make_sweeper: Callable[..., Sweeper]) -> None:
    assert make_sweeper().run_once() == 0
