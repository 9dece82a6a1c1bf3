"""Trips to the server: every statement of a trip is sent before an answer is awaited."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.kv.postgres.connections import Link
from tests.contract.driver import SaverDriver, config, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count the trips of a block, and its commits."""
    counts = [0, 0]
    run = Link.run

    def counting(link: Link, statements: Any) -> Any:
        counts[0] += 1
        counts[1] += ("COMMIT", ()) in statements
        return run(link, statements)

    with monkeypatch.context() as patch:
        patch.setattr(Link, "run", counting)
        yield counts


@pytest.fixture
def driver(open_postgres: Callable[..., CompactPostgresSaver]) -> SaverDriver:
    """A saver that has stored a thread of 20 checkpoints with pending writes."""
    driver = SaverDriver(open_postgres())
    parent = None
    for step in range(20):
        parent = f"c{step:02}"
        channels = {"messages": [f"message {number}" for number in range(step * 10)]}
        put(driver, parent, channels, parent=f"c{step - 1:02}" if step else None)
        driver.put_writes(config(id=parent), [("messages", ["next"])], f"task {step}")
    return driver


def test_warm_put_is_one_trip_and_one_commit(
    driver: SaverDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted(monkeypatch) as counts:
        put(driver, "c20", {"messages": ["other"]}, parent="c19")
    assert counts == [1, 1]


def test_warm_put_writes_is_one_trip_and_one_commit(
    driver: SaverDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted(monkeypatch) as counts:
        driver.put_writes(config(id="c19"), [("messages", ["more"])], "another task")
    assert counts == [1, 1]


def test_warm_get_tuple_is_one_trip(driver: SaverDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(monkeypatch) as counts:
        found = driver.get_tuple(config())
    assert found is not None
    assert counts == [1, 0]


def test_cold_get_tuple_is_two_trips(
    driver: SaverDriver,
    open_postgres: Callable[..., CompactPostgresSaver],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cold = open_postgres()
    with counted(monkeypatch) as counts:
        found = cold.get_tuple(config())
    assert found is not None
    assert found.checkpoint["channel_values"]["messages"][-1] == "message 189"
    assert counts == [2, 0]


def test_cold_put_reads_once_before_it_commits(
    driver: SaverDriver,
    open_postgres: Callable[..., CompactPostgresSaver],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cold = SaverDriver(open_postgres())
    with counted(monkeypatch) as counts:
        put(cold, "c20", {"step": 1}, parent=None)
    assert counts[1] == 1
    assert counts[0] <= 3


def test_prune_of_a_known_thread_is_one_commit(
    driver: SaverDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted(monkeypatch) as counts:
        driver.saver.prune(["t"], keep_last=5)  # type: ignore[call-arg]
    assert counts[1] == 1
    assert counts[0] <= 4
    assert len(driver.list(config())) == 5
