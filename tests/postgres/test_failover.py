"""Failover: the primary is killed, the synchronous standby is promoted, and writers continue."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from benches import postgres_server

from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
from tests import servers
from tests.contract.driver import SaverDriver, config, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.faults

WRITERS = 3
BEFORE, AFTER = 15, 15
"""Checkpoints of each writer before the kill, and after the promotion at least."""


class Cluster:
    """A primary server and its synchronous standby, each on a Unix socket."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries = binaries
        self.folder = folder
        self.user = postgres_server._server_user()
        self.running: dict[str, Any] = {}

    def start(self, name: str) -> str:
        """Start a server; return its connection string."""
        socket = self.folder / f"{name}-socket"
        command = [self.binaries / "postgres", "-D", self.folder / name, "-k", socket, "-h", ""]
        log = (self.folder / f"{name}.log").open("w")
        self.running[name] = postgres_server._as_user(self.user, command, log)
        log.close()
        postgres_server._wait_until_ready(
            self.binaries, socket, self.running[name], self.folder / f"{name}.log"
        )
        return self.conninfo(name)

    def run(self, *command: Any) -> None:
        """Run a program as the user of the servers."""
        assert postgres_server._as_user(self.user, [*command]).wait() == 0

    def conninfo(self, name: str) -> str:
        """Return the connection string of a server."""
        return f"host={self.folder / name}-socket user={self.user} dbname=postgres"

    def build(self) -> str:
        """Build primary and standby; return a connection string that names both."""
        folder = self.folder
        for name in ("primary-socket", "standby-socket"):
            (folder / name).mkdir(mode=0o700)
            shutil.chown(folder / name, self.user)
        shutil.chown(folder, self.user)
        binaries = self.binaries = postgres_server.readable(self.binaries, folder)
        self.run(binaries / "initdb", "-D", folder / "primary", "-A", "trust", "-E", "UTF8", "-N")
        primary = self.start("primary")
        self.run(
            binaries / "pg_basebackup", "-d", primary, "-D", folder / "standby", "-R", "-X",
            "stream", "-c", "fast", "-N",
        )  # fmt: skip
        self.start("standby")
        with psycopg.connect(primary, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            for _ in range(600):
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
                ).fetchone()
                if row == (1,):
                    break
                threading.Event().wait(0.05)
            else:
                raise RuntimeError("the standby does not follow")
        hosts = f"{folder / 'primary-socket'},{folder / 'standby-socket'}"
        return (
            f"host={hosts} user={self.user} dbname=postgres"
            " target_session_attrs=read-write connect_timeout=2"
        )

    def fail_over(self) -> None:
        """Kill all processes of the primary, and promote the standby."""
        primary = self.running.pop("primary")
        children = Path(f"/proc/{primary.pid}/task/{primary.pid}/children").read_text().split()
        for process in (primary.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        primary.wait()
        self.run(self.binaries / "pg_ctl", "-D", self.folder / "standby", "promote", "-w")

    def stop(self) -> None:
        for server in self.running.values():
            server.send_signal(signal.SIGINT)
            server.wait()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    binaries = servers.find_binaries()
    with servers._short_folder() as folder, ExitStack() as stack:
        found = Cluster(binaries, folder)
        stack.callback(found.stop)
        yield found


def test_no_acknowledged_checkpoint_is_lost(cluster: Cluster) -> None:
    check_failover(cluster.build(), cluster.fail_over)


def test_no_acknowledged_checkpoint_is_lost_behind_a_pooler(cluster: Cluster) -> None:
    """PgBouncer leads to the primary, and to the standby after its promotion."""
    cluster.build()
    with servers.running_pooler(cluster.conninfo("primary"), "transaction") as pooler:

        def fail_over() -> None:
            cluster.fail_over()
            pooler.redirect(cluster.conninfo("standby"))

        check_failover(pooler.conninfo, fail_over)


def check_failover(conninfo: str, fail_over: Callable[[], None]) -> None:
    """Let threads write during a failover; check that they go on, and that nothing is lost."""
    acknowledged: list[list[str]] = [[] for _ in range(WRITERS)]
    ready = [threading.Event() for _ in range(WRITERS)]
    promoted = threading.Event()
    failures: list[BaseException] = []
    with CompactPostgresSaver(conninfo, timeout=60) as saver:

        def write(number: int) -> None:
            driver, parent, left = SaverDriver(saver), None, AFTER
            try:
                while left:
                    name = f"c{len(acknowledged[number]):05}"
                    put(driver, name, {"a": [name] * 30}, parent=parent, thread=f"t{number}")
                    acknowledged[number].append(name)
                    parent = name
                    left -= promoted.is_set()
                    if len(acknowledged[number]) == BEFORE:
                        ready[number].set()
            except BaseException as error:
                failures.append(error)
                ready[number].set()
                raise

        threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
        for thread in threads:
            thread.start()
        for event in ready:
            event.wait()
        fail_over()
        promoted.set()
        for thread in threads:
            thread.join()
        assert failures == []
        for number, names in enumerate(acknowledged):
            listed = saver.list(config(thread=f"t{number}"))
            assert [found.checkpoint["id"] for found in listed] == names[::-1]
            assert len(names) >= BEFORE + AFTER
        assert saver.verify().problems == ()
