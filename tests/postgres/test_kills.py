"""The server is killed at random points of every operation: each change is whole or absent.

A proxy counts the messages between saver and server, and kills the server's process before it
passes one of them on. All other processes of the server end with it, and it recovers.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from benches import postgres_server, proxy

from langgraph.checkpoint.lmdb.errors import DatabaseUnavailableError
from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
from tests import servers
from tests.contract.driver import SaverDriver, config, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.faults


SCHEMA = "langgraph_compact"
NOW = 1_700_000_000.0
LATER = NOW + 3600
"""Time of the operations: one of the threads has expired."""
PATIENCE = 60
KILLS = 200
"""Kills of each operation in the long profile."""
THREADS = ("one", "two", "expiring")


def fill(driver: SaverDriver) -> None:
    """Store threads with values that grow, a subgraph, runs, and pending writes."""
    for number, thread in enumerate(THREADS):
        for step in range(5):
            name, parent = f"c{step}", f"c{step - 1}" if step else None
            lines = [f"line {line} of {thread}" for line in range(step * 20)]
            run = f"run {(step + number) % 2}"
            values = {"messages": lines, "step": step}
            put(driver, name, values, parent=parent, thread=thread, run_id=run)
            driver.put_writes(config(thread, id=name), [("step", lines)], f"task {step}")
        put(driver, "s1", {"inner": [thread] * 30}, thread=thread, ns="sub")
    saver: Any = driver.saver
    saver.copy_thread("one", "copy of one")
    saver.set_ttl("expiring", 30)


def put_next(saver: Any) -> None:
    values = {"messages": [f"line {line} of one" for line in range(100)], "step": 5}
    put(SaverDriver(saver), "c5", values, parent="c4", thread="one")


OPERATIONS: dict[str, Callable[[Any], object]] = {
    "put": put_next,
    "put of a new thread": lambda saver: put(SaverDriver(saver), "c1", {"a": 1}, thread="new"),
    "put_writes": lambda saver: saver.put_writes(config("one", id="c4"), [("step", 1)], "late"),
    "prune": lambda saver: saver.prune(["one"], keep_last=2),
    "delete_thread": lambda saver: saver.delete_thread("one"),
    "delete_for_runs": lambda saver: saver.delete_for_runs(["run 0"]),
    "copy_thread": lambda saver: saver.copy_thread("two", "target"),
    "fork": lambda saver: saver.fork(config("two", id="c3"), "target"),
    "set_ttl": lambda saver: saver.set_ttl("two", 5000),
    "sweep": lambda saver: saver.sweep(),
}


class Kills:
    """A server that is killed, and threads that are the same before each operation."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        with CompactPostgresSaver(conninfo, clock=lambda: NOW) as saver:
            fill(SaverDriver(saver))
        with psycopg.connect(conninfo, autocommit=True) as connection:
            found = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s", (SCHEMA,)
            ).fetchall()
            self._tables = [table for (table,) in found]
            connection.execute("CREATE SCHEMA kept")
            for table in self._tables:
                connection.execute(f'CREATE TABLE kept."{table}" AS TABLE {SCHEMA}."{table}"')

    def restore(self) -> None:
        """Restore all threads, once the server answers."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with psycopg.connect(self.conninfo) as connection:
                    names = ", ".join(f'{SCHEMA}."{table}"' for table in self._tables)
                    connection.execute(f"TRUNCATE {names}")
                    for table in self._tables:
                        connection.execute(
                            f'INSERT INTO {SCHEMA}."{table}" SELECT * FROM kept."{table}"'
                        )
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def state(self) -> dict[str, Any]:
        """Return all that a new saver reads of each thread, once the server answers."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with CompactPostgresSaver(self.conninfo, clock=lambda: NOW) as saver:
                    report = saver.verify()
                    assert report.problems == ()
                    return {
                        thread.thread_id: (
                            replace(thread, bytes=0),  # a repeated change may make other chunks
                            [*saver.list(config(thread.thread_id))],
                        )
                        for thread in saver.threads()
                    }
            except DatabaseUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def run(self, operation: Callable[[Any], object], at: int | None, dies: bool) -> int:
        """Run an operation; return the number of messages.

        Args:
            operation: The operation.
            at: Number of the message at which the server is killed. None: it is not killed.
            dies: True: the saver cannot reach the server again.
        """
        with proxy.running(self.conninfo) as (found, conninfo):
            count = 0

            def pass_on(from_client: bool, kind: bytes, process: int) -> None:
                nonlocal count
                count += 1
                if count == at:
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                    if dies:
                        found.refuse()

            with _opened(conninfo, 0.05 if dies else PATIENCE) as saver:
                found.on_message = pass_on
                while True:
                    try:
                        operation(saver)
                    except DatabaseUnavailableError as error:
                        if dies:
                            break
                        if "during a read" not in str(error):
                            raise
                    else:
                        break
                found.on_message = proxy.ignore
            return count


def _opened(conninfo: str, timeout: float) -> CompactPostgresSaver:
    """Open a saver, however long that takes: it is not what is tested."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return CompactPostgresSaver(conninfo, clock=lambda: LATER, timeout=timeout)
        except DatabaseUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@pytest.fixture(scope="module")
def kills() -> Iterator[Kills]:
    binaries = servers.find_binaries()
    with (
        servers._short_folder() as folder,
        postgres_server.running(binaries, folder, durable=False) as running,
    ):
        yield Kills(running.dsn("postgres"))


@pytest.mark.parametrize("name", OPERATIONS)
def test_change_is_whole_or_absent(kills: Kills, name: str) -> None:
    check(kills, name, 1)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", OPERATIONS)
def test_change_is_whole_or_absent_at_many_points(kills: Kills, name: str) -> None:
    check(kills, name, KILLS)


def check(kills: Kills, name: str, count: int) -> None:
    """Kill the server at random points of an operation; every other time, the saver continues."""
    operation, random = OPERATIONS[name], Random(name)
    kills.restore()
    before = kills.state()
    messages = kills.run(operation, None, False)
    after = kills.state()
    assert after != before
    for number in range(count):
        dies = (number + len(name)) % 2 == 0
        kills.restore()
        kills.run(operation, random.randint(1, messages), dies)
        found = kills.state()
        for thread in {*before, *after, *found}:
            wanted = [after.get(thread)] if not dies else [before.get(thread), after.get(thread)]
            assert found.get(thread) in wanted, (number, thread)
