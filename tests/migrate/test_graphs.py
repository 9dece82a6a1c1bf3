"""Stores that real graphs made: equal after a migration, and the next run continues equally."""

from __future__ import annotations

import operator
import random
from itertools import permutations
from typing import TYPE_CHECKING, Annotated, Any, TypedDict
from unittest import mock

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from langgraph.checkpoint.lmdb.migrate import migrate
from tests.graphs.driving import at_thread
from tests.graphs.traveling import Journeys, build
from tests.migrate.conftest import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

GRAPH = build(memory=True)
PAIRS = [(one, other) for one, other in permutations(KINDS, 2) if "lmdb" in (one, other)]
PAIRS += [("compact", "compact"), ("compact", "sqlite"), ("postgres", "compact")]
PAIRS += [("lmdb", "lmdb"), ("sqlite", "postgres"), ("memory", "sqlite"), ("postgres", "sqlite")]


def travel(saver: Any) -> None:
    """Fill a saver: chats, parallel tasks with a DeltaChannel, subgraphs, interrupts and forks."""
    graph = GRAPH(saver)
    for thread in ("a", "b"):
        at = at_thread(thread)
        for number in range(4):
            step(graph, at, f"{thread} {number}")
    history = [*graph.get_state_history(at_thread("a"))]
    for number in (2, 5):
        graph.update_state(history[number].config, {"log": [f"fork {number}"], "notes": ["fork"]})
        step(graph, at_thread("a"), f"after fork {number}")


def step(graph: Any, at: Any, text: str) -> Any:
    """Continue a thread: resume it if it waits, or else begin another run."""
    if graph.get_state(at).interrupts:
        return graph.invoke(Command(resume=text), at)
    message = HumanMessage(text, id=f"id of {text}")
    return graph.invoke({"messages": [message], "latest": text, "log": [text]}, at)


def shown(saver: Any, thread: str) -> list[Any]:
    """Return what `get_state_history` shows of a thread."""
    return [
        (
            state.values,
            state.next,
            state.config["configurable"]["checkpoint_id"],
            (state.parent_config or {}).get("configurable", {}).get("checkpoint_id"),
            state.created_at,
            {key: value for key, value in state.metadata.items() if key != "writes"},
            [(task.id, task.name, task.path, task.error, task.interrupts) for task in state.tasks],
        )
        for state in GRAPH(saver).get_state_history(at_thread(thread))
    ]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_a_migrated_thread_continues_equally(
    one: str, other: str, open_kind: Callable[..., Any]
) -> None:
    source, target = open_kind(one), open_kind(other)
    travel(source)
    report = migrate(source, target)
    assert report.differences == ()
    assert report.threads == 2
    assert report.copied_checkpoints == report.checkpoints == report.verified > 20
    for thread in ("a", "b"):
        assert shown(source, thread) == shown(target, thread)
    again = migrate(source, target)
    assert again.ok
    assert (again.copied_checkpoints, again.copied_writes) == (0, 0)
    for thread in ("a", "b"):
        journeys = Journeys()
        journeys.number = 1 << 62
        results = []
        for saver in (source, target):
            journeys.number = 1 << 62
            with journeys.begin():
                graph = GRAPH(saver)
                results.append([step(graph, at_thread(thread), f"next {i}") for i in range(2)])
        assert results[0] == results[1]


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "memory"])
def test_there_and_back(kind: str, open_kind: Callable[..., Any]) -> None:
    source, ours, back = open_kind(kind), open_kind("lmdb"), open_kind(kind)
    travel(source)
    assert migrate(source, ours).ok
    assert migrate(ours, back).ok
    assert migrate(source, back).copied_checkpoints == 0
    for thread in ("a", "b"):
        assert shown(source, thread) == shown(back, thread)


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "memory", "plain", "lmdb"])
def test_pruned_delta_channels_keep_their_state(kind: str, open_kind: Callable[..., Any]) -> None:
    source, target = open_kind("lmdb"), open_kind(kind)
    travel(source)
    source.prune(["a"], keep_last=2)
    notes = GRAPH(source).get_state(at_thread("a")).values["notes"]
    assert notes
    report = migrate(source, target)
    assert report.differences == ()
    assert GRAPH(target).get_state(at_thread("a")).values["notes"] == notes
    assert migrate(source, target).copied_checkpoints == 0


def test_a_second_pass_copies_what_changed(open_kind: Callable[..., Any]) -> None:
    source, target = open_kind("sqlite"), open_kind("lmdb")
    graph = GRAPH(source)
    step(graph, at_thread("a"), "one")
    first = migrate(source, target)
    for number in range(3):
        step(graph, at_thread("a"), f"more {number}")
    second = migrate(source, target)
    assert second.ok
    assert second.copied_checkpoints == second.checkpoints - first.checkpoints > 0
    assert shown(source, "a") == shown(target, "a")


def test_the_source_is_only_read(open_kind: Callable[..., Any]) -> None:
    source = open_kind("sqlite")
    travel(source)
    with (
        mock.patch.object(type(source), "put", side_effect=AssertionError),
        mock.patch.object(type(source), "put_writes", side_effect=AssertionError),
    ):
        assert migrate(source, open_kind("lmdb")).ok


class Large(TypedDict, total=False):
    """A state with a large value."""

    data: bytes
    steps: Annotated[list[int], operator.add]


def test_a_state_of_64_megabytes_continues(open_kind: Callable[..., Any]) -> None:
    source, target, back = open_kind("sqlite"), open_kind("lmdb"), open_kind("sqlite")

    def fill(state: Large) -> dict[str, Any]:
        if "data" in state:
            return {"steps": [len(state["data"])]}
        return {"data": random.Random(1).randbytes(64 << 20)}

    def build(saver: Any) -> Any:
        builder = StateGraph(Large)
        builder.add_node("fill", fill)
        builder.add_edge(START, "fill")
        return builder.compile(checkpointer=saver)

    build(source).invoke({"steps": [0]}, at_thread("a"))
    assert migrate(source, target).ok
    assert migrate(target, back).ok
    assert [*back.list(None)] == [*source.list(None)]
    assert build(target).get_state(at_thread("a")) == build(source).get_state(at_thread("a"))
    results = [build(saver).invoke({"steps": [1]}, at_thread("a")) for saver in (source, target)]
    assert results[0] == results[1]
    assert results[1]["steps"] == [0, 1, 64 << 20]


@pytest.mark.parametrize(("one", "other"), [*PAIRS, ("plain", "plain"), ("sqlite", "plain")])
def test_a_second_pass_keeps_what_the_target_went_on_with(
    one: str, other: str, open_kind: Callable[..., Any]
) -> None:
    """The target resumes an interrupt, so that the interrupted task has more writes there."""
    source, target = open_kind(one), open_kind(other)
    travel(source)
    graph = GRAPH(target)
    while not GRAPH(source).get_state(at_thread("a")).interrupts:
        step(GRAPH(source), at_thread("a"), "until it waits")
    assert migrate(source, target).ok
    step(graph, at_thread("a"), "in the target")
    before = pending(target, "a")
    second = migrate(source, target)
    assert second.differences == ()
    assert (second.copied_checkpoints, second.copied_writes) == (0, 0)
    assert pending(target, "a") == before


def pending(saver: Any, thread: str) -> list[Any]:
    """Return checkpoint ids and pending writes of a thread, newest first."""
    return [
        (item.config["configurable"]["checkpoint_id"], item.pending_writes)
        for item in saver.list(at_thread(thread))
    ]
