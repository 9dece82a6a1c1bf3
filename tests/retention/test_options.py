"""The `ttl` argument and the arguments of `set_ttl`, `sweep` and `threads`: valid and invalid."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.errors import ThreadNotFoundError, UsageError
from tests.contract.driver import config, put

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.retention.conftest import Clock, RetentionDriver
    from tests.retention.stores import CountingStore

INVALID_MINUTES = [
    0, -1, -0.5, math.nan, math.inf, -math.inf, True, False, "60", b"1", [1], timedelta(minutes=1),
    1_000 * 365 * 24 * 60 + 1, 1e300, 10**400,
]  # fmt: skip


@pytest.mark.parametrize("name", ["default_ttl", "sweep_interval_minutes", "max_history_age"])
@pytest.mark.parametrize("minutes", INVALID_MINUTES, ids=lambda value: repr(value)[:20])
def test_invalid_minutes_raise_usage_error(path: Path, name: str, minutes: Any) -> None:
    """The error has advice, and no folder is created."""
    with pytest.raises(UsageError, match="minutes") as caught:
        LmdbSaver(path, ttl={name: minutes})  # type: ignore[misc]
    assert name in str(caught.value)
    assert caught.value.advice
    assert not path.exists()


@pytest.mark.parametrize(
    ("ttl", "message"),
    [
        ({"strategy": "archive"}, "'delete' or 'keep_latest'"),
        ({"strategy": None}, "'delete' or 'keep_latest'"),
        ({"strategy": ["delete"]}, "'delete' or 'keep_latest'"),
        ({"ttl": 5}, "default_ttl, strategy, refresh_on_read"),
        ({"default_ttl": 5, "sweep_interval": 5}, "sweep_interval_minutes"),
        ({7: 5}, "default_ttl"),
        ({"keep_last": 0}, "1 or more"),
        ({"keep_last": -3}, "1 or more"),
        ({"keep_last": True}, "1 or more"),
        ({"keep_last": 2.0}, "1 or more"),
        ({"keep_last": "2"}, "1 or more"),
        ({"refresh_on_read": 1}, "True or False"),
        ({"refresh_on_read": None}, "True or False"),
        (60, "default_ttl"),
        ("60", "default_ttl"),
        ([("default_ttl", 60)], "default_ttl"),
        (timedelta(minutes=5), "default_ttl"),
    ],
)
def test_invalid_ttl_raises_usage_error(path: Path, ttl: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LmdbSaver(path, ttl=ttl)
    assert not path.exists()


@pytest.mark.parametrize(
    "ttl",
    [
        None,
        {},
        {"default_ttl": None, "max_history_age": None, "keep_last": None},
        {"sweep_interval_minutes": None, "strategy": "keep_latest"},
        {"default_ttl": 1_000 * 365 * 24 * 60},
        {"default_ttl": 1e-9},
    ],
)
def test_valid_ttl_is_accepted(path: Path, ttl: Any) -> None:
    with LmdbSaver(path, ttl=ttl) as saver:
        assert saver.sweep().threads == 0


@pytest.mark.parametrize("minutes", INVALID_MINUTES, ids=lambda value: repr(value)[:20])
def test_set_ttl_refuses_invalid_minutes(
    make: Callable[..., RetentionDriver], minutes: Any
) -> None:
    driver = make()
    put(driver, "1")
    with pytest.raises(UsageError, match="minutes"):
        driver.set_ttl("t", minutes)
    assert driver.threads()[0].expires is None


def test_set_ttl_raises_for_missing_thread(
    make: Callable[..., RetentionDriver], clock: Clock
) -> None:
    """Unknown, with writes only, expired, and deleted."""
    driver = make(ttl={"default_ttl": 5})
    driver.put_writes(config("early", id="1"), [("x", 1)], "task")
    put(driver, "1", thread="late")
    put(driver, "1", thread="deleted")
    driver.delete_thread("deleted")
    clock.wait(5)
    for thread in ("never", "early", "late", "deleted"):
        with pytest.raises(ThreadNotFoundError) as caught:
            driver.set_ttl(thread, 5)
        assert caught.value.thread_id == thread


@pytest.mark.parametrize("limit", [-1, 1.0, "1", True])
def test_invalid_limit_raises_usage_error(make: Callable[..., RetentionDriver], limit: Any) -> None:
    driver = make()
    for method in (driver.sweep, driver.threads):
        with pytest.raises(UsageError, match="limit"):
            method(limit=limit)
    assert driver.sweep(limit=0).threads == 0
    assert driver.threads(limit=0) == []


@pytest.mark.parametrize("sort", ["", "size", "UPDATED", None, 1, ["bytes"]])
def test_invalid_order_raises_usage_error(make: Callable[..., RetentionDriver], sort: Any) -> None:
    with pytest.raises(UsageError, match="sort"):
        make().threads(sort=sort)


@pytest.mark.parametrize(
    "time",
    ["now", True, math.nan, math.inf, 10**400, 1e300, datetime(2026, 1, 1), timedelta(1)],  # noqa: DTZ001
    ids=lambda value: repr(value)[:20],
)
def test_invalid_time_raises_usage_error(make: Callable[..., RetentionDriver], time: Any) -> None:
    driver = make(ttl={"default_ttl": 5})
    put(driver, "1")
    for call in (
        lambda: driver.sweep(now=time),
        lambda: driver.threads(updated_after=time),
        lambda: driver.threads(updated_before=time),
    ):
        with pytest.raises(UsageError):
            call()


def test_times_at_both_ends_of_the_calendar_are_accepted(
    make: Callable[..., RetentionDriver], clock: Clock
) -> None:
    driver = make(ttl={"default_ttl": 5, "keep_last": 1, "max_history_age": 1})
    put(driver, "1")
    for early in (-1, 0, -1e9, datetime.min.replace(tzinfo=timezone.utc)):
        assert driver.sweep(now=early).threads == 0
        assert len(driver.threads(updated_after=early)) == 1
        assert driver.threads(updated_before=early) == []
    last = datetime.max.replace(tzinfo=timezone.utc)
    assert len(driver.threads(updated_before=last)) == 1
    assert driver.threads(updated_after=last) == []
    assert driver.sweep(now=last, dry_run=True).checkpoints == 1


def test_each_saver_of_a_store_applies_its_own_ttl(kv: CountingStore, clock: Clock) -> None:
    """`set_ttl` applies to all savers of the store."""
    strict = KvSaver(kv, clock=clock, ttl={"default_ttl": 5})
    lenient = KvSaver(kv, clock=clock)
    for thread in ("a", "b"):
        lenient.put(config(thread), _empty("1"), {}, {})
    clock.wait(5)
    assert strict.get_tuple(config("a")) is None
    assert lenient.get_tuple(config("a")) is not None
    lenient.set_ttl("b", 10)
    assert [info.thread_id for info in strict.threads()] == ["b"]
    clock.wait(5)
    assert [info.thread_id for info in lenient.threads()] == ["a"]
    assert lenient.sweep().threads == 1
    assert strict.sweep().threads == 1


def _empty(checkpoint_id: str) -> Any:
    return {
        "v": 4, "ts": "", "id": checkpoint_id, "channel_values": {}, "channel_versions": {},
        "versions_seen": {},
    }  # fmt: skip
