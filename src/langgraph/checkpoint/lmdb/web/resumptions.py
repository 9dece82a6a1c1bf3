"""Resumptions: runs that the page continues in the background, and what became of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.opening import open_existing

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.workflows import ResumeResult

RUNNING = "the run is being resumed"
_NOT_RESUMED = {
    "already_running": "the run was not resumed: another worker runs it",
    "not_found": "the run was not resumed: the thread does not exist",
    "already_complete": "the run was not resumed: it is complete",
}


class Resumptions:
    """The runs of a store that the page resumes, each in a thread of its own.

    Args:
        store: Folder or connection string of the store.
        graph: Graph of the runs. None: nothing can be resumed.
    """

    def __init__(self, store: str, graph: Any) -> None:
        self.graph = graph
        self._store = store
        self._outcomes: dict[str, str] = {}

    def start(self, thread_id: str, answer: str | None, interrupt_id: str | None) -> None:
        """Resume a run, unless it is being resumed."""
        if self._outcomes.get(thread_id) == RUNNING:
            return
        self._outcomes[thread_id] = RUNNING
        # A run that ends with the server is continued by the next resumption.
        threading.Thread(
            target=self._resume, args=(thread_id, answer, interrupt_id), daemon=True
        ).start()

    def outcome(self, thread_id: str) -> str | None:
        """Return what became of the last resumption of a run; None if there was none."""
        return self._outcomes.get(thread_id)

    @property
    def mark(self) -> tuple[str, ...]:
        """Mark of all outcomes, which changes with each of them."""
        return tuple(self._outcomes.values())

    def _resume(self, thread_id: str, answer: str | None, interrupt_id: str | None) -> None:
        # Imported here: it imports LangGraph, which the rest of the page does not need.
        from langgraph.checkpoint.lmdb.workflows.answers import (  # noqa: PLC0415
            resume_with_answer,
        )

        try:
            with open_existing(self._store, readonly=False) as saver:  # with the types of the graph
                result = resume_with_answer(thread_id, saver, self.graph, answer, interrupt_id)
            self._outcomes[thread_id] = _text(result)
        except Exception as error:  # noqa: BLE001 - shown on the page
            self._outcomes[thread_id] = f"the run was not resumed: {error}"


def _text(result: ResumeResult) -> str:
    if result["error"] is not None:
        return f"the run was resumed and failed: {result['error']}"
    if result["status"] == "success":
        return f"the run was resumed and is {'complete' if result['completed'] else 'waiting'}"
    return _NOT_RESUMED[result["status"]]
