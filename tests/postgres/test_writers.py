"""Many writers of one store: nothing is lost, nothing is damaged, nothing is done twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from langchain_core.messages import HumanMessage

from langgraph.checkpoint.lmdb.errors import DatabaseUnavailableError, ThreadExistsError
from langgraph.checkpoint.lmdb.kv.postgres.connections import OwnConnections
from langgraph.checkpoint.lmdb.kv.postgres.errors import ConnectionLostError
from langgraph.checkpoint.lmdb.kv.postgres.link import Link
from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
from tests.contract.driver import SaverDriver, config, ids, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers import Schema

PROCESSES = 3
THREADS = 3
TURNS = 25
IDS = ("a", "b", "c", "d")


def work(saver: CompactPostgresSaver, name: str, turns: int) -> None:
    """Change four threads at random; check each value that is read."""
    random = Random(name)
    driver = SaverDriver(saver)
    for turn in range(turns):
        thread = random.choice(IDS)
        what = random.random()
        if what < 0.55:
            found = saver.get_tuple(config(thread=thread))
            parent = None if found is None else found.checkpoint["id"]
            number = f"{turn:04}-{name}"
            put(
                driver,
                number,
                {"value": [number] * 40, "id": number},
                parent=parent,
                thread=thread,
            )
        elif what < 0.75:
            found = saver.get_tuple(config(thread=thread))
            if found is not None:
                values = found.checkpoint["channel_values"]
                assert values["value"] == [values["id"]] * 40
                assert values["id"] == found.checkpoint["id"]
                saver.put_writes(found.config, [("value", ["w"])], f"task {name} {turn}")
        elif what < 0.85:
            saver.prune([thread], keep_last=2)
        elif what < 0.9:
            saver.delete_thread(thread)
        elif what < 0.95:
            with suppress(ThreadExistsError):
                saver.copy_thread(thread, random.choice(IDS))
        else:
            for listed in saver.list(config(thread=thread), limit=3):
                assert listed.checkpoint["channel_values"]["id"] == listed.checkpoint["id"]


def test_processes_and_threads_change_the_same_threads(schema: Schema) -> None:
    CompactPostgresSaver(schema.conninfo, schema=schema.name).close()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.postgres.test_writers", schema.conninfo, schema.name]
    started = [
        subprocess.Popen([*command, str(number)], env=environment, stderr=subprocess.PIPE)
        for number in range(PROCESSES)
    ]
    for process in started:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors.decode()
    with CompactPostgresSaver(schema.conninfo, schema=schema.name) as saver:
        assert saver.verify().problems == ()
        for thread in IDS:
            saver.delete_thread(thread)
        assert saver.verify().problems == ()
        assert saver.stats().threads == 0


def main() -> None:
    conninfo, schema, name = sys.argv[1:]
    failures: list[BaseException] = []
    with CompactPostgresSaver(conninfo, schema=schema) as saver:

        def run(part: int) -> None:
            try:
                work(saver, f"{name}{part}", TURNS)
            except BaseException as error:
                failures.append(error)
                raise

        threads = [threading.Thread(target=run, args=(part,)) for part in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    sys.exit(len(failures))


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("calls", [1, 2])
def test_commit_without_an_answer_happens_once(
    open_postgres: Callable[..., CompactPostgresSaver],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    calls: int,
) -> None:
    """The connection ends before or after the commit; a second copy would find its target."""
    saver = open_postgres()
    driver = SaverDriver(saver)
    for _ in range(calls):  # a lane's first commit is recorded in another way than the next ones
        put(driver, "c1", {"a": 1})
    lost: list[str] = []
    run = Link.run

    def cut(link: Link, statements: Any) -> Any:
        if ("COMMIT", ()) not in statements or lost:
            return run(link, statements)
        lost.append(moment)
        if moment == "after":
            run(link, statements)
        link.connection.close()
        raise ConnectionLostError("the network is down")

    monkeypatch.setattr(Link, "run", cut)
    saver.copy_thread("t", "copy")
    assert lost == [moment]
    assert ids(driver.list(config(thread="copy"))) == ["c1"]
    saver.copy_thread("t", "other")
    assert saver.verify().problems == ()


def test_server_process_that_ends_is_replaced(
    open_postgres: Callable[..., CompactPostgresSaver], schema: Schema
) -> None:
    saver = open_postgres()
    driver = SaverDriver(saver)
    put(driver, "c1", {"a": 1})
    with psycopg.connect(schema.conninfo, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'langgraph-lmdb'"
        )
    put(driver, "c2", {"a": 2}, parent="c1")
    with psycopg.connect(schema.conninfo, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'langgraph-lmdb'"
        )
    assert ids(driver.list(config())) == ["c2", "c1"]


@pytest.mark.parametrize("trip", [1, 2])
def test_list_whose_connection_ends(
    open_postgres: Callable[..., CompactPostgresSaver],
    monkeypatch: pytest.MonkeyPatch,
    trip: int,
) -> None:
    """The first trip is repeated; after it, the snapshot is lost."""
    put(SaverDriver(open_postgres()), "c1", {"a": ["value"] * 500})
    driver = SaverDriver(open_postgres())
    with monkeypatch.context() as patch:
        trips = cut_at(patch, trip)
        if trip == 1:
            assert ids(driver.list(config())) == ["c1"]
        else:
            with pytest.raises(DatabaseUnavailableError, match="during a read"):
                driver.list(config())
    assert len(trips) >= trip
    assert ids(driver.list(config())) == ["c1"]


@pytest.mark.parametrize("trip", range(1, 7))
@pytest.mark.parametrize("cuts", [1, 2])
@pytest.mark.parametrize("is_large", [True, False])
def test_put_whose_connections_end_reads_its_parent_again(
    open_postgres: Callable[..., CompactPostgresSaver],
    monkeypatch: pytest.MonkeyPatch,
    trip: int,
    cuts: int,
    is_large: bool,
) -> None:
    """A killed server ends its connections one by one, also one that has just been opened."""
    saver = open_postgres()
    value: Any = "text " * 5000 if is_large else [HumanMessage("question")] * 50
    put(SaverDriver(saver), "c1", {"a": value})
    driver = SaverDriver(open_postgres())
    with monkeypatch.context() as patch:
        trips = cut_at(patch, trip, cuts)
        put(driver, "c2", {"a": value + value}, parent="c1")
    assert len(trips) >= min(trip, 4)
    found = driver.get_tuple(config())
    assert found is not None
    assert found.checkpoint["channel_values"] == {"a": value + value}
    assert ids(driver.list(config())) == ["c2", "c1"]
    assert saver.verify().problems == ()


def cut_at(patch: pytest.MonkeyPatch, trip: int, cuts: int = 1) -> list[Any]:
    """Let connections end in a trip and in those after it; return the statements of each trip,
    which grow."""
    trips: list[Any] = []
    run = Link.run

    def cut(link: Link, statements: Any) -> Any:
        trips.append(statements)
        if trip <= len(trips) < trip + cuts:
            link.connection.close()
            raise ConnectionLostError("the network is down")
        return run(link, statements)

    patch.setattr(Link, "run", cut)
    return trips


@pytest.mark.parametrize("is_write", [True, False])
def test_server_that_is_away_for_a_moment_is_tried_again(
    open_postgres: Callable[..., CompactPostgresSaver],
    monkeypatch: pytest.MonkeyPatch,
    is_write: bool,
) -> None:
    """As long as a standby is not promoted yet, it cannot be asked what became of a commit."""
    driver = SaverDriver(open_postgres())
    put(driver, "c1", {"a": 1})
    lost: list[str] = []
    run, connect = Link.run, OwnConnections._connect

    def cut(link: Link, statements: Any) -> Any:
        if not lost:
            lost.append("connection")
            link.connection.close()
            raise ConnectionLostError("the primary was killed")
        return run(link, statements)

    def refuse(connections: OwnConnections) -> Any:
        if len(lost) < 4:
            lost.append("attempt")
            raise DatabaseUnavailableError("the standby is not promoted yet")
        return connect(connections)

    monkeypatch.setattr(Link, "run", cut)
    monkeypatch.setattr(OwnConnections, "_connect", refuse)
    if is_write:
        put(driver, "c2", {"a": 2}, parent="c1")
    assert ids(driver.list(config()))[-1] == "c1"
    assert len(lost) == 4
    assert len(driver.list(config())) == 1 + is_write


def test_writer_with_old_records_runs_again(
    open_postgres: Callable[..., CompactPostgresSaver],
) -> None:
    """Each saver has cached the thread; the other one changes it."""
    one, other = SaverDriver(open_postgres()), SaverDriver(open_postgres())
    for number in range(8):
        parent = f"c{number - 1}" if number else None
        put((one, other)[number % 2], f"c{number}", {"a": number}, parent=parent)
    assert len(one.list(config())) == 8
    other.delete_thread("t")
    put(one, "c9", {"a": 9})
    assert ids(other.list(config())) == ["c9"]
    assert one.saver.verify().problems == ()  # type: ignore[attr-defined]


def test_expired_thread_is_replaced_for_every_saver(
    open_postgres: Callable[..., CompactPostgresSaver],
) -> None:
    """One transaction removes the old thread and gives its id to a new one."""
    now = [1_000_000.0]
    options: Any = {"ttl": {"default_ttl": 5}, "clock": lambda: now[0]}
    one = SaverDriver(open_postgres(**options))
    put(one, "c1", {"a": 1})
    now[0] += 600
    put(one, "c2", {"a": 2})
    other = open_postgres(**options)
    assert ids(SaverDriver(other).list(config())) == ["c2"]
    put(SaverDriver(other), "c3", {"a": 3}, parent="c2")
    assert ids(one.list(config())) == ["c3", "c2"]
    assert other.verify().problems == ()


if __name__ == "__main__":
    main()
