"""Counts of all checkpoints and writes of a thread, and whether the thread is a line.

In a line, ids alone separate the history of a root checkpoint from later checkpoints: so a fork may
share the history.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from langgraph.checkpoint.lmdb.engine import checkpoints, namespaces, writes
from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.format.keys import NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader


class Head(NamedTuple):
    """The fields of a checkpoint that a tally counts."""

    id: str
    stored_at: int
    parent: str | None
    root: str | None


def head(record: CheckpointRecord) -> Head:
    """Return the fields of a checkpoint that a tally counts."""
    return Head(record.id, record.stored_at, record.parent, record.root)


@dataclass(slots=True)
class Tally:
    """The counts of a thread."""

    checkpoints: int = 0
    writes: int = 0
    early: int = 0
    """Pending writes whose checkpoint is not stored."""
    oldest: int | None = None
    """Time of the oldest checkpoint, for `Thread.oldest`."""
    _heads: dict[NamespaceRef, list[Head]] = field(default_factory=dict)

    @property
    def line(self) -> str | None:
        """`Thread.line`, as the stored checkpoints allow it."""
        return line_of(self._heads)

    def add(
        self, namespace: NamespaceRef, heads: list[Head], tasks: Iterable[tuple[bytes, int]]
    ) -> None:
        """Add a namespace.

        Args:
            namespace: The namespace.
            heads: Its checkpoints.
            tasks: The escaped id of a checkpoint and the number of writes of each task.
        """
        self._heads[namespace] = heads
        self.checkpoints += len(heads)
        latest = max(heads, key=lambda one: keys.utf8(one.id), default=None)
        times = [one.stored_at for one in heads if one is not latest]
        self.oldest = min([*times, *(() if self.oldest is None else (self.oldest,))], default=None)
        stored = {keys.escaped_text(one.id) for one in heads}
        for checkpoint, count in tasks:
            self.writes += count
            self.early += 0 if checkpoint in stored else count


def count(reader: Reader, thread: Thread) -> Tally:
    """Count the checkpoints and writes that a thread shows, with those in its layers."""
    found = Tally()
    for _, namespace in namespaces.of_thread(reader, thread):
        heads = [head(record) for record in checkpoints.in_namespace(reader, namespace)]
        tasks = writes.in_namespace(reader, namespace)
        found.add(namespace, heads, ((part, len(task.writes)) for part, task in tasks))
    return found


def line_of(heads: dict[NamespaceRef, list[Head]]) -> str | None:
    """Return `Thread.line`: None, unless the checkpoints are a line.

    They are a line if each root checkpoint but the first is the child of the one before it, and if
    each other checkpoint has an id between the root checkpoint that called it and the next one.
    """
    roots = sorted(one for space, found in heads.items() if not space.number for one in found)
    others = [one for space, found in heads.items() if space.number for one in found]
    ids = [one.id for one in roots]
    if not all(is_plain(one.id) for one in (*roots, *others)):
        return None
    for before, root in zip((None, *ids), roots, strict=False):
        if not follows(root.id, root.parent, before):
            return None
    for other in others:
        at = bisect_right(ids, other.id)
        if not at or ids[at - 1] != other.root or other.id == other.root:
            return None
    return max((other.id for other in others), default="")


def continue_line(
    reader: Reader,
    thread: Thread,
    namespace: NamespaceRef,
    new: CheckpointRecord,
    latest: str | None,
) -> None:
    """Update `Thread.line` after a put.

    Args:
        reader: The write transaction.
        thread: The thread, which the caller saves.
        namespace: The namespace of the checkpoint.
        new: The checkpoint.
        latest: The latest checkpoint of the namespace before the put.
    """
    if thread.line is None:
        return
    if namespace == thread.root:
        if thread.line >= new.id or not follows(new.id, new.parent, latest):
            thread.line = None
    else:
        root = checkpoints.latest_before(reader, thread.root)
        is_in_line = root is not None and root == new.root and root < new.id
        thread.line = max(thread.line, new.id) if is_in_line else None
    if not is_plain(new.id):
        thread.line = None


def is_plain(checkpoint_id: str) -> bool:
    """Return True if keys hold an id as it is, so that they sort as ids do."""
    return not keys.is_truncated(keys.text(checkpoint_id)) and "\x00" not in checkpoint_id


def follows(checkpoint_id: str, parent: str | None, latest: str | None) -> bool:
    """Return True if a root checkpoint continues a line that ends with `latest`."""
    if latest is None:  # its parent must not become a checkpoint of the line
        return parent is None or parent < checkpoint_id
    return parent == latest < checkpoint_id
