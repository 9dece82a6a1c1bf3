"""The state of a run, one situation at a time."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import InvalidPathError, StoreClosedError, UsageError
from langgraph.checkpoint.lmdb.workflows import (
    FileLockManager,
    afind_failed_workflows,
    aget_checkpoint_status,
    aneeds_resume,
    find_failed_workflows,
    get_checkpoint_status,
    needs_resume,
)
from tests.workflows.graphs import SAVERS, State, at, nested, one_node, open_saver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from langgraph.checkpoint.base import BaseCheckpointSaver

    Saver = BaseCheckpointSaver[Any]

NULL_TASK_ID = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(params=SAVERS)
def saver(request: pytest.FixtureRequest) -> Iterator[Saver]:
    with open_saver(request.param) as saver:
        yield saver


class Flaky:
    """A node that fails while `broken`, and may ask before or after."""

    def __init__(self, ask: bool = False) -> None:
        self.broken = True
        self.ask = ask

    def __call__(self, state: State) -> State:
        answer = interrupt("sure?") if self.ask else "none"
        if self.broken:
            raise RuntimeError("broken")
        return {"log": [answer]}


def fail(graph: Any, given: Any) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        graph.invoke(given, at())


def answer_and_crash(saver: Saver, answer: str) -> None:
    """Store an answer, as `Command(resume=answer)` does first, and nothing more."""
    found = saver.get_tuple(at())
    assert found is not None
    saver.put_writes(found.config, [("__resume__", answer)], NULL_TASK_ID)


def state(saver: Saver, graph: Any = None) -> str:
    status = get_checkpoint_status("t", saver, graph=graph)
    assert status is not None
    assert status.is_complete == (status.state == "complete")
    return status.state


def test_complete(saver: Saver) -> None:
    graph = one_node(lambda _: {"log": [1]}).compile(checkpointer=saver)
    graph.invoke({"log": []}, {**at(), "metadata": {"run_id": "r1"}})
    status = get_checkpoint_status("t", saver)
    assert status is not None
    assert (status.state, status.next, status.error, status.interrupts) == (
        "complete",
        (),
        None,
        (),
    )
    assert (status.thread_id, status.version, status.step) == ("t", 4, 1)
    assert status.run_id == "r1" == status.metadata["run_id"]
    assert status.checkpoint_id == graph.get_state(at()).config["configurable"]["checkpoint_id"]
    assert status.created_at is not None
    assert status.updated_at is not None
    age = datetime.now(timezone.utc) - status.created_at
    assert timedelta(0) <= age < timedelta(minutes=5)
    assert not needs_resume("t", saver)


@pytest.mark.parametrize("build", [one_node, nested])
def test_failed(saver: Saver, build: Callable[[Any], StateGraph[Any]]) -> None:
    node = Flaky()
    graph = build(node).compile(checkpointer=saver)
    fail(graph, {"log": []})
    status = get_checkpoint_status("t", saver)
    assert status is not None
    assert (status.state, status.next) == ("failed", ("work",))
    assert status.error == "RuntimeError('broken')"
    assert needs_resume("t", saver)
    node.broken = False
    graph.invoke(None, at())
    assert state(saver) == "complete"


@pytest.mark.parametrize("build", [one_node, nested])
def test_waiting(saver: Saver, build: Callable[[Any], StateGraph[Any]]) -> None:
    graph = build(lambda _: {"log": [interrupt("first"), interrupt("second")]}).compile(
        checkpointer=saver
    )
    graph.invoke({"log": []}, at())
    for question in ("first", "second"):
        status = get_checkpoint_status("t", saver)
        assert status is not None
        assert (status.state, status.next) == ("waiting", ("work",))
        assert status.interrupts == graph.get_state(at()).interrupts
        assert [each.value for each in status.interrupts] == [question]
        assert not needs_resume("t", saver)
        graph.invoke(Command(resume=f"answer to {question}"), at())
    assert state(saver) == "complete"


def test_answered_and_crashed_is_stalled(saver: Saver) -> None:
    graph = one_node(lambda _: {"log": [interrupt("1"), interrupt("2")]}).compile(
        checkpointer=saver
    )
    graph.invoke({"log": []}, at())
    answer_and_crash(saver, "yes")
    assert state(saver) == "stalled"
    graph.invoke(None, at())
    assert state(saver) == "waiting"
    answer_and_crash(saver, "no")
    assert state(saver) == "stalled"
    assert graph.invoke(None, at()) == {"log": ["yes", "no"]}


def test_used_answer_never_answers_a_question_of_a_subgraph(saver: Saver) -> None:
    """LangGraph would take the stored answer of the first question for the second one."""
    graph = nested(lambda _: {"log": [interrupt("1"), interrupt("2")]}).compile(checkpointer=saver)
    graph.invoke({"log": []}, at())
    graph.invoke(Command(resume="yes"), at())
    assert state(saver) == "waiting"


@pytest.mark.parametrize("build", [one_node, nested])
@pytest.mark.parametrize("by_id", [False, True])
def test_answered_and_failed_is_failed(
    saver: Saver, build: Callable[[Any], StateGraph[Any]], by_id: bool
) -> None:
    node = Flaky(ask=True)
    graph = build(node).compile(checkpointer=saver)
    graph.invoke({"log": []}, at())
    question = graph.get_state(at()).interrupts[0]
    fail(graph, Command(resume={question.id: "yes"} if by_id else "yes"))
    status = get_checkpoint_status("t", saver)
    assert status is not None
    assert (status.state, status.error) == ("failed", "RuntimeError('broken')")
    assert status.interrupts == ()
    node.broken = False
    assert graph.invoke(None, at()) == {"log": ["yes"]}


def test_failed_and_then_asked_is_waiting(saver: Saver) -> None:
    node = Flaky()
    graph = one_node(node).compile(checkpointer=saver)
    fail(graph, {"log": []})
    node.ask = True
    graph.invoke(None, at())
    assert state(saver) == "waiting"


def test_failed_task_beside_a_waiting_one_is_failed(saver: Saver) -> None:
    graph = (
        StateGraph(State)
        .add_node("ask", lambda _: {"log": [interrupt("?")]})
        .add_node("work", Flaky())
        .add_edge(START, "ask")
        .add_edge(START, "work")
        .compile(checkpointer=saver)
    )
    fail(graph, {"log": []})
    assert state(saver) == "failed"


def test_stalled_after_the_last_write(saver: Saver) -> None:
    """A process that died between the last `put_writes` and its `put`."""
    graph = one_node(lambda _: {"log": [1]}).compile(checkpointer=saver)
    graph.invoke({"log": []}, at())
    steps = [*saver.list(at())]
    with open_saver("memory") as copy:
        for found in reversed(steps[1:]):
            config: Any = found.parent_config or {
                "configurable": {"thread_id": "t", "checkpoint_ns": ""}
            }
            versions = found.checkpoint["channel_versions"]
            config = copy.put(config, found.checkpoint, found.metadata, versions)
            for task_id, channel, value in found.pending_writes or ():
                copy.put_writes(config, [(channel, value)], task_id)
        status = get_checkpoint_status("t", copy)
        assert status is not None
        assert (status.state, status.next) == ("stalled", ())
        assert needs_resume("t", copy)


def test_goto_and_crash_is_stalled(saver: Saver) -> None:
    graph = one_node(lambda _: {"log": [1]}).compile(checkpointer=saver)
    graph.invoke({"log": []}, at())
    found = saver.get_tuple(at())
    assert found is not None
    saver.put_writes(found.config, [("log", [2])], NULL_TASK_ID)
    assert state(saver) == "complete"
    saver.put_writes(found.config, [("log", [2]), ("branch:to:work", "__start__")], NULL_TASK_ID)
    assert state(saver) == "stalled"


def test_error_that_a_task_caught_does_not_count(saver: Saver) -> None:
    @task
    def call() -> None:
        raise RuntimeError("broken")

    def work(_: State) -> State:
        with pytest.raises(RuntimeError):
            call().result()
        return {"log": [interrupt("go on?")]}

    graph = one_node(work).compile(checkpointer=saver)
    graph.invoke({"log": []}, at())
    status = get_checkpoint_status("t", saver)
    assert status is not None
    assert (status.state, status.error) == ("waiting", None)
    assert status.interrupts == graph.get_state(at()).interrupts


@pytest.mark.parametrize("static", [{"interrupt_before": ["b"]}, {"interrupt_after": ["a"]}])
def test_static_breakpoint(saver: Saver, static: Any) -> None:
    """Only the graph tells a breakpoint from a crash."""
    builder = (
        StateGraph(State)
        .add_node("a", lambda _: {"log": ["a"]})
        .add_node("b", Flaky())
        .add_edge(START, "a")
        .add_edge("a", "b")
    )
    graph = builder.compile(checkpointer=saver, **static)
    graph.invoke({"log": []}, at())
    status = get_checkpoint_status("t", saver)
    assert status is not None
    assert (status.state, status.next) == ("stalled", ("b",))
    assert state(saver, graph) == "waiting"
    assert not needs_resume("t", saver, graph=graph)
    assert state(saver, builder.compile()) == "stalled"
    fail(graph, None)
    assert state(saver, graph) == "failed"


def test_crash_before_a_breakpoint_is_stalled(saver: Saver) -> None:
    graph = (
        StateGraph(State)
        .add_node("a", lambda _: {"log": ["a"]})
        .add_node("b", lambda _: {"log": ["b"]})
        .add_edge(START, "a")
        .add_edge("a", "b")
        .compile(checkpointer=saver, interrupt_after=["b"])
    )
    for _ in graph.stream({"log": []}, at(), durability="sync"):
        break  # a run that nobody goes on with
    assert state(saver, graph) == "stalled"


def test_functional_graph(saver: Saver) -> None:
    """The name of the entrypoint is stored when it has finished once; the graph knows it before."""

    @task
    def ask(question: str) -> Any:
        return interrupt(question)

    @entrypoint(checkpointer=saver)
    def flow(_: Any) -> Any:
        return [ask("one").result(), interrupt("two")]

    for name in ("__start__", "flow"):
        flow.invoke("go", at())
        for question in ("one", "two"):
            status = get_checkpoint_status("t", saver)
            assert status is not None
            assert (status.state, status.next) == ("waiting", (name,))
            assert [each.value for each in status.interrupts] == [question]
            with_graph = get_checkpoint_status("t", saver, graph=flow)
            assert with_graph is not None
            assert with_graph.next == ("flow",)
            flow.invoke(Command(resume=question), at())
        assert state(saver) == "complete"


def test_old_format_is_unknown(saver: Saver) -> None:
    graph = one_node(Flaky()).compile(checkpointer=saver)
    fail(graph, {"log": []})
    found = saver.get_tuple(at())
    assert found is not None
    old: Any = {**found.checkpoint, "v": 3}
    saver.put(found.config, old, found.metadata, {})
    status = get_checkpoint_status("t", saver)
    assert status is not None
    assert (status.version, status.state, status.is_complete) == (3, "unknown", False)
    assert not needs_resume("t", saver)
    assert state(saver, graph) == "failed"


@pytest.mark.parametrize(
    "parts",
    [
        {"channel_versions": {"x": 1}},
        {"channel_versions": {}, "channel_values": {}},
        {"versions_seen": None},
        {"versions_seen": {"work": {"branch:to:work": "a"}}},
        {"id": "1"},
        {"channel_values": {"branch:to:work": (1,)}},
    ],
)
def test_checkpoint_that_the_rules_do_not_cover_is_unknown(parts: Any) -> None:
    with open_saver("lmdb") as saver:
        checkpoint: Any = {
            "v": 4,
            "ts": "then",
            "id": "1f0a0000-0000-6000-8000-000000000000",
            "channel_values": {"branch:to:work": None},
            "channel_versions": {"branch:to:work": 2},
            "versions_seen": {},
            **parts,
        }
        config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        saver.put(config, checkpoint, {}, {})
        status = get_checkpoint_status("t", saver)
        assert status is not None
        assert (status.state, status.created_at) == ("unknown", None)


def test_join_whose_names_have_plus_signs(saver: Saver) -> None:
    graph = StateGraph(State)
    for name in ("a+b", "c"):
        graph.add_node(name, lambda _: {"log": [1]}).add_edge(START, name)
    graph.add_node("end", Flaky()).add_edge(["a+b", "c"], "end")
    fail(graph.compile(checkpointer=saver), {"log": []})
    status = get_checkpoint_status("t", saver)
    assert status is not None
    assert (status.state, status.next) == ("failed", ("end",))


def test_sends_are_named_in_order(saver: Saver) -> None:
    graph = (
        StateGraph(State)
        .add_node("z", lambda _: {"log": [1]})
        .add_node("a", Flaky())
        .add_conditional_edges(START, lambda _: [Send("z", 1), Send("a", 2), Send("a", 3)])
        .compile(checkpointer=saver)
    )
    fail(graph, {"log": []})
    status = get_checkpoint_status("t", saver)
    assert status is not None
    assert status.next == graph.get_state(at()).next
    assert set(status.next) in ({"a"}, {"a", "z"})  # z may end before or after a fails


# Many threads


def test_find(saver: Saver) -> None:
    node = Flaky()
    graph = one_node(node).compile(checkpointer=saver)
    asking = one_node(lambda _: {"log": [interrupt("?")]}).compile(checkpointer=saver)
    for name in ("f1", "f2"):
        with pytest.raises(RuntimeError):
            graph.invoke({"log": []}, at(name))
    asking.invoke({"log": []}, at("w"))
    node.broken = False
    graph.invoke({"log": []}, at("c"))
    graph.invoke(None, at("f1"))

    def names(*args: Any, **options: Any) -> list[str]:
        return [each.thread_id for each in find_failed_workflows(saver, *args, **options)]

    assert names(0) == ["f2"]
    assert names(0, include_waiting=True) == ["w", "f2"]
    assert names(0, include_waiting=True, limit=1) == ["w"]
    assert names() == []  # all are younger than five minutes
    later = datetime.now(timezone.utc).timestamp() + 3600
    assert names(clock=lambda: later) == ["f2"]
    assert names(5, 0.5, clock=lambda: later) == []


def test_find_reads_only_threads_that_were_active_in_its_window() -> None:
    now = datetime.now(timezone.utc).timestamp()
    clock = [now - 100_000]
    read: list[str] = []
    with LmdbSaver(":memory:", clock=lambda: clock[0]) as saver:
        graph = one_node(Flaky()).compile(checkpointer=saver)
        for name in ("old", "new"):
            with pytest.raises(RuntimeError):
                graph.invoke({"log": []}, at(name))
            clock[0] = now
        get_tuple = saver.get_tuple

        def record(config: Any) -> Any:
            read.append(config["configurable"]["thread_id"])
            return get_tuple(config)

        saver.get_tuple = record  # type: ignore[method-assign]
        found = find_failed_workflows(saver, 0)
    assert [each.thread_id for each in found] == ["new"] == read


def test_async_twins() -> None:
    async def run() -> None:
        node = Flaky()
        with LmdbSaver(":memory:") as saver:
            graph = one_node(node).compile(checkpointer=saver, interrupt_after=["work"])
            with pytest.raises(RuntimeError):
                await graph.ainvoke({"log": []}, at())
            status = await aget_checkpoint_status("t", saver)
            assert status == get_checkpoint_status("t", saver)
            assert status is not None
            assert status == await aget_checkpoint_status("t", saver, graph=graph)
            assert await aneeds_resume("t", saver)
            assert await afind_failed_workflows(saver, 0) == [status]
            assert await aget_checkpoint_status("other", saver) is None

    asyncio.run(run())


def test_running_while_its_lock_is_held(path: Path) -> None:
    with LmdbSaver(path, sync="off") as saver:
        graph = one_node(Flaky()).compile(checkpointer=saver)
        fail(graph, {"log": []})
        locks = FileLockManager(path)
        with locks.lock("resume_workflow_t"):
            assert state(saver) == "running"
            assert find_failed_workflows(saver, 0) == []
            assert asyncio.run(afind_failed_workflows(saver, 0)) == []
        assert state(saver) == "failed"


# Connections


def test_path(path: Path) -> None:
    with LmdbSaver(path, sync="off") as saver:
        fail(one_node(Flaky()).compile(checkpointer=saver), {"log": []})
    assert needs_resume("t", path)
    assert needs_resume("t", str(path))
    assert asyncio.run(aneeds_resume("t", path))
    assert get_checkpoint_status("other", path) is None
    assert not needs_resume("other", path)


def test_path_without_a_store(path: Path) -> None:
    with pytest.raises(InvalidPathError):
        needs_resume("t", path)
    assert not path.exists()


def test_wrong_arguments() -> None:
    with LmdbSaver(":memory:") as saver:
        for thread_id in (None, "", 3):
            with pytest.raises(UsageError, match="thread_id must be"):
                get_checkpoint_status(thread_id, saver)  # type: ignore[arg-type]
        for ages in ((-1,), (0, -1), ("x",), (60, 1), (0, 0), (float("nan"),)):
            with pytest.raises(ValueError, match="must be"):
                find_failed_workflows(saver, *ages)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="limit must be"):
            find_failed_workflows(saver, limit=-1)
    with pytest.raises(InvalidPathError, match="connection must be"):
        needs_resume("t", ":memory:")
    with pytest.raises(StoreClosedError):
        needs_resume("t", saver)


def test_saver_that_cannot_list() -> None:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    with pytest.raises(UsageError, match="cannot list its threads"):
        find_failed_workflows(BaseCheckpointSaver())
    with pytest.raises(UsageError, match="cannot list its threads"):
        asyncio.run(afind_failed_workflows(BaseCheckpointSaver()))
