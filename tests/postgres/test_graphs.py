"""Graphs of LangGraph on PostgreSQL, sync and async."""

from __future__ import annotations

import asyncio
import operator
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from langgraph.graph import StateGraph
from langgraph.types import Command, interrupt

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def build(saver: Any) -> Any:
    """Return a graph of parallel nodes, and one that asks."""
    builder = StateGraph(State)
    builder.add_node("one", lambda _: {"log": ["one"]})
    builder.add_node("two", lambda _: {"log": ["two"]})
    builder.add_node("ask", lambda _: {"log": [interrupt("go on?")]})
    builder.add_edge("__start__", "one")
    builder.add_edge("__start__", "two")
    builder.add_edge(["one", "two"], "ask")
    return builder.compile(checkpointer=saver)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_graph_is_interrupted_and_resumed_by_another_saver(
    open_postgres: Callable[..., CompactPostgresSaver], durability: Any
) -> None:
    config = {"configurable": {"thread_id": "t"}}
    build(open_postgres()).invoke({"log": []}, config, durability=durability)
    other = open_postgres()
    assert other.threads(state="waiting")[0].next == ("ask",)
    result = build(other).invoke(Command(resume="yes"), config, durability=durability)
    assert sorted(result["log"]) == ["one", "two", "yes"]
    assert other.verify().problems == ()


def test_many_coroutines_share_commits(open_postgres: Callable[..., CompactPostgresSaver]) -> None:
    saver = open_postgres()
    graph = build(saver)

    async def run(number: int) -> list[str]:
        config = {"configurable": {"thread_id": f"t{number}"}}
        await graph.ainvoke({"log": []}, config)
        result = await graph.ainvoke(Command(resume=str(number)), config)
        return sorted(result["log"])

    async def run_all() -> list[list[str]]:
        return await asyncio.gather(*map(run, range(12)))

    assert asyncio.run(run_all()) == [sorted([str(n), "one", "two"]) for n in range(12)]
    assert saver.stats().threads == 12
    assert saver.verify().problems == ()
