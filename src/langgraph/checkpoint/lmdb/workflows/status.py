"""The state of the latest run of one thread."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointMetadata, CheckpointTuple

from langgraph.checkpoint.lmdb.lock_files import run_lock
from langgraph.checkpoint.lmdb.run_state import MAY_RUN, State, run_state
from langgraph.checkpoint.lmdb.workflows import arguments, graphs
from langgraph.checkpoint.lmdb.workflows.connections import (
    Connection,
    achosen_lock_manager,
    aopen_connection,
    chosen_lock_manager,
    open_connection,
)
from langgraph.checkpoint.lmdb.workflows.graphs import GraphAnswer
from langgraph.checkpoint.lmdb.workflows.locks import LockManager

if TYPE_CHECKING:
    from langgraph.pregel import Pregel
    from langgraph.types import Interrupt

RESUMABLE: frozenset[State] = frozenset(("failed", "stalled"))
"""The states of runs that need to be resumed."""


@dataclass(frozen=True, slots=True)
class CheckpointStatus:
    """The state of the latest run of a thread, read from the thread's latest root checkpoint."""

    thread_id: str
    checkpoint_id: str
    version: int
    """Format version of the checkpoint, its `v`."""
    is_complete: bool
    """True if the run has nothing to do any more."""
    state: State
    """`unknown`, `complete`, `running`, `failed`, `waiting` or `stalled`."""
    next: tuple[str, ...]
    """Nodes of the tasks that have to run, without those whose output is stored."""
    error: str | None
    """Error of a failed task."""
    interrupts: tuple[Interrupt[Any], ...]
    """Interrupts that wait for an answer."""
    step: int | None
    """Superstep of the checkpoint."""
    created_at: datetime | None
    """Time of the checkpoint; None if the checkpoint does not tell it."""
    updated_at: datetime | None
    """Time of the last change that the checkpoint tells; at present the same as `created_at`."""
    run_id: str | None
    metadata: CheckpointMetadata


def get_checkpoint_status(
    thread_id: str,
    connection: Connection,
    *,
    graph: Pregel[Any, Any, Any, Any] | None = None,
    lock_manager: LockManager | None = None,
) -> CheckpointStatus | None:
    """Return the state of a thread's latest run.

    Args:
        thread_id: The thread.
        connection: Path or connection string of a store, or any saver.
        graph: The graph of the run. It tells the tasks where the checkpoint does not (state
            `unknown`, a functional graph that has never finished), and static breakpoints: a run
            that stopped at one is `waiting`, without it `stalled`.
        lock_manager: Tells which runs are running. By default the locks in the store's folder.

    Returns:
        The status; None if the thread does not exist.

    Raises:
        UsageError: An argument is not what it must be.
        InvalidPathError: There is no store.
    """
    thread_id = arguments.text(thread_id, "thread_id")
    with open_connection(connection, readonly=True) as saver:
        found = saver.get_tuple(root_config(thread_id))
        if found is None:
            return None
        return status_of(saver, found, graph, chosen_lock_manager(saver, lock_manager))


async def aget_checkpoint_status(
    thread_id: str,
    connection: Connection,
    *,
    graph: Pregel[Any, Any, Any, Any] | None = None,
    lock_manager: LockManager | None = None,
) -> CheckpointStatus | None:
    """Async version of `get_checkpoint_status`."""
    thread_id = arguments.text(thread_id, "thread_id")
    async with aopen_connection(connection, readonly=True) as saver:
        found = await saver.aget_tuple(root_config(thread_id))
        if found is None:
            return None
        return await astatus_of(
            saver, found, graph, await achosen_lock_manager(saver, lock_manager)
        )


def needs_resume(
    thread_id: str,
    connection: Connection,
    *,
    graph: Pregel[Any, Any, Any, Any] | None = None,
    lock_manager: LockManager | None = None,
) -> bool:
    """Return True if the latest run of a thread has failed or stalled.

    Args:
        thread_id: The thread. One that does not exist needs no resume.
        connection: Path or connection string of a store, or any saver.
        graph: As for `get_checkpoint_status`: a run at a static breakpoint needs no resume.
        lock_manager: As for `get_checkpoint_status`.

    Raises:
        UsageError: An argument is not what it must be.
        InvalidPathError: There is no store.
    """
    status = get_checkpoint_status(thread_id, connection, graph=graph, lock_manager=lock_manager)
    return status is not None and status.state in RESUMABLE


