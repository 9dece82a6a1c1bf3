"""Cleanup of old runs, ids of new ones, and the progress of a run."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sized
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple

from langgraph.checkpoint.lmdb.errors import ThreadNotFoundError
from langgraph.checkpoint.lmdb.run_state import State
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.connections import (
    Connection,
    achosen_lock_manager,
    aopen_connection,
    chosen_lock_manager,
    open_connection,
)
from langgraph.checkpoint.lmdb.workflows.errors import AlreadyRunningError
from langgraph.checkpoint.lmdb.workflows.locks import LockManager
from langgraph.checkpoint.lmdb.workflows.run_list import astatuses, statuses
from langgraph.checkpoint.lmdb.workflows.run_lock import ahold_run, hold_run
from langgraph.checkpoint.lmdb.workflows.status import CheckpointStatus, root_config

_SECONDS_PER_DAY = 24 * 3600


def cleanup_old_checkpoints(
    connection: Connection,
    days: float = 30,
    *,
    only_complete: bool = True,
    dry_run: bool = False,
    lock_manager: LockManager | None = None,
    clock: Callable[[], float] = time.time,
) -> list[str]:
    """Delete the threads whose last activity was long ago.

    Runs that are running, and runs whose state is unknown, are never deleted.

    Args:
        connection: Path or connection string of a store, or any saver.
        days: Days since the last activity, at least.
        only_complete: Delete complete runs only. Otherwise also runs that failed, stalled or wait.
        dry_run: Delete nothing.
        lock_manager: As for `resume_workflow`.
        clock: Returns the time in seconds since the epoch.

    Returns:
        The ids of the deleted threads; with `dry_run`, of those that would be deleted.

    Raises:
        UsageError: An argument is invalid.
        InvalidPathError: There is no store.
    """
    until, states = _selection(days, only_complete, dry_run, clock)
    with open_connection(connection, readonly=dry_run) as saver:
        locks = chosen_lock_manager(saver, lock_manager)
        found = statuses(saver, states=states, until=until, lock_manager=locks)
        if dry_run:
            return [status.thread_id for status in found]
        deleted = []
        for status in found:
            with suppress(AlreadyRunningError), hold_run(locks, status.thread_id):
                if _is_still(status, saver.get_tuple(root_config(status.thread_id))):
                    saver.delete_thread(status.thread_id)
                    deleted.append(status.thread_id)
        return deleted


async def acleanup_old_checkpoints(
    connection: Connection,
    days: float = 30,
    *,
    only_complete: bool = True,
    dry_run: bool = False,
    lock_manager: LockManager | None = None,
    clock: Callable[[], float] = time.time,
) -> list[str]:
    """Async version of `cleanup_old_checkpoints`."""
    until, states = _selection(days, only_complete, dry_run, clock)
    async with aopen_connection(connection, readonly=dry_run) as saver:
        locks = await achosen_lock_manager(saver, lock_manager)
        found = await astatuses(saver, states=states, until=until, lock_manager=locks)
        if dry_run:
            return [status.thread_id for status in found]
        deleted = []
        for status in found:
            with suppress(AlreadyRunningError):
                async with ahold_run(locks, status.thread_id):
                    if _is_still(status, await saver.aget_tuple(root_config(status.thread_id))):
                        await saver.adelete_thread(status.thread_id)
                        deleted.append(status.thread_id)
        return deleted


def generate_thread_id(workflow_name: str, user_id: str | None = None) -> str:
    """Return a new thread id: the name, the user if there is one, and 32 random digits.

    Args:
        workflow_name: Name of the workflow. `threads(prefix=...)` lists by it.
        user_id: User that the run belongs to.

    Raises:
        UsageError: A name is not a str, or has other characters than letters, digits and `_.@-`.
    """
    parts = [_word(workflow_name, "workflow_name")]
    if user_id is not None:
        parts.append(_word(user_id, "user_id"))
    return "-".join((*parts, uuid.uuid4().hex))


def get_progress(
    connection: Connection,
    thread_id: str,
    done: str = "completed_tasks",
    pending: str = "pending_tasks",
) -> dict[str, Any]:
    """Return the progress of a run that keeps its tasks in two channels of its state.

    Args:
        connection: Path or connection string of a store, or any saver.
        thread_id: The thread.
        done: Channel with the tasks that are done: a list, or a number.
        pending: Channel with the tasks that are left: the same.

    Returns:
        A dict of `completed` and `pending` (numbers of tasks), `progress` ("2/3") and `percentage`
        (66.7; of no tasks: 0.0).

    Raises:
        ThreadNotFoundError: The thread does not exist.
        UsageError: An argument is invalid, or a channel holds something else.
        InvalidPathError: There is no store.
    """
    _check_channels(thread_id, done, pending)
    with open_connection(connection, readonly=True) as saver:
        return _progress(thread_id, saver.get_tuple(root_config(thread_id)), done, pending)


async def aget_progress(
    connection: Connection,
    thread_id: str,
    done: str = "completed_tasks",
    pending: str = "pending_tasks",
) -> dict[str, Any]:
    """Async version of `get_progress`."""
    _check_channels(thread_id, done, pending)
    async with aopen_connection(connection, readonly=True) as saver:
        return _progress(thread_id, await saver.aget_tuple(root_config(thread_id)), done, pending)


def _selection(
    days: object, only_complete: object, dry_run: object, clock: Callable[[], float]
) -> tuple[datetime, frozenset[State]]:
    """Return the latest activity, and the states, of threads to delete."""
    seconds = arguments.number(days, "days", "days") * _SECONDS_PER_DAY
    arguments.flag(dry_run, "dry_run")
    states: frozenset[State] = frozenset(("complete",))
    if not arguments.flag(only_complete, "only_complete"):
        states |= {"failed", "stalled", "waiting"}
    return datetime.fromtimestamp(max(clock() - seconds, 0), timezone.utc), states


def _is_still(status: CheckpointStatus, found: CheckpointTuple | None) -> bool:
    """Return True if a run has stored no checkpoint since its status was read."""
    return found is not None and found.checkpoint["id"] == status.checkpoint_id


def _word(value: object, name: str) -> str:
    text = arguments.text(value, name)
    if not re.fullmatch(r"[\w.@-]+", text):
        arguments.refuse(name, "a str of letters, digits and _.@-", value)
    return text


def _check_channels(thread_id: object, done: object, pending: object) -> None:
    arguments.text(thread_id, "thread_id")
    arguments.text(done, "done")
    arguments.text(pending, "pending")


def _progress(
    thread_id: str, found: CheckpointTuple | None, done: str, pending: str
) -> dict[str, Any]:
    if found is None:
        raise ThreadNotFoundError("the thread does not exist", thread_id=thread_id)
    values = found.checkpoint["channel_values"]
    completed, left = _size(values.get(done), done), _size(values.get(pending), pending)
    total = completed + left
    return {
        "completed": completed,
        "pending": left,
        "progress": f"{completed}/{total}",
        "percentage": round(100 * completed / total, 1) if total else 0.0,
    }


def _size(value: object, channel: str) -> int:
    if value is None:
        return 0
    if isinstance(value, Sized) and not isinstance(value, (str, bytes)):
        return len(value)
    return arguments.count(value, f"the channel {channel!r}", "tasks, or a list")
