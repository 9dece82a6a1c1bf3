"""The rules of run states agree with the graphs themselves, at every point of random runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.run_state import STATES, Task, pending_tasks, run_state
from tests.workflows.graphs import SAVERS, at, open_saver
from tests.workflows.random_graphs import Plan, Recorder, World, plans, run

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple, PendingWrite
    from langgraph.types import StateSnapshot

    from langgraph.checkpoint.lmdb.run_state import RunState

NULL_TASK_ID = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("kind", SAVERS)
@given(plan=plans())
@settings(max_examples=25)
def test_every_point_of_a_run(kind: str, plan: Plan) -> None:
    check(kind, plan)


@pytest.mark.long
@pytest.mark.parametrize("kind", SAVERS)
@given(plan=plans())
def test_every_point_of_many_runs(kind: str, plan: Plan) -> None:
    check(kind, plan)


def check(kind: str, plan: Plan) -> None:
    world = World(plan)
    with open_saver(kind) as saver:
        recorder = Recorder(saver)
        graph = world.build(saver)
        for _ in run(plan, graph):
            found = saver.get_tuple(at())
            if found is not None:
                compare_latest(plan, found, graph.get_state(at()))
                compare_index(saver, found)
        for found in [*saver.list(at())]:  # SqliteSaver keeps its lock while it lists
            if not found.config["configurable"]["checkpoint_ns"]:
                compare_tasks(plan, found, graph.get_state(found.config))
    with open_saver(kind) as copy:
        graph = world.build(copy)
        for _ in recorder.replay(copy):
            found = copy.get_tuple(at())
            if found is not None:
                compare_latest(plan, found, graph.get_state(at()))
                compare_index(copy, found)


def compare_tasks(plan: Plan, found: CheckpointTuple, expected: StateSnapshot) -> None:
    """Compare the tasks of any checkpoint, whatever is pending."""
    state = run_state(found.checkpoint, found.metadata.get("step"), ())
    if state.state != "unknown":
        assert names(plan, state.next) == sorted(expected.next)
        assert (state.state == "complete") == (not expected.tasks)
    else:
        assert not found.checkpoint["channel_versions"]
        assert not expected.next


def compare_latest(plan: Plan, found: CheckpointTuple, expected: StateSnapshot) -> None:
    """Compare all that the graph tells of the latest checkpoint, as if the process had ended."""
    writes = found.pending_writes or []
    step = found.metadata.get("step")
    tasks = [Task(task.name, task.id) for task in expected.tasks]
    with_graph = run_state(found.checkpoint, step, writes, tasks)
    compare_reason(with_graph, writes, expected)
    assert sorted(with_graph.next) == sorted(expected.next)
    state = run_state(found.checkpoint, step, writes)
    if state.state == "unknown":
        assert not found.checkpoint["channel_versions"]
        return
    assert (state.state == "complete") == (with_graph.state == "complete")
    if plan.is_functional:
        # The name of an entrypoint that has never finished is not stored, so its task is not known
        # among the calls of its tasks.
        assert names(plan, state.next) == sorted(expected.next)
        assert {each.id for each in with_graph.interrupts} <= {each.id for each in state.interrupts}
    elif {*tasks} == {*pending_tasks(found.checkpoint, step)}:
        assert names(plan, state.next) == sorted(expected.next)
        assert (state.state, state.error, state.interrupts) == (
            with_graph.state,
            with_graph.error,
            with_graph.interrupts,
        )
    else:  # the id of a task depends on a join that nothing was written to
        assert plan.joins
        assert {*expected.next} <= {*state.next}


def compare_index(saver: BaseCheckpointSaver[Any], found: CheckpointTuple) -> None:
    """Compare what the store's index tells of the thread, if the saver has one."""
    if isinstance(saver, LmdbSaver):
        state = run_state(found.checkpoint, found.metadata.get("step"), found.pending_writes or ())
        (info,) = saver.threads()
        assert (info.state, info.next) == (state.state, state.next)
        listed = [other for other in STATES if other != "running" and saver.threads(state=other)]
        assert listed == [state.state]


def compare_reason(state: RunState, writes: list[PendingWrite], expected: StateSnapshot) -> None:
    """Compare why a run stopped, as far as the graph tells it.

    The graph does not tell whether an interrupt was answered, nor what calls within tasks did.
    """
    null = [channel for task_id, channel, _ in writes if task_id == NULL_TASK_ID]
    assert (state.state == "complete") == (not expected.tasks and not any(map(starts, null)))
    asked = {each.id for each in expected.interrupts}
    ours = {each.id for each in state.interrupts}
    assert (state.state == "failed") == (state.error is not None)
    assert state.state == "failed" or (state.state == "waiting") == bool(ours)
    ids = {task.id for task in expected.tasks}
    stopped = [task_id for task_id, channel, _ in writes if channel in (ERROR, INTERRUPT)]
    if not ids.issuperset(stopped):
        return
    has_error = any(task.error for task in expected.tasks)
    if "__resume__" in null or has_error:
        assert ours <= asked
    else:
        assert ours == asked
    assert state.state != "failed" or has_error
    if any(task.error and not task.interrupts for task in expected.tasks):
        assert state.state == "failed"


def names(plan: Plan, following: tuple[str, ...]) -> list[str]:
    """Return the names of nodes in order; the name of an entrypoint may not be stored yet."""
    if plan.is_functional:
        return ["flow" if name == "__start__" else name for name in following]
    return sorted(following)


def starts(channel: str) -> bool:
    return channel == "__pregel_tasks" or channel.startswith("branch:to:")
