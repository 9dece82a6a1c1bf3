"""`Source`: what a migration reads from a saver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

from langgraph.checkpoint.lmdb.migrate.models import Key, Record


class ThreadState(NamedTuple):
    """A short description of a thread, to see later whether it has changed."""

    tip: str | None
    """Id of the latest checkpoint. None: the thread has only pending writes."""
    text: str
    """A text that is equal while nothing changes."""

    @classmethod
    def of(cls, tip: str | None, facts: object) -> ThreadState:
        """Return the state of a thread, from facts that differ after each change."""
        digest = blake2b(repr((tip, facts)).encode("utf-8", "surrogatepass"), digest_size=16)
        return cls(tip, digest.hexdigest())


class Source(ABC):
    """A reader of a saver. Several threads may use it at the same time."""

    unknown: tuple[str, ...] = ()
    """What the saver does not tell, one sentence each."""
    knows_paths = True
    """True if writes are read with task path and index."""

    @abstractmethod
    def threads(self) -> Iterator[str]:
        """Yield the ids of all threads."""

    @abstractmethod
    def keys(self, thread_id: str) -> list[Key]:
        """Return the checkpoints of a thread, oldest first."""

    @abstractmethod
    def read(self, key: Key) -> Record | None:
        """Return a checkpoint with its pending writes, or None if it is missing.

        Raises:
            DeserializationError: A value cannot be read.
        """

    @abstractmethod
    def state(self, thread_id: str) -> ThreadState | None:
        """Return the state of a thread, or None if it does not exist."""

    def count(self) -> int | None:
        """Return the number of checkpoints, or None if that takes long."""
        return None

    def size(self) -> int | None:
        """Return the bytes on disk, or None if they are unknown."""
        return None

    def close(self) -> None:  # noqa: B027 - most sources open nothing
        """Close what the source opened."""


def in_order(writes: list[Any]) -> list[Any]:
    """Return writes in the order in which they apply."""
    return sorted(writes, key=lambda write: (write.task_path, write.task_id, write.index))
