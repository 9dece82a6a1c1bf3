"""The state of a thread: what the latest checkpoint of its root namespace calls for.

A state is a number that the time index lists threads by. The layers above compute the state of a
checkpoint with its pending writes, and say what the numbers from 4 on mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import checkpoints, writes
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.kv.base import Reader

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.engine.options import StateOf
    from langgraph.checkpoint.lmdb.engine.thread_record import Thread

NO_CHECKPOINT = 0
"""The root namespace has no checkpoint."""
COMPLETE = 1
"""The checkpoint calls for nothing."""
UNKNOWN = 2
"""The state cannot be computed."""
UNSETTLED = 3
"""The state has to be computed from the records. This is never wrong, but it costs readers time."""
MAX_TASKS = 16
"""Number of tasks with pending writes up to which a write computes the state. With more tasks the
state becomes unsettled, so that the writes of many tasks remain cheap."""
MAX_BYTES = 1 << 16
"""Bytes of values up to which a write computes the state. With more the state becomes unsettled."""


def is_indexed(state: int) -> bool:
    """Return True if the time index lists the threads in a state."""
    return state >= UNKNOWN


def always_complete(*_: object) -> int:
    """Return the state of any checkpoint in a store without runs."""
    return COMPLETE


def current(
    reader: Reader, thread: Thread, state_of: StateOf, budget: int | None = None
) -> int | None:
    """Return the state of a thread, from its records; None if its serializer is another one.

    Args:
        reader: A snapshot.
        thread: The thread.
        state_of: The function that computes the state.
        budget: Bytes of values that may be decoded; the state is `UNSETTLED` if they are more.
            None: any number.

    Raises:
        DamagedError: A record is damaged.
    """
    latest = checkpoints.latest_before(reader, thread.root)
    record = None if latest is None else checkpoints.read(reader, thread.root, latest)
    if record is None:
        return NO_CHECKPOINT
    pending = writes.of_checkpoint(reader, thread.root, record.id)
    return state_of(reader, record, pending, budget)


def refresh(reader: Reader, thread: Thread, state_of: StateOf, budget: int | None = None) -> None:
    """Set the state of a thread to its current state; the caller saves the thread."""
    try:
        found = current(reader, thread, state_of, budget)
    except DamagedError:  # reported by what reads the record for its content
        found = None
    thread.state = UNKNOWN if found is None else found


def refresh_if_cheap(reader: Reader, thread: Thread, state_of: StateOf) -> None:
    """Set the state of a thread as `refresh` does, or to `UNSETTLED` if that may take long."""
    latest = checkpoints.latest_before(reader, thread.root)
    if latest is not None and writes.has_more_tasks(reader, thread.root, latest, MAX_TASKS):
        thread.state = UNSETTLED
    else:
        refresh(reader, thread, state_of, MAX_BYTES)
