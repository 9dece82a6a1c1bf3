"""Threads and coroutines that queue in a group commit, and a store that counts transactions."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer
    from langgraph.checkpoint.lmdb.kv.group_commit import GroupCommit


class CountingStore(KeyValueStore):
    """A store that counts transactions, and delays them until its gate is set."""

    __slots__ = ("gate", "inner", "readonly", "writes")

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.readonly = False
        self.writes = 0
        self.gate = threading.Event()
        self.gate.set()

    def read(self) -> Any:
        return self.inner.read()

    def write(self, apply: Callable[[Writer], Any]) -> Any:
        self.writes += 1
        self.gate.wait()
        return self.inner.write(apply)

    def size(self) -> int:
        return 0

    def close(self) -> None:
        self.inner.close()

    def keys(self) -> set[bytes]:
        reader: Reader
        with self.read() as reader:
            return {*reader.keys(b"", b"\xff")}


def adding(key: bytes) -> Callable[[Writer], bytes]:
    """Return an operation that stores a key, and fails if the key exists."""

    def apply(writer: Writer) -> bytes:
        if writer.get(key) is not None:
            raise AssertionError(f"{key!r} was stored twice")
        writer.put(key, b"1")
        return key

    return apply


class OwnError(Exception):
    """An error of an operation."""


class InterruptError(BaseException):
    """An interrupt of a thread."""


def failing(key: bytes) -> Callable[[Writer], bytes]:
    """Return an operation that stores a key and then fails."""

    def apply(writer: Writer) -> bytes:
        writer.put(key, b"1")
        raise OwnError(key)

    return apply


class Crowd:
    """Threads that queue behind a first thread, in the order of the calls of `submit`."""

    def __init__(self, store: CountingStore, commit: GroupCommit) -> None:
        self.store, self.commit = store, commit
        self.pool = ThreadPoolExecutor(40)
        self.store.gate.clear()
        self.first = self.pool.submit(commit.run, adding(b"first"))
        while not store.writes:
            os.sched_yield()

    def submit(self, apply: Callable[[Writer], bytes]) -> Future[bytes]:
        """Queue an operation of a thread."""
        return self._queued(lambda: self.pool.submit(self.commit.run, apply))

    def submit_async(
        self, loop: asyncio.AbstractEventLoop, apply: Callable[[Writer], bytes]
    ) -> Future[bytes]:
        """Queue an operation of a coroutine."""
        return self._queued(
            lambda: asyncio.run_coroutine_threadsafe(self.commit.run_async(apply), loop)
        )

    def _queued(self, start: Callable[[], Future[bytes]]) -> Future[bytes]:
        before = len(self.commit._queue)
        future = start()
        while len(self.commit._queue) == before:
            os.sched_yield()
        return future

    def go(self) -> None:
        """Let the first thread commit, and all others after it."""
        self.store.gate.set()
        assert self.first.result() == b"first"
