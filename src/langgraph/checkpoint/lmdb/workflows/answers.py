"""Answers: the resumption of a run by a person, who may answer an interrupt."""

from __future__ import annotations

import json
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.types import Command

from langgraph.checkpoint.lmdb.workflows.durable import DurableWorkflow
from langgraph.checkpoint.lmdb.workflows.resuming import ResumeResult, resume_workflow


def resume_with_answer(
    thread_id: str,
    saver: BaseCheckpointSaver[Any],
    graph: Any,
    answer: str | None = None,
    interrupt_id: str | None = None,
) -> ResumeResult:
    """Resume a run under its lock, and return the report.

    Args:
        thread_id: The thread.
        saver: Saver that reads the types of the graph.
        graph: The graph of the run.
        answer: Answer to an interrupt: JSON, or else a text. None: answer nothing.
        interrupt_id: The interrupt that is answered. None: the only one.
    """
    workflow = DurableWorkflow(graph, saver)
    command: Any = None if answer is None else Command(resume=_resumption(answer, interrupt_id))

    def resume(thread_id: str) -> Any:
        return workflow.resume(thread_id, command)

    return resume_workflow(thread_id, saver, resume, graph=graph)


def _resumption(answer: str, interrupt_id: str | None) -> Any:
    try:
        value = json.loads(answer)
    except ValueError:
        value = answer
    return value if interrupt_id is None else {interrupt_id: value}
