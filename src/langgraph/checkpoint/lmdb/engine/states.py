"""The state of a thread: what the latest checkpoint of its root namespace calls for.

A state is a number that the time index lists threads by. The layers above say what the numbers
mean, except of these three, and compute the state of a checkpoint with its pending writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import checkpoints, writes
from langgraph.checkpoint.lmdb.errors import DamagedError

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.engine.options import StateOf
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.kv.base import Reader

NO_CHECKPOINT = 0
"""The root namespace has no checkpoint."""
COMPLETE = 1
"""The checkpoint calls for nothing."""
UNKNOWN = 2
"""The state cannot be computed."""


def is_indexed(state: int) -> bool:
    """Return True if the time index lists the threads in a state."""
    return state >= UNKNOWN


def always_complete(*_: object) -> int:
    """Return the state of any checkpoint in a store without runs."""
    return COMPLETE


def current(reader: Reader, thread: Thread, state_of: StateOf) -> int | None:
    """Return the state of a thread, from its records; None if its serializer is another one.

    Raises:
        DamagedError: A record is damaged.
    """
    latest = checkpoints.latest_before(reader, thread.root)
    record = None if latest is None else checkpoints.read(reader, thread.root, latest)
    if record is None:
        return NO_CHECKPOINT
    return state_of(reader, record, writes.of_checkpoint(reader, thread.root, record.id))


def refresh(reader: Reader, thread: Thread, state_of: StateOf) -> None:
    """Set the state of a thread by its records; the caller saves the thread."""
    try:
        found = current(reader, thread, state_of)
    except DamagedError:  # reported by what reads the record for its content
        found = None
    thread.state = UNKNOWN if found is None else found
