"""A PostgreSQL server and its pooler, for tests of what many machines share."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import psycopg
import pytest
from benches import postgres

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

_START_SECONDS = 30
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s"


@contextmanager
def server() -> Iterator[str]:
    """Start PostgreSQL; yield the connection string of its database `postgres`."""
    binaries = postgres.find_binaries()
    if binaries is None:
        _missing("PostgreSQL")
    with _short_folder() as folder, postgres.running(binaries, folder, durable=False) as running:
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
def pooler(conninfo: str, mode: str) -> Iterator[str]:
    """Start PgBouncer in front of a server; yield its connection string.

    Args:
        conninfo: Connection string of the server.
        mode: Mode of the pool: "session" or "transaction".
    """
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        _missing("PgBouncer")
    with _short_folder() as folder:
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\npostgres = {conninfo}\n"
            f"[pgbouncer]\npool_mode = {mode}\nlisten_port = 6432\nunix_socket_dir = {folder}\n"
            f"auth_type = any\nlogfile = {folder}/log\nignore_startup_parameters = options\n"
        )
        command = [program, settings]
        process = postgres._as_user(postgres._server_user(), command)
        try:
            address = f"host={folder} port=6432 user=postgres dbname=postgres"
            _wait_for(address, process)
            yield address
        finally:
            process.terminate()
            process.wait()


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


def _missing(what: str) -> None:
    message = f"{what} is not installed"
    if os.environ.get("CI"):
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
