"""`DurableWorkflow`: runs of one graph, each by one worker at a time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import Command

from langgraph.checkpoint.lmdb.errors import LmdbSaverError, ThreadNotFoundError
from langgraph.checkpoint.lmdb.workflows import arguments
from langgraph.checkpoint.lmdb.workflows.connections import chosen_lock_manager
from langgraph.checkpoint.lmdb.workflows.database_errors import translated
from langgraph.checkpoint.lmdb.workflows.errors import WorkflowError
from langgraph.checkpoint.lmdb.workflows.graphs import compiled
from langgraph.checkpoint.lmdb.workflows.locks import LockManager
from langgraph.checkpoint.lmdb.workflows.run_lock import RunLock, ahold_run, guarded, hold_run
from langgraph.checkpoint.lmdb.workflows.status import (
    CheckpointStatus,
    aget_checkpoint_status,
    aread_status,
    get_checkpoint_status,
    read_status,
    root_config,
)


class DurableWorkflow:
    """A graph whose runs survive crashes and never run twice at the same time.

    A step begins only after the checkpoint of the step before it is stored (durability "sync"). A
    run holds the run lock of its thread. When the lock is lost, the run stores nothing more and
    stops with LockLostError.

    Args:
        graph: A compiled graph, or a builder with `compile`.
        checkpointer: Any saver.
        lock_manager: Holds the run locks. By default, locks in the store's folder; for a saver that
            has no folder, locks for the threads of this process.

    Raises:
        UsageError: An argument is invalid.
    """

    def __init__(
        self,
        graph: Any,
        checkpointer: BaseCheckpointSaver[Any],
        *,
        lock_manager: LockManager | None = None,
    ) -> None:
        if not isinstance(checkpointer, BaseCheckpointSaver):
            arguments.refuse("checkpointer", "a saver", checkpointer)
        self._graph = compiled(graph)
        self._saver = checkpointer
        self._locks = chosen_lock_manager(checkpointer, lock_manager)

    def execute(self, thread_id: str, input: Any, *, config: RunnableConfig | None = None) -> Any:
        """Run the graph with an input, on a new or an existing thread.

        Args:
            thread_id: The thread.
            input: The input, as for `graph.invoke`.
            config: More of the run's config, for example callbacks.

        Returns:
            The output of the graph, as `graph.invoke` returns it.

        Raises:
            AlreadyRunningError: Another thread or process runs it.
            WorkflowError: The graph raised an error.
            LockLostError: The run lock was lost.
            LmdbSaverError: The saver failed.
        """
        with hold_run(self._locks, arguments.text(thread_id, "thread_id")) as lock:
            return self._invoke(lock, thread_id, input, config)

    async def aexecute(
        self, thread_id: str, input: Any, *, config: RunnableConfig | None = None
    ) -> Any:
        """Async version of `execute`."""
        async with ahold_run(self._locks, arguments.text(thread_id, "thread_id")) as lock:
            return await self._ainvoke(lock, thread_id, input, config)

    def resume(
        self, thread_id: str, updates: Any = None, *, config: RunnableConfig | None = None
    ) -> Any:
        """Continue a run where it stopped.

        Args:
            thread_id: The thread.
            updates: None; a dict of updates of the state; or a Command: `Command(resume=answer)`
                answers an interrupt.
            config: More of the run's config, for example callbacks.

        Returns:
            The output of the graph. A run that is complete does not run again.

        Raises:
            ThreadNotFoundError: The thread has no checkpoint.
            AlreadyRunningError: Another thread or process runs it.
            WorkflowError: The graph raised an error.
            LockLostError: The run lock was lost.
            LmdbSaverError: The saver failed.
        """
        command = _command(updates)
        with hold_run(self._locks, arguments.text(thread_id, "thread_id")) as lock:
            with translated():
                found = self._saver.get_tuple(root_config(thread_id))
            if found is None:
                raise _not_found(thread_id)
            return self._invoke(lock, thread_id, command, config)

    async def aresume(
        self, thread_id: str, updates: Any = None, *, config: RunnableConfig | None = None
    ) -> Any:
        """Async version of `resume`."""
        command = _command(updates)
        async with ahold_run(self._locks, arguments.text(thread_id, "thread_id")) as lock:
            with translated():
                found = await self._saver.aget_tuple(root_config(thread_id))
            if found is None:
                raise _not_found(thread_id)
            return await self._ainvoke(lock, thread_id, command, config)

    def get_status(self, thread_id: str) -> CheckpointStatus | None:
        """Return the state of a thread's latest run; None if the thread does not exist."""
        return get_checkpoint_status(
            thread_id, self._saver, graph=self._graph, lock_manager=self._locks
        )

    async def aget_status(self, thread_id: str) -> CheckpointStatus | None:
        """Async version of `get_status`."""
        return await aget_checkpoint_status(
            thread_id, self._saver, graph=self._graph, lock_manager=self._locks
        )

    def _invoke(
        self, lock: RunLock, thread_id: str, input: Any, config: RunnableConfig | None
    ) -> Any:
        graph = self._graph.copy(update={"checkpointer": guarded(self._saver, lock)})
        try:
            return graph.invoke(input, _run_config(thread_id, config), durability="sync")
        except LmdbSaverError:
            raise
        except Exception as error:
            state = None
            with suppress(Exception):  # the saver may be what failed
                state = read_status(thread_id, self._saver)
            raise WorkflowError(thread_id, state, error) from error

    async def _ainvoke(
        self, lock: RunLock, thread_id: str, input: Any, config: RunnableConfig | None
    ) -> Any:
        graph = self._graph.copy(update={"checkpointer": guarded(self._saver, lock)})
        try:
            return await graph.ainvoke(input, _run_config(thread_id, config), durability="sync")
        except LmdbSaverError:
            raise
        except Exception as error:
            state = None
            with suppress(Exception):
                state = await aread_status(thread_id, self._saver)
            raise WorkflowError(thread_id, state, error) from error


def _command(updates: Any) -> Any:
    """Return the input that continues a run."""
    if updates is None or isinstance(updates, Command):
        return updates
    if not isinstance(updates, Mapping):
        arguments.refuse("updates", "a dict, a Command or None", updates)
    return Command(update=dict(updates))


def _run_config(thread_id: str, config: RunnableConfig | None) -> RunnableConfig:
    base: Any = dict(config or {})
    base["configurable"] = {**base.get("configurable", {}), "thread_id": thread_id}
    return base  # type: ignore[no-any-return]


def _not_found(thread_id: str) -> ThreadNotFoundError:
    return ThreadNotFoundError("the thread does not exist", thread_id=thread_id)
