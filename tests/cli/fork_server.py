"""Runs of the command in processes that need not import it: a server has, and forks for each run.

A run is a process of its own, with its own streams, environment and exit. Only the imports are
shared, which take most of the time of a short command.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO

from langgraph.checkpoint.lmdb.cli.table import GROUPS, NAME, module_of
from tests.docs.pages import ROOT

_LENGTH = 1 << 20
_SECONDS = 120
_PRELOADED = ("rich.console", "rich.table", "langgraph.graph", "langgraph.checkpoint.lmdb.postgres")


def run_forked(
    arguments: list[str], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run the command with no input, and return its status and output."""
    return _server().run(arguments, environment)


@cache
def _server() -> ForkServer:
    server = ForkServer()
    atexit.register(server.close)
    return server


class ForkServer:
    """A process that has imported the command, and forks to run it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(_SECONDS)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
            )

    def run(
        self, arguments: list[str], environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run the command, as `run_forked` does."""
        request = json.dumps([arguments, environment, str(Path.cwd())]).encode()
        assert len(request) < _LENGTH
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            streams = [output.fileno(), errors.fileno()]
            socket.send_fds(self._socket, [request], streams)
            status = os.waitstatus_to_exitcode(int(self._socket.recv(16)))
            return subprocess.CompletedProcess(arguments, status, _text(output), _text(errors))

    def close(self) -> None:
        """End the server."""
        self._socket.close()
        self._process.wait()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


def _serve(connection: socket.socket) -> list[str] | None:
    """Fork for each request. Return the arguments in the new process; None at the end."""
    while True:
        request, streams, _, _ = socket.recv_fds(connection, _LENGTH, 2)
        if not request:
            return None
        child = os.fork()
        if child == 0:
            connection.close()
            arguments, environment, folder = json.loads(request)
            _become(environment, folder, streams)
            return [*arguments]
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        connection.sendall(str(status).encode())


def _become(environment: dict[str, str], folder: str, streams: list[int]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
        os.close(stream)


if __name__ == "__main__":
    from langgraph.checkpoint.lmdb.cli.main import main

    for name in (*_PRELOADED, "langgraph.checkpoint.lmdb.cli.app"):
        import_module(name)
    for name in GROUPS:
        import_module(f"langgraph.checkpoint.lmdb.cli.commands.{module_of(name)}")
    gc.freeze()  # or each process would search all modules for garbage when it exits
    arguments = _serve(socket.socket(fileno=int(sys.argv[1])))
    if arguments is not None:
        sys.argv = [NAME, *arguments]
        sys.exit(main())