async def aneeds_resume(
    thread_id: str,
    connection: Connection,
    *,
    graph: Pregel[Any, Any, Any, Any] | None = None,
    lock_manager: LockManager | None = None,
) -> bool:
    """Async version of `needs_resume`."""
    status = await aget_checkpoint_status(
        thread_id, connection, graph=graph, lock_manager=lock_manager
    )
    return status is not None and status.state in RESUMABLE


def read_status(
    thread_id: str,
    saver: BaseCheckpointSaver[Any],
    graph: Pregel[Any, Any, Any, Any] | None = None,
) -> CheckpointStatus | None:
    """Return the status that a thread's latest root checkpoint tells; never `running`."""
    found = saver.get_tuple(root_config(thread_id))
    if found is None:
        return None
    return checkpoint_status(found, None if graph is None else graphs.ask(graph, saver, found))


async def aread_status(
    thread_id: str,
    saver: BaseCheckpointSaver[Any],
    graph: Pregel[Any, Any, Any, Any] | None = None,
) -> CheckpointStatus | None:
    """Async version of `read_status`."""
    found = await saver.aget_tuple(root_config(thread_id))
    if found is None:
        return None
    answer = None if graph is None else await graphs.aask(graph, saver, found)
    return checkpoint_status(found, answer)


def root_config(thread_id: str) -> RunnableConfig:
    """Return the config of the latest root checkpoint of a thread."""
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}


def status_of(
    saver: BaseCheckpointSaver[Any],
    found: CheckpointTuple,
    graph: Pregel[Any, Any, Any, Any] | None,
    locks: LockManager,
) -> CheckpointStatus:
    """Return the status of a thread by its latest root checkpoint, `running` if it is locked."""
    answer = None if graph is None else graphs.ask(graph, saver, found)
    status = checkpoint_status(found, answer)
    if _may_run(status) and locks.is_locked(run_lock(status.thread_id)):
        return replace(status, state="running")
    return status


async def astatus_of(
    saver: BaseCheckpointSaver[Any],
    found: CheckpointTuple,
    graph: Pregel[Any, Any, Any, Any] | None,
    locks: LockManager,
) -> CheckpointStatus:
    """Async version of `status_of`."""
    answer = None if graph is None else await graphs.aask(graph, saver, found)
    status = checkpoint_status(found, answer)
    if not _may_run(status):
        return status
    is_locked = await asyncio.to_thread(locks.is_locked, run_lock(status.thread_id))
    return replace(status, state="running") if is_locked else status


def _may_run(status: CheckpointStatus) -> bool:
    return status.state in MAY_RUN


def checkpoint_status(
    found: CheckpointTuple, answer: GraphAnswer | None = None
) -> CheckpointStatus:
    """Return the status that a thread's latest root checkpoint tells; never `running`.

    Args:
        found: The checkpoint.
        answer: The graph's answer for the checkpoint.
    """
    metadata: Any = found.metadata or {}
    step = metadata.get("step")
    run = run_state(
        found.checkpoint,
        step,
        found.pending_writes or (),
        None if answer is None else answer.tasks,
    )
    state = run.state
    if state == "stalled" and answer is not None and answer.at_breakpoint:
        state = "waiting"
    created = created_at(found)
    run_id = metadata.get("run_id")
    return CheckpointStatus(
        thread_id=found.config["configurable"]["thread_id"],
        checkpoint_id=found.checkpoint["id"],
        version=found.checkpoint["v"],
        is_complete=state == "complete",
        state=state,
        next=run.next,
        error=run.error,
        interrupts=run.interrupts,
        step=step,
        created_at=created,
        updated_at=created,
        run_id=None if run_id is None else str(run_id),
        metadata=metadata,
    )


def created_at(found: CheckpointTuple) -> datetime | None:
    """Return the time of a checkpoint; None if it is not a time."""
    try:
        text = found.checkpoint["ts"]
        created = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return created if created.tzinfo is not None else created.replace(tzinfo=timezone.utc)
