"""Trips to the server and commits of each operation, counted by a proxy in front of the server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from benches import proxy as proxies

from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
from tests.contract.driver import SaverDriver, config, ids, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benches.proxy import Proxy

    from tests.servers import Schema

PATIENCE = 60
STEPS = 125
RUNS = 5


class Counts:
    """Trips and commits of a block."""

    trips = 0
    commits = 0


@pytest.fixture
def proxy(schema: Schema) -> Iterator[tuple[Proxy, str]]:
    with proxies.running(schema.conninfo) as found:
        yield found


@pytest.fixture
def counted(proxy: tuple[Proxy, str]) -> Callable[[], Any]:
    """A context manager that counts trips and commits."""

    @contextmanager
    def counted() -> Iterator[Counts]:
        counts, found = Counts(), proxy[0]
        trips, commits = found.trips, found.commits
        yield counts
        counts.trips, counts.commits = found.trips - trips, found.commits - commits

    return counted


@pytest.fixture
def open_one(proxy: tuple[Proxy, str], schema: Schema) -> Iterator[Callable[..., SaverDriver]]:
    """A function that opens a saver behind the proxy."""
    opened: list[CompactPostgresSaver] = []

    def open_one(**options: Any) -> SaverDriver:
        opened.append(CompactPostgresSaver(proxy[1], schema=schema.name, **options))
        return SaverDriver(opened[-1])

    yield open_one
    for saver in opened:
        saver.close()


def fill(driver: SaverDriver, thread: str, steps: int) -> None:
    """Store a thread of checkpoints with pending writes and two values that grow."""
    for step in range(steps):
        channels: dict[str, Any] = {
            "messages": [f"message {number} of the conversation" for number in range(step * 2)],
            "notes": [f"note {number} about something else" for number in range(step)],
        }
        parent = f"c{step - 1:03}" if step else None
        name = f"c{step:03}"
        put(driver, name, channels, parent=parent, thread=thread, run_id=f"run {step % RUNS}")
        driver.put_writes(config(thread, id=name), [("messages", ["next"])], f"task {step}")


@pytest.fixture
def driver(open_one: Callable[..., SaverDriver]) -> SaverDriver:
    """A saver that has stored a thread of 125 checkpoints with pending writes."""
    driver = open_one()
    fill(driver, "t", STEPS)
    return driver


def test_warm_writes_are_one_trip_and_one_commit(
    driver: SaverDriver, counted: Callable[[], Any]
) -> None:
    with counted() as counts:
        put(driver, "c125", {"messages": ["other"]}, parent="c124")
    assert (counts.trips, counts.commits) == (1, 1)
    with counted() as counts:
        driver.put_writes(config(id="c125"), [("messages", ["more"])], "another task")
    assert (counts.trips, counts.commits) == (1, 1)


def test_cold_put_reads_once_before_it_commits(
    driver: SaverDriver, open_one: Callable[..., SaverDriver], counted: Callable[[], Any]
) -> None:
    cold = open_one()
    with counted() as counts:
        put(cold, "c125", {"step": 1}, parent=None)
    assert (counts.trips, counts.commits) == (3, 1)


def test_get_tuple_is_one_trip_when_warm_and_two_when_cold(
    driver: SaverDriver, open_one: Callable[..., SaverDriver], counted: Callable[[], Any]
) -> None:
    with counted() as counts:
        warm = driver.get_tuple(config())
    assert (counts.trips, counts.commits) == (1, 0)
    cold = open_one()
    with counted() as counts:
        found = cold.get_tuple(config())
    assert (counts.trips, counts.commits) == (2, 0)
    assert found == warm
    assert found is not None
    assert found.checkpoint["channel_values"]["messages"][-1].startswith("message 247 ")


def test_each_call_of_a_graph_is_one_trip(driver: SaverDriver, counted: Callable[[], Any]) -> None:
    """Values of 500 bytes are chunks of their own."""
    text = "".join(map(str, range(200)))
    parent = "c124"
    for number in range(5):
        name = f"d{number}"
        calls: list[Callable[[], object]] = [
            lambda name=name, parent=parent: put(driver, name, {"a": text + name}, parent=parent),
            lambda name=name: driver.put_writes(config(id=name), [("a", name + text)], "task"),
            lambda name=name: driver.get_tuple(config(id=name)),
            lambda: driver.get_tuple(config()),
        ]
        for call, commits in zip(calls, (1, 1, 0, 0), strict=True):
            with counted() as counts:
                call()
            assert (counts.trips, counts.commits) == (1, commits)
        parent = name


def test_page_of_list_is_two_trips(
    driver: SaverDriver, open_one: Callable[..., SaverDriver], counted: Callable[[], Any]
) -> None:
    expected = driver.list(config())
    cold = open_one()
    with counted() as counts:
        assert cold.list(config(), limit=10) == expected[:10]
    assert (counts.trips, counts.commits) == (2, 0)
    with counted() as counts:
        before = config(id="c100")
        assert cold.list(config(), before=before, limit=10) == expected[25:35]
    assert (counts.trips, counts.commits) == (2, 0)
    cold = open_one()
    with counted() as counts:
        assert cold.list(config()) == expected
    pages = -(-STEPS // 16)
    assert counts.trips <= 2 * pages


def test_history_is_read_in_pages(
    driver: SaverDriver, open_one: Callable[..., SaverDriver], counted: Callable[[], Any]
) -> None:
    cold = open_one()
    with counted() as counts:
        found = [*cold.saver.history(config())]  # type: ignore[attr-defined]
    assert len(found) == STEPS
    assert counts.trips <= 2 * -(-STEPS // 16)


@pytest.mark.parametrize("is_warm", [True, False])
def test_prune_of_all_but_five_is_four_trips(
    driver: SaverDriver,
    open_one: Callable[..., SaverDriver],
    counted: Callable[[], Any],
    is_warm: bool,
) -> None:
    saver: Any = driver.saver if is_warm else open_one().saver
    with counted() as counts:
        saver.prune(["t"], keep_last=5)
    assert counts.commits == 1
    assert counts.trips <= 4
    assert len(driver.list(config())) == 5
    assert saver.verify().problems == ()


def test_operations_on_a_whole_thread_are_a_handful_of_trips(
    driver: SaverDriver, open_one: Callable[..., SaverDriver], counted: Callable[[], Any]
) -> None:
    operations: list[tuple[Callable[[Any], object], int]] = [
        (lambda saver: saver.copy_thread("t", "copy"), 6),
        (lambda saver: saver.fork(config(id="c100"), "fork"), 6),
        (lambda saver: saver.delete_for_runs(["run 0"]), 18),  # six for each of three threads
        (lambda saver: saver.delete_thread("t"), 7),
    ]
    for operate, most in operations:
        cold = open_one().saver
        with counted() as counts:
            operate(cold)
        assert counts.trips <= most
    with counted() as counts:
        driver.saver.delete_for_runs(["run 1"])
    assert counts.trips <= 18
    assert len(driver.list(config("copy"))) == STEPS * 3 // RUNS
    saver: Any = driver.saver
    assert saver.verify().problems == ()


def test_lists_of_many_threads_are_a_handful_of_trips(
    open_one: Callable[..., SaverDriver], counted: Callable[[], Any]
) -> None:
    driver = open_one()
    for number in range(40):
        put(driver, "c1", {"a": number}, thread=f"t{number:02}", run_id="run")
        driver.put_writes(config(f"t{number:02}", id="c1"), [("a", 1)], "task")
    saver: Any = open_one().saver
    with counted() as counts:
        assert len(saver.threads(limit=30)) == 30
    assert counts.trips <= 6
    with counted() as counts:
        assert saver.stats().threads == 40
    assert counts.trips <= 3
    with counted() as counts:
        assert len(driver.list(None, limit=10)) == 10
    assert counts.trips <= 6


@pytest.fixture
def many(open_one: Callable[..., SaverDriver]) -> Callable[..., SaverDriver]:
    """A function that opens a saver on 40 threads of three checkpoints each, in three runs."""
    driver = open_one()
    for number in range(40):
        fill(driver, f"t{number:02}", 3)
    return open_one


def test_verify_takes_less_than_a_trip_for_each_thread(
    many: Callable[..., SaverDriver], counted: Callable[[], Any]
) -> None:
    saver: Any = many().saver
    with counted() as counts:
        report = saver.verify()
    assert (report.problems, report.checked["threads"]) == ((), 40)
    assert counts.trips < 40


def test_verify_reads_a_long_thread_in_a_handful_of_trips(
    driver: SaverDriver, open_one: Callable[..., SaverDriver], counted: Callable[[], Any]
) -> None:
    saver: Any = open_one().saver
    with counted() as counts:
        report = saver.verify()
    assert (report.problems, report.checked["checkpoints"]) == ((), STEPS)
    assert counts.trips <= 30


def test_lists_by_metadata_and_of_all_threads_take_a_handful_of_trips_for_a_page(
    many: Callable[..., SaverDriver], counted: Callable[[], Any]
) -> None:
    pages = -(-120 // 16)
    calls: list[tuple[Any, dict[str, Any], int, int]] = [
        (None, {}, 120, 4 * pages + 4),
        (None, {"filter": {"run_id": "run 1"}, "limit": 10}, 10, 7),
        (None, {"filter": {"source": "loop"}, "limit": 10}, 10, 7),
        (config("t01"), {"filter": {"run_id": "run 1"}}, 1, 6),
    ]
    for place, options, length, most in calls:
        cold = many()
        with counted() as counts:
            assert len(cold.list(place, **options)) == length
        assert counts.trips <= most


def test_call_returns_after_the_server_has_confirmed_its_commit(
    driver: SaverDriver, proxy: tuple[Proxy, str], schema: Schema
) -> None:
    """The proxy holds each confirmation back, until another saver reads what was committed."""
    found = proxy[0]
    with (
        ThreadPoolExecutor(1) as pool,
        CompactPostgresSaver(schema.conninfo, schema=schema.name) as other,
    ):
        for step, call in enumerate(
            (
                lambda: put(driver, "c125", {"a": 1}, parent="c124"),
                lambda: driver.put_writes(config(id="c124"), [("a", 1)], "late task"),
            )
        ):
            found.held.clear()
            found.open.clear()
            called = pool.submit(call)
            assert found.held.wait(PATIENCE)
            committed = SaverDriver(other).get_tuple(config(id=("c125", "c124")[step]))
            assert committed is not None
            assert not called.done()
            found.open.set()
            called.result(PATIENCE)
            assert any(w[0] == "late task" for w in committed.pending_writes or ()) == bool(step)


def test_writes_and_the_checkpoint_that_wait_together_share_a_commit(
    driver: SaverDriver, proxy: tuple[Proxy, str], counted: Callable[[], Any]
) -> None:
    """A first commit is held back, until the two are in the queue behind it."""
    found = proxy[0]
    calls = (
        lambda: put(driver, "c125", {"a": 1}, parent="c124"),
        lambda: driver.put_writes(config(id="c125"), [("a", 1)], "task"),
        lambda: put(driver, "c126", {"a": 2}, parent="c125"),
    )
    lane: Any = driver.saver._session._commit._lane_of("t")  # type: ignore[attr-defined]
    with ThreadPoolExecutor(3) as pool, counted() as counts:
        found.held.clear()
        found.open.clear()
        called = [pool.submit(calls[0])]
        assert found.held.wait(PATIENCE)
        called += [pool.submit(call) for call in calls[1:]]
        while len(lane._queue) < 3:
            found.held.wait(0.001)
        found.open.set()
        for one in called:
            one.result(PATIENCE)
    assert counts.commits == 2
    assert ids(driver.list(config(), limit=2)) == ["c126", "c125"]


def test_writes_to_a_checkpoint_that_is_being_stored_read_nothing(
    driver: SaverDriver, proxy: tuple[Proxy, str], counted: Callable[[], Any]
) -> None:
    """The commit of the checkpoint is held back, until its writes are in the queue behind it."""
    found = proxy[0]
    lane: Any = driver.saver._session._commit._lane_of("t")  # type: ignore[attr-defined]
    value = {"a": "text " * 200}
    with ThreadPoolExecutor(2) as pool, counted() as counts:
        found.held.clear()
        found.open.clear()
        stored = pool.submit(put, driver, "c125", value, parent="c124")
        assert found.held.wait(PATIENCE)
        written = pool.submit(driver.put_writes, config(id="c125"), [*value.items()], "task")
        while len(lane._queue) < 2:
            found.held.wait(0.001)
        found.open.set()
        stored.result(PATIENCE)
        written.result(PATIENCE)
    assert (counts.trips, counts.commits) == (2, 2)
    latest = driver.get_tuple(config())
    assert latest is not None
    assert latest.pending_writes == [("task", *next(iter(value.items())))]


def test_threads_do_not_wait_for_one_another(driver: SaverDriver, proxy: tuple[Proxy, str]) -> None:
    """The answer to the commit of one thread is held back, and fifteen others are committed."""
    commit: Any = driver.saver._session._commit  # type: ignore[attr-defined]
    own = commit._lane_of("held")
    others = [name for name in map(str, range(1000)) if commit._lane_of(name) is not own][:15]
    held: list[int] = []
    reached, release = threading.Event(), threading.Event()

    def pass_on(from_client: bool, kind: bytes, process: int) -> None:
        if not from_client and kind == b"C" and not held:
            held.append(process)
            reached.set()
            release.wait()

    with ThreadPoolExecutor(16) as pool:
        proxy[0].on_message = pass_on
        first = pool.submit(put, driver, "c1", {"a": 1}, thread="held")
        assert reached.wait(PATIENCE)
        rest = [pool.submit(put, driver, "c1", {"a": 1}, thread=name) for name in others]
        for one in rest:
            one.result(PATIENCE)
        assert not first.done()
        release.set()
        first.result(PATIENCE)
    assert len(driver.list(None, limit=200)) == STEPS + 16
