"""Processes that use a store step by step, as a test asks."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

_CODE = """
import sys
from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.kv import LmdbStore
from langgraph.checkpoint.lmdb.kv.lmdb import peers

peers.RETRY_JITTER = 0
store = None
path = sys.argv[1]

def step(command, *arguments):
    global store, path
    if command == "at":
        path = arguments[0]
    elif command == "open":
        store = LmdbStore.open(path, sync="off", readonly="readonly" in arguments)
    elif command == "close":
        store.close()
    elif command == "put":
        key, value = arguments
        store.write(lambda writer: writer.put(key.encode(), value.encode()))
    elif command == "get":
        with store.read() as reader:
            return (reader.get(arguments[0].encode()) or b"-").decode()
    elif command == "hold":  # the write lock or a snapshot, until the next line
        if arguments[0] == "write":
            def apply(writer):
                print("held", flush=True)
                sys.stdin.readline()
            store.write(apply)
        else:
            with store.read() as reader:
                reader.get(b"k")
                print("held", flush=True)
                sys.stdin.readline()
    return "done"

for line in sys.stdin:
    try:
        print(step(*line.split()), flush=True)
    except LmdbSaverError as error:
        print(type(error).__name__, error, flush=True)
"""


class Worker:
    """A process with a store."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def do(self, *words: object) -> str:
        """Ask for a step; return the answer: `done`, a value, or an error."""
        self.tell(*words)
        return self.answer()

    def tell(self, *words: object) -> None:
        """Ask for a step, and do not wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        """Return the answer to the oldest step that has not been answered."""
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        assert answer, "the process has ended"
        return answer

    def kill(self) -> None:
        """Kill the process, whatever it does."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
