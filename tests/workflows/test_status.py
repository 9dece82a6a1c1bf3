"""The state of a run, one situation at a time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from langgraph.checkpoint.lmdb.workflows import (
    get_checkpoint_status,
    needs_resume,
)
from tests.workflows.graphs import (
    SAVERS,
    Flaky,
    State,
    at,
    fail,
    nested,
    one_node,
    open_saver,
    state,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.base import BaseCheckpointSaver

    Saver = BaseCheckpointSaver[Any]

NULL_TASK_ID = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(params=SAVERS)
def saver(request: pytest.FixtureRequest) -> Iterator[Saver]:
    with open_saver(request.param) as saver:
        yield saver


def answer_and_crash(saver: Saver, answer: str) -> None:
    """Store an answer, as `Command(resume=answer)` does first, and nothing more."""
    found = saver.get_tuple(at())
    assert found is not None
    saver.put_writes(found.config, [("__resume__", answer)], NULL_TASK_ID)


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
        return {"log": [interrupt("continue?")]}

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
        break  # a run that is not continued
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
