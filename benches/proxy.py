"""A proxy in front of PostgreSQL, on the loopback: it counts trips and commits, and adds delay."""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_REFUSED_REQUESTS = (struct.pack("!I", 80877103), struct.pack("!I", 80877104))
_REFUSED = b"\x00"
"""Kind of a request for TLS or for GSSAPI, which the proxy refuses."""
_CHANGES = (b"INSERT ", b"UPDATE ", b"DELETE ")
_NO_TRANSACTION = b"I"
"""Status of a server that is ready: the transaction, if there was one, has ended."""
_HEADER = 5
_BUFFER = 1 << 16


class Proxy:
    """A proxy of one server, for any number of connections.

    Attributes:
        port: Port on 127.0.0.1.
        trips: Messages after which a client waits for the answer.
        commits: Commits of changes that the server has confirmed.
        open: Event. While it is cleared, no confirmation of a commit is passed on.
        held: Event that is set when a confirmation is held back.
        on_message: Function to call before each message is passed on, with True for a message
            of the client, the kind of the message, and the process id of the server's process.

    Args:
        address: Path of the server's Unix socket, or its host and port.
        delay: Seconds that a message takes each way.
    """

    def __init__(self, address: str | tuple[str, int], delay: float = 0.0) -> None:
        self.trips = 0
        self.commits = 0
        self.open = threading.Event()
        self.open.set()
        self.held = threading.Event()
        self.on_message: Callable[[bool, bytes, int], None] = ignore
        self._address = address
        self._refuses = False
        self._delay = delay
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self.start(self._accept)

    def close(self) -> None:
        """End all connections, and accept no more."""
        self.open.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        while self._threads:
            self._threads.pop().join()
        for one in (self._listener, *self._sockets):
            one.close()

    def refuse(self) -> None:
        """End all connections, and refuse new ones."""
        self._refuses = True
        self.cut()

    def cut(self) -> None:
        """End all connections."""
        for one in self._sockets[:]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def start(self, target: Callable[[], None]) -> None:
        """Start a thread that `close` waits for."""
        self._threads.append(threading.Thread(target=target, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refuses:
                client.close()
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                server = _connect(self._address)
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            _Connection(self, client, server, self._delay)


def _connect(address: str | tuple[str, int]) -> socket.socket:
    if not isinstance(address, str):
        server = socket.create_connection(address)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(address)
    except OSError:
        server.close()
        raise
    return server


class _Connection:
    """One connection of a client, and the connection to the server that belongs to it."""

    def __init__(
        self, proxy: Proxy, client: socket.socket, server: socket.socket, delay: float
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._delay = delay
        self._process = 0
        self._changes = False
        """True from a change until it is committed. Prepared statements are not looked at."""
        proxy.start(self._from_client)
        proxy.start(self._from_server)

    def _from_client(self) -> None:
        proxy = self._proxy
        send = _Sender(proxy, self._server, self._delay)
        messages = _Messages(has_startup=True)
        with suppress(OSError):
            while data := self._client.recv(_BUFFER):
                for kind, message in messages.feed(data):
                    if kind == _REFUSED:
                        self._client.sendall(b"N")
                        continue
                    if kind in (b"S", b"Q"):
                        proxy.trips += 1
                    if kind == b"P" and any(word in message for word in _CHANGES):
                        self._changes = True
                    proxy.on_message(True, kind, self._process)
                    send.add(message)
                send.flush()
        send.close()

    def _from_server(self) -> None:
        proxy = self._proxy
        send = _Sender(proxy, self._client, self._delay)
        messages = _Messages(has_startup=False)
        with suppress(OSError):
            while data := self._server.recv(_BUFFER):
                for kind, message in messages.feed(data):
                    if kind == b"K":
                        (self._process,) = struct.unpack_from("!I", message, 5)
                    elif kind == b"E":
                        self._changes = False
                    elif kind == b"Z" and message[5:] == _NO_TRANSACTION and self._changes:
                        self._changes = False
                        proxy.commits += 1
                        if not proxy.open.is_set():
                            send.flush()
                            proxy.held.set()
                            proxy.open.wait()
                    proxy.on_message(False, kind, self._process)
                    send.add(message)
                send.flush()
        send.close()


class _Messages:
    """Cuts a stream into messages.

    Args:
        has_startup: True for the messages of a client, the first of which has no kind.
    """

    def __init__(self, *, has_startup: bool) -> None:
        self._has_startup = has_startup
        self._data = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Add received bytes; yield kind and bytes of each message that is complete."""
        self._data += data
        at, left = 0, self._data
        while len(left) - at >= _HEADER:
            begin = 0 if self._has_startup else 1
            (size,) = struct.unpack_from("!I", left, at + begin)
            end = at + begin + size
            if end > len(left):
                break
            message, kind = left[at:end], left[at : at + 1]
            if self._has_startup:
                is_refused = message[4:] in _REFUSED_REQUESTS
                kind, self._has_startup = (_REFUSED if is_refused else b""), is_refused
            at = end
            yield kind, message
        self._data = left[at:]


class _Sender:
    """Sends messages in order, each after a delay.

    Args:
        proxy: The proxy.
        target: The socket.
        delay: Seconds.
    """

    def __init__(self, proxy: Proxy, target: socket.socket, delay: float) -> None:
        self._target = target
        self._delay = delay
        self._messages = bytearray()
        self._due: SimpleQueue[tuple[float, bytes | None]] = SimpleQueue()
        if delay:
            proxy.start(self._send_later)

    def add(self, message: bytes) -> None:
        """Add a message to those that `flush` sends."""
        self._messages += message

    def flush(self) -> None:
        """Send the messages."""
        data, self._messages = bytes(self._messages), bytearray()
        if data and self._delay:
            self._due.put((time.monotonic() + self._delay, data))
        elif data:
            self._target.sendall(data)

    def close(self) -> None:
        """Send the end of the connection."""
        if self._delay:
            self._due.put((time.monotonic() + self._delay, None))
        else:
            self._end()

    def _send_later(self) -> None:
        with suppress(OSError):
            while True:
                due, data = self._due.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if data is None:
                    break
                self._target.sendall(data)
        self._end()

    def _end(self) -> None:
        with suppress(OSError):
            self._target.shutdown(socket.SHUT_RDWR)


@contextmanager
def running(conninfo: str, delay: float = 0.0) -> Iterator[tuple[Proxy, str]]:
    """Start a proxy; yield it, and a connection string that leads through it.

    Args:
        conninfo: Connection string of the server, with its host or the folder of its Unix socket.
        delay: Seconds that a message takes each way.
    """
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    found = conninfo_to_dict(conninfo)
    host, port = str(found["host"]), int(found.get("port") or 5432)
    address = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
    proxy = Proxy(address, delay)
    try:
        yield proxy, make_conninfo(conninfo, host="127.0.0.1", port=proxy.port)
    finally:
        proxy.close()


def ignore(from_client: bool, kind: bytes, process: int) -> None:
    """Do nothing."""


def main() -> None:
    """Run a proxy until standard input ends: `python -m benches.proxy CONNINFO DELAY`."""
    with running(sys.argv[1], float(sys.argv[2])) as (_, conninfo):
        print(conninfo, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
